"""The programs of pages that have no test file of their own run as they stand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.docs.pages import blocks, text_of
from tests.docs.test_pages import FRAGMENTS

METHOD = text_of("docs/method.md")
YOUR_DATA = text_of("docs/your-data.md")


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


def test_your_own_data_become_the_three_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for place, name in enumerate(("apple.png", "boat.png")):
        Image.fromarray(np.full((80, 60, 3), 100 * place, np.uint8)).save(Path("pictures", name))
    for code in blocks(YOUR_DATA, "python"):
        run(code, "your-data.md")
    assert "2 items, 0 pictures that cannot be used" in capsys.readouterr().out
    from pigeon_rec.data.catalogue import load_catalogue
    from pigeon_rec.data.interactions import load_interactions

    interactions, problems = load_interactions(
        "interactions.parquet", load_catalogue("items.parquet")
    )
    assert (interactions.height, problems) == (2, [])


def test_duckdb_writes_recommendations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime as dt

    import duckdb

    from pigeon_rec.config import NightlyConfig
    from pigeon_rec.nightly.plan.recommendations import recommend

    monkeypatch.chdir(tmp_path)
    [statement] = blocks(YOUR_DATA, "sql")
    with duckdb.connect() as client:
        client.execute("CREATE TABLE top_k AS SELECT 7 AS user_id, 9 AS item_id, 1 AS score")
        client.execute(statement)
    config = NightlyConfig(recommendations="recommendations.parquet", work_dir=tmp_path / "var")
    assert recommend(config, dt.date(2026, 6, 1)).recommendations == 1


def test_the_kinds_of_problems_are_those_of_the_code() -> None:
    source = "".join(
        path.read_text("utf-8") for path in sorted((ROOT / "pigeon_rec").rglob("*.py"))
    )
    table = YOUR_DATA.partition("| kind | meaning |")[2].partition("\n\n")[0]
    kinds = {kind for row in re.findall(r"^\| (`.*?`) \|", table, re.M) for kind in row.split(", ")}
    assert len(kinds) == 12
    for kind in kinds:
        assert f'"{kind.strip("`")}"' in source, kind
    written = re.findall(r'BrokenImage\(\s*"(\w+)"', source)
    assert {f"`{kind}`" for kind in written} <= kinds


def test_columns_of_a_catalogue_are_described() -> None:
    from pigeon_rec.data.catalogue import REQUIRED_COLUMNS

    described = set(re.findall(r"`(\w+)`", YOUR_DATA.partition("## Interactions")[0]))
    assert {*REQUIRED_COLUMNS, "image"} <= described


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
