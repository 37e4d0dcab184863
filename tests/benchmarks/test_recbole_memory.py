"""The benchmark of the RecBole wrapper's memory, at a size for tests."""

from __future__ import annotations

from pathlib import Path

from benchmarks.recbole_memory import large_catalogue


def test_all_items_are_ranked_for_all_users(tmp_path: Path) -> None:
    result = large_catalogue(tmp_path, 1e-4)
    assert result.name.startswith("recbole: 200 items x 20 users")
    assert [figure.name for figure in result.figures][-1] == "peak memory of the process"
    assert all(figure.value > 0 for figure in result.figures)
    assert result.bars[0].value == result.figures[-1].value
