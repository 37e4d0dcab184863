"""The estimate of a night: unmeasured by documented defaults, measured by its own times."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, PlanConfig
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing.keys import settings_hash
from pigeon_rec.drawing.models import FALLBACK
from pigeon_rec.inputs.check import check_inputs
from pigeon_rec.inputs.estimate import estimate_night
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.version import model_version
from pigeon_rec.nightly.paths import end_of_day
from pigeon_rec.runtime.work_dir import warehouse_file
from pigeon_rec.warehouse import NIGHT_SCHEMAS, open_warehouse, publish
from pigeon_rec.warehouse.budget import DEFAULT_SECONDS, START_SECONDS, Budget
from tests.model.tiny import tiny_pipeline
from tests.registered import promoted
from tests.warehouse.nights import FIRST, night_of


def config(**plan: int) -> NightlyConfig:
    return NightlyConfig(plan=PlanConfig.model_validate(plan))


@pytest.mark.parametrize(("shards", "processes"), [(1, 1), (2, 1), (8, 1), (2, 2)])
def test_every_shard_starts_anew_and_processes_share_its_pictures(
    shards: int, processes: int
) -> None:
    settings = config(shards=shards).model_copy(update={"processes": processes})
    found = estimate_night(settings, FALLBACK, Budget(100, DEFAULT_SECONDS, 0), users=1000)
    seconds = 100 * DEFAULT_SECONDS / processes + shards * START_SECONDS
    assert found.minutes == pytest.approx(seconds / 60, abs=0.05)
    assert (found.pictures, found.measured_nights) == (100, 0)


def test_users_are_a_limit_and_an_empty_night_takes_no_time() -> None:
    settings = config(max_assets_per_user=2, shards=8)
    budget = Budget(100, DEFAULT_SECONDS, 0)
    assert estimate_night(settings, FALLBACK, budget, users=3).pictures == 6
    nothing = estimate_night(settings, FALLBACK, budget, users=0)
    assert (nothing.pictures, nothing.minutes, nothing.megabytes) == (0, 0.0, 0.0)


def test_measured_seconds_contain_start_and_processes() -> None:
    settings = config(shards=8).model_copy(update={"processes": 4})
    found = estimate_night(settings, FALLBACK, Budget(300, 0.5, 3), users=1000)
    assert (found.minutes, found.seconds_per_picture, found.measured_nights) == (2.5, 0.5, 3)


def test_a_check_takes_the_times_of_nights_with_the_same_model_and_settings(
    tmp_path: Path,
) -> None:
    settings = NightlyConfig(work_dir=tmp_path)
    same = (model_version(FALLBACK), settings_hash(settings, load_prompt("sticker")))
    with open_warehouse(warehouse_file(tmp_path)) as connection:
        for day, (each, (model, hashed)) in enumerate([(3.0, same), (0.1, ("other", "other"))]):
            night = night_of([("ann", f"i{day}")], date=FIRST + dt.timedelta(days=day))
            times = pl.DataFrame(
                [(0, 10, 10 * each)], schema=NIGHT_SCHEMAS["drawing_times"], orient="row"
            )
            publish(
                connection,
                dataclasses.replace(
                    night, model_version=model, settings_hash=hashed, drawing_times=times
                ),
            )
    days = [(0, DEFAULT_SECONDS, 0), (1, 3.0, 1), (9, 3.0, 1)]
    for day, seconds, nights in days:  # a night does not count its own time
        found = check_inputs(settings, end_of_day(FIRST + dt.timedelta(days=day))).estimate
        assert (found.seconds_per_picture, found.measured_nights) == (seconds, nights)


def test_the_serving_model_says_how_large_its_pictures_are(tmp_path: Path) -> None:
    source = tmp_path / "tiny"
    tiny_pipeline().save_pretrained(source)
    (source / "scorer").symlink_to(model_folder(FALLBACK) / "scorer")
    settings = NightlyConfig(work_dir=tmp_path / "var", model="serving")
    until = end_of_day(FIRST)
    assert check_inputs(settings, until).estimate.image_size == 64
    promoted(tmp_path / "var", "tiny", source)
    after = check_inputs(settings, until).estimate
    assert after.image_size == 16
    assert after.megabytes == pytest.approx(after.pictures * 16 * 16 * 1.4 / 1e6, abs=0.01)
