"""Importing exposures into a work directory: pictures, tastes and cohorts come from its nights."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import InteractionError
from pigeon_rec.inputs.exposures import ExposureImport, import_exposures
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.runtime.work_dir import feedback_file, serving_file
from pigeon_rec.warehouse import ask
from tests.nightly.made_night import NIGHT, MadeNight, Pair, write_catalogue

HEADER = "user,item,asset_key,arm,propensity,time,clicked\n"
DAY = NIGHT + dt.timedelta(days=1)
ANN, BEN = Pair("ann", "line/apple", style="flat"), Pair("ben", "flat/boat", style="line")


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    config = NightlyConfig(
        catalogue=str(write_catalogue(tmp_path / "catalogue")), work_dir=tmp_path / "var"
    )
    MadeNight([ANN, BEN], members={"ann": "cohort:0", "eve": "cohort:1"}).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    return config


def shown(config: NightlyConfig, *lines: str) -> ExposureImport:
    source = config.work_dir.parent / "shown.csv"
    source.write_text(HEADER + "\n".join(lines), encoding="utf-8")
    return import_exposures(str(source), config)


def stored(config: NightlyConfig, columns: str) -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM exposures ORDER BY ALL"
    return ask(serving_file(config.work_dir), query).rows()


def test_tastes_and_cohorts_come_from_the_nights(config: NightlyConfig) -> None:
    found = shown(
        config,
        f"ann,line/apple,{ANN.key},personalised,0.5,{DAY} 10:00,1",
        f"ben,flat/boat,{BEN.key},personalised,0.5,{DAY} 10:00,0",
        f"eve,flat/boat,,original,0.5,{DAY} 10:00,0",
    )
    assert (found.rows, found.added, found.faults) == (3, 3, ())
    assert (found.users, found.items) == (3, 2)
    assert (found.users_with_taste, found.users_with_cohort) == (2, 2)
    assert found.first == found.last == f"{DAY}T10:00:00+00:00"
    assert stored(config, "user_id, taste, cohort, asset_key") == [
        ("ann", "flat", "cohort:0", ANN.key),
        ("ben", "line", None, BEN.key),
        ("eve", None, "cohort:1", None),
    ]


def test_faults_of_rows_and_of_pictures_are_told_together(config: NightlyConfig) -> None:
    found = shown(
        config,
        f"ann,line/apple,{ANN.key},personalised,2,{DAY},1",
        f"ann,line/apple,{BEN.key},personalised,0.5,{DAY},1",
        f"ann,line/apple,abc,personalised,0.5,{DAY},1",
        f"ann,line/apple,,original,0.5,{DAY},1",
    )
    assert (found.rows, found.added) == (4, 1)
    assert [(fault.reason, fault.first_row) for fault in found.faults] == [
        ("the propensity is not above 0 and at most 1", 1),
        ("the asset is a picture of another item", 2),
        ("the asset key is unknown", 3),
    ]


def test_no_usable_row_is_an_error(config: NightlyConfig) -> None:
    with pytest.raises(InteractionError, match="none of 1 rows is usable; the first: the asset"):
        shown(config, f"ann,line/apple,abc,personalised,0.5,{DAY},1")
    assert stored(config, "user_id") == []


def test_without_a_night_there_are_originals_only(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    config = NightlyConfig(work_dir=tmp_path / "var")
    found = shown(config, f"u,i,,original,1,{DAY},0", f"u,i,{ANN.key},personalised,0.5,{DAY},0")
    assert (found.added, [fault.reason for fault in found.faults]) == (
        1,
        ["the asset key is unknown"],
    )
    assert [path.name for path in feedback_file(config.work_dir).parent.glob(".exposures*")] == []


def test_the_command(config: NightlyConfig, pigeon: Callable[..., Any], tmp_path: Path) -> None:
    source = tmp_path / "log.tsv"
    source.write_text(
        "who\twhat\tpic\tgroup\tp\tat\thit\n"
        f"ann\tline/apple\t{ANN.key}\tB\t0.25\t02.06.2026 12:00\tyes\n",
        encoding="utf-8",
    )
    columns = "--user who --item what --asset pic --propensity p --time at --clicked hit"
    reading = ("--time-format", "%d.%m.%Y %H:%M", "--time-zone", "Europe/Berlin", "--arms", "A,B")
    arguments = ("import", "exposures", source, *columns.split(), *reading)
    for state in ("added", "known"):
        ended = pigeon(*arguments, "--work-dir", config.work_dir)
        assert ended.code == 0, ended.err
        counts = dict(line.split(maxsplit=1) for line in ended.out.splitlines()[1:] if line.strip())
        assert counts[state] == "1"
    query = "SELECT arm, propensity, shown_at::VARCHAR AS at, clicked FROM exposures"
    assert ask(serving_file(config.work_dir), query).rows() == [
        ("B", 0.25, "2026-06-02 10:00:00+00", True)
    ]
    ended = pigeon("warehouse", "retain", "--keep-days", "0", "--work-dir", config.work_dir)
    assert "exposures" in ended.out
