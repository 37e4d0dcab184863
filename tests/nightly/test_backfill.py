"""Backfills: a past night has the rows that it had on its date, whatever happened since."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.publish import PublishSummary, publish_night
from pigeon_rec.warehouse import ask, check_warehouse
from pigeon_rec.warehouse.planning import drawing_times
from tests.nightly.made_night import NIGHT, MadeNight, Pair, small_night

NEXT = NIGHT + dt.timedelta(days=1)
ROWS_OF_A_NIGHT = """
SELECT 'run' AS kind, to_json(r) AS content
FROM (SELECT * EXCLUDE (published_at) FROM runs WHERE run_id = $night) AS r
UNION ALL SELECT 'pair', to_json(r) FROM run_assets AS r WHERE run_id = $night
UNION ALL SELECT 'rejection', to_json(r) FROM rejections AS r WHERE run_id = $night
UNION ALL SELECT 'problem', to_json(r) FROM problems AS r WHERE run_id = $night
UNION ALL SELECT 'cohort', to_json(r) FROM cohorts AS r WHERE run_id = $night
UNION ALL
SELECT 'score', to_json(s) FROM asset_scores AS s
JOIN run_assets AS r USING (asset_key) WHERE r.run_id = $night
UNION ALL
SELECT 'picture', to_json(struct_pack(a.asset_key, a.image_sha256, a.history_ids)) FROM assets AS a
JOIN run_assets AS r USING (asset_key) WHERE r.run_id = $night
ORDER BY ALL
"""


def config_in(folder: Path) -> NightlyConfig:
    return NightlyConfig(work_dir=folder, seed=7)


def publish_planned(config: NightlyConfig, night: MadeNight, known: set[str]) -> PublishSummary:
    """Plans as `plan_night` would with a warehouse that knows some keys, and publishes."""
    for pair in night.pairs:
        pair.status = "reuse" if pair.key in known else "generate"
    night.write(config)
    return publish_night(config, night.date)


def first_night() -> MadeNight:
    night = small_night()
    night.members = {"ada": "cohort:0", "dan": "cohort:0"}
    return night


def second_night() -> MadeNight:
    """The first night's pairs, a new one, and a cohort of its own."""
    night = first_night()
    night.date = NEXT
    night.pairs += [Pair("eve", "flat/cat"), Pair("cohort:0", "flat/cat")]
    return night


def keys_of(night: MadeNight) -> set[str]:
    return {pair.key for pair in night.pairs}


def rows(config: NightlyConfig, date: dt.date) -> pl.DataFrame:
    warehouse = NightPaths.of(config, date).warehouse
    return ask(warehouse, ROWS_OF_A_NIGHT, {"night": date.isoformat()})


@pytest.fixture
def on_time(tmp_path: Path) -> NightlyConfig:
    """Both nights published on their dates."""
    config = config_in(tmp_path / "on-time")
    publish_planned(config, first_night(), set())
    publish_planned(config, second_night(), keys_of(first_night()))
    return config


def test_a_past_date_has_the_rows_that_it_had_on_its_date(
    on_time: NightlyConfig, tmp_path: Path
) -> None:
    late = config_in(tmp_path / "late")
    publish_planned(late, second_night(), set())
    backfilled = publish_planned(late, first_night(), keys_of(second_night()))
    assert (backfilled.generated, backfilled.reused) == (5, 0)
    assert rows(late, NIGHT).height > 15
    assert rows(late, NIGHT).equals(rows(on_time, NIGHT))
    assert check_warehouse(NightPaths.of(late, NIGHT).warehouse).is_empty()


@pytest.mark.parametrize("date", [NIGHT, NEXT])
def test_publishing_a_date_again_changes_nothing(on_time: NightlyConfig, date: dt.date) -> None:
    before = {night: rows(on_time, night) for night in (NIGHT, NEXT)}
    night = first_night() if date == NIGHT else second_night()
    again = publish_planned(on_time, night, keys_of(second_night()))
    assert not again.changed
    for night_date, frame in before.items():
        assert rows(on_time, night_date).equals(frame)


def test_only_what_an_earlier_night_had_counts_as_reused(on_time: NightlyConfig) -> None:
    warehouse = NightPaths.of(on_time, NEXT).warehouse
    sql = "SELECT generated, reused FROM runs ORDER BY logical_date"
    assert ask(warehouse, sql).rows() == [(5, 0), (2, 5)]


def test_drawing_times_are_published_with_the_night(on_time: NightlyConfig) -> None:
    times = drawing_times(NightPaths.of(on_time, NIGHT).warehouse, before=NEXT)
    assert times.select("assets", "seconds").rows() == [(6, 3.0)]


def test_a_lost_or_damaged_measurement_is_no_error(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    night = first_night()
    paths = night.write(config)
    numbers = sorted({pair.shard for pair in night.pairs})
    paths.drawing_time(numbers[0]).write_text("{half", encoding="utf-8")
    for number in numbers[1:]:
        paths.drawing_time(number).write_text('{"assets": 0, "seconds": 1.0}', encoding="utf-8")
    assert publish_night(config, NIGHT).served == 5
    assert drawing_times(paths.warehouse, before=NEXT).is_empty()
