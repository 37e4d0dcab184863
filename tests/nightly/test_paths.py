"""Paths of the files of a night."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.paths import NightPaths, end_of_day

NIGHT = dt.date(2026, 12, 31)


def test_a_night_has_its_own_folder_and_shares_the_rest(tmp_path: Path) -> None:
    paths = NightPaths.of(NightlyConfig(work_dir=tmp_path), NIGHT)
    assert paths.run_id == "2026-12-31"
    assert paths.plan == tmp_path / "runs" / "2026-12-31" / "plan.parquet"
    assert paths.shard(3) == paths.night / "shards" / "shard-0003.parquet"
    own = [paths.recommendations, paths.skipped, paths.problems, paths.plan_info, paths.gallery]
    assert all(path.parent == paths.night for path in own)
    other = NightPaths(tmp_path, NIGHT + dt.timedelta(days=1))
    assert (other.embeddings, other.warehouse) == (paths.embeddings, paths.warehouse)
    assert other.plan != paths.plan


def test_a_day_ends_when_the_next_begins_in_utc() -> None:
    assert end_of_day(NIGHT) == dt.datetime(2027, 1, 1, tzinfo=dt.UTC)


def test_the_last_date_that_there_is_has_an_end() -> None:
    assert end_of_day(dt.date(9999, 12, 30)) == dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
    assert end_of_day(dt.date.max) == dt.datetime.max.replace(tzinfo=dt.UTC)


def test_paths_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert NightPaths(Path("var"), NIGHT).plan.is_relative_to(tmp_path)
