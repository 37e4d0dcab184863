"""A budget in minutes: what earlier nights took decides how many pictures fit."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon_rec.config import PlanConfig
from pigeon_rec.warehouse import NIGHT_SCHEMAS, open_warehouse, publish
from pigeon_rec.warehouse.budget import DEFAULT_SECONDS, Budget, night_budget
from tests.warehouse.nights import FIRST, night_of

MODEL, SETTINGS = "sticker-64@1", "5e77"
LATER = FIRST + dt.timedelta(days=30)


def measured(path: Path, seconds: list[tuple[int, float, str]]) -> Path:
    """Nights on the days after `FIRST` of ten pictures each: (day, seconds, settings)."""
    with open_warehouse(path) as connection:
        for day, each, style in seconds:
            night = night_of([("ann", f"i{day}")], date=FIRST + dt.timedelta(days=day))
            times = pl.DataFrame(
                [(0, 4, 4 * each), (3, 6, 6 * each)],
                schema=NIGHT_SCHEMAS["drawing_times"],
                orient="row",
            )
            publish(
                connection,
                dataclasses.replace(night, settings_hash=style, drawing_times=times),
            )
    return path


def budget(
    warehouse: Path, date: dt.date = LATER, minutes: float | None = 1.0, assets: int = 720
) -> Budget:
    config = PlanConfig(max_assets=assets, max_minutes=minutes)
    return night_budget(config, warehouse, date, MODEL, SETTINGS)


def test_before_any_night_the_documented_default_counts(tmp_path: Path) -> None:
    missing = tmp_path / "pigeon.duckdb"
    assert budget(missing) == Budget(int(60 / DEFAULT_SECONDS), DEFAULT_SECONDS, 0)
    assert budget(missing, minutes=None).assets == 720
    assert not missing.exists()


@given(minutes=st.none() | st.floats(0.001, 1e4), assets=st.integers(1, 2000))
def test_the_narrower_limit_counts(minutes: float | None, assets: int) -> None:
    found = budget(Path("nowhere.duckdb"), minutes=minutes, assets=assets)
    assert 0 <= found.assets <= assets
    if minutes is not None:
        assert found.assets * found.seconds_per_asset <= minutes * 60
    else:
        assert found.assets == assets


def test_the_median_night_of_the_same_kind_counts(tmp_path: Path) -> None:
    path = measured(
        tmp_path / "w.duckdb",
        [(0, 1.0, SETTINGS), (1, 2.0, SETTINGS), (2, 60.0, SETTINGS), (3, 0.1, "other")],
    )
    assert budget(path) == Budget(30, 2.0, 3)


def test_nights_of_another_kind_are_better_than_none(tmp_path: Path) -> None:
    path = measured(tmp_path / "w.duckdb", [(0, 4.0, "other")])
    assert budget(path) == Budget(15, 4.0, 1)


def test_only_the_last_seven_nights_count(tmp_path: Path) -> None:
    days = [(day, 50.0 if day < 4 else 3.0, SETTINGS) for day in range(11)]
    assert budget(measured(tmp_path / "w.duckdb", days)) == Budget(20, 3.0, 7)


@pytest.mark.parametrize(("day", "seconds"), [(0, DEFAULT_SECONDS), (1, 1.0), (2, 1.5)])
def test_a_date_knows_only_the_nights_before_it(tmp_path: Path, day: int, seconds: float) -> None:
    path = measured(tmp_path / "w.duckdb", [(0, 1.0, SETTINGS), (1, 2.0, SETTINGS)])
    assert budget(path, FIRST + dt.timedelta(days=day)).seconds_per_asset == seconds
