"""Running benchmarks: exit statuses, and the files of results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.result import Curve, Figure, Result
from benchmarks.runner import main, run
from tests.benchmarks.lookup import FOUND


@pytest.mark.parametrize(("scale", "ends"), [("1", True), ("0.5", False)])
def test_a_missed_bar_gives_exit_status_1_at_full_scale(
    scale: str,
    ends: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", "--json", "--scale", scale])
    code = 0
    try:
        main(lambda _, __: FOUND)
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == int(ends)
    printed = json.loads(capsys.readouterr().out)
    assert printed["machine"]["cores"] >= 1
    assert printed["results"][0]["bars"][1] == {
        "name": "memory",
        "value": 5.0,
        "wanted": 4.0,
        "at_least": False,
        "met": False,
    }


def test_a_missed_bar_is_printed_and_does_not_stop_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = Curve("planning", "users", "MB", [1, 10], [2.0, 11.0], 1.0, 1.0)
    after = Result("growth", [Figure("x", 1.0, "s")], curves=[curve])
    with pytest.raises(SystemExit) as ended:
        run([lambda _, __: FOUND, lambda _, __: after], scale=1.0, as_json=False, out=tmp_path)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "missed\n  lookup: memory\n"
    written = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert [result["name"] for result in written["results"]] == ["lookup", "growth"]
    assert written["results"][1]["curves"][0]["costs"] == [2.0, 11.0]
    for name in ("ratios.png", "growth.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_earlier_results_are_kept_if_a_benchmark_fails(tmp_path: Path) -> None:
    def fails(_: Path, __: float) -> Result:
        raise LookupError("no Airflow here")

    with pytest.raises(LookupError):
        run([lambda _, __: FOUND, fails], scale=0.1, as_json=True, out=tmp_path)
    assert (
        json.loads((tmp_path / "bench.json").read_text("utf-8"))["results"][0]["name"] == "lookup"
    )
