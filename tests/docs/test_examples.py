"""The programs of pages that have no test file of their own run as they stand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import blocks, text_of
from tests.docs.test_pages import FRAGMENTS

METHOD = text_of("docs/method.md")


def run(code: str, page: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, page, "exec"), names)  # noqa: S102
    return names


def test_a_picture_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    [code] = blocks(METHOD, "python")
    run(code, "method.md")
    [promised] = re.findall(r"# (\(1, 1, .*)$", code, re.M)
    assert capsys.readouterr().out.strip() == promised


@pytest.mark.slow
def test_recommendations_without_a_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [code] = [
        c for c in blocks(text_of("docs/recbole.md"), "python") if not c.startswith(FRAGMENTS)
    ]
    top = run(code, "recbole.md")["top"]
    assert top.columns == ["user_id", "item_id", "score", "rank"]
    assert "score" in capsys.readouterr().out


@pytest.mark.slow
def test_the_tour_runs(tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="run `make setup` for the test tools")
    from docs.run_tour import TOUR, run_tour

    cells = [cell for cell in run_tour(tmp_path).cells if cell.cell_type == "code"]
    committed = json.loads(TOUR.read_text("utf-8"))["cells"]
    sources = ["".join(c["source"]) for c in committed if c["cell_type"] == "code"]
    assert [cell.source for cell in cells] == sources
    assert cells[-1].outputs[0].text == "own | original\n"
    assert all(c["outputs"] for c in committed[2:] if c["cell_type"] == "code")
    assert TOUR.stat().st_size < 200_000


def test_the_notebook_prints_what_it_says() -> None:
    cells = json.loads(text_of("docs/tour.ipynb"))["cells"]
    printed = [
        "".join(output.get("text", [])) for cell in cells for output in cell.get("outputs", [])
    ]
    assert any("blank: Rejection(reason='blank'" in text for text in printed)
