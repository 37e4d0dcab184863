"""Files of a night: where they lie, and that a failed write leaves the old one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.paths import NightPaths, end_of_day
from pigeon_rec.runtime.files import write_json, write_parquet, write_text

NIGHT = dt.date(2026, 12, 31)


def test_a_night_owns_a_folder_and_shares_the_rest(tmp_path: Path) -> None:
    paths = NightPaths.of(NightlyConfig(work_dir=tmp_path), NIGHT)
    assert paths.run_id == "2026-12-31"
    assert paths.plan == tmp_path / "runs" / "2026-12-31" / "plan.parquet"
    assert paths.shard(3) == paths.night / "shards" / "shard-0003.parquet"
    own = [paths.recommendations, paths.skipped, paths.problems, paths.plan_info, paths.gallery]
    assert all(path.parent == paths.night for path in own)
    other = NightPaths(tmp_path, NIGHT + dt.timedelta(days=1))
    assert (other.embeddings, other.warehouse) == (paths.embeddings, paths.warehouse)
    assert other.plan != paths.plan


def test_a_day_ends_where_the_next_begins_in_utc() -> None:
    assert end_of_day(NIGHT) == dt.datetime(2027, 1, 1, tzinfo=dt.UTC)


def test_writes_make_folders_and_leave_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    write_parquet(pl.DataFrame({"x": [1]}), folder / "x.parquet")
    write_json({"b": 1, "a": "é"}, folder / "x.json")
    write_text("page", folder / "x.html")
    assert sorted(path.name for path in folder.iterdir()) == ["x.html", "x.json", "x.parquet"]
    assert (folder / "x.json").read_text(encoding="utf-8") == '{\n  "a": "é",\n  "b": 1\n}\n'


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.parquet"
    write_parquet(pl.DataFrame({"x": [1]}), path)

    def half(_: pl.DataFrame, file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", half)
    with pytest.raises(OSError, match="no space"):
        write_parquet(pl.DataFrame({"x": [2]}), path)
    assert pl.read_parquet(path)["x"].to_list() == [1]
    assert list(tmp_path.iterdir()) == [path]
