"""The commands `pigeon-rec warehouse ...` on a synthetic night with real files."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from pigeon_rec.config import NightlyConfig, WarehouseConfig
from pigeon_rec.nightly.publish import promote_night, publish_night
from tests.nightly.made_night import NIGHT, MadeNight, Pair, small_night

Pigeon = Callable[..., Any]


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    """Settings of two published and promoted nights whose images are stored in a folder."""
    images = f"file://{tmp_path}/pictures"
    config = NightlyConfig(work_dir=tmp_path / "var", warehouse=WarehouseConfig(images=images))
    later = MadeNight([Pair("eve", "flat/cat")], date=NIGHT + dt.timedelta(days=9))
    for night in (small_night(), later):
        night.write(config)
        publish_night(config, night.date)
    promote_night(config)
    return config


@pytest.fixture
def options(config: NightlyConfig, tmp_path: Path) -> tuple[str | Path, ...]:
    settings = {"work_dir": str(config.work_dir), "warehouse": {"images": config.warehouse.images}}
    (tmp_path / "night.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return ("--config", tmp_path / "night.yaml")


def test_a_sound_warehouse_is_clean(pigeon: Pigeon, options: tuple[str | Path, ...]) -> None:
    outcome = pigeon("warehouse", "check", *options)
    assert (outcome.code, outcome.out, outcome.err) == (0, "clean\n", "")
    facts = json.loads(pigeon("warehouse", "check", *options, "--json").out)
    assert facts == {"clean": True, "faults": []}


def test_faults_are_listed_and_the_exit_status_is_1(
    pigeon: Pigeon, options: tuple[str | Path, ...], config: NightlyConfig, tmp_path: Path
) -> None:
    with duckdb.connect(str(config.work_dir / "warehouse" / "pigeon.duckdb")) as connection:
        connection.execute("UPDATE runs SET rejected = 5 WHERE run_id = '2026-06-01'")
    lost = sorted(tmp_path.glob("pictures/*/*.png"))[0]
    lost.unlink()
    outcome = pigeon("warehouse", "check", *options)
    assert outcome.code == 1
    assert outcome.out.split("\n")[0].split() == ["kind", "subject", "detail"]
    assert "wrong count" in outcome.out
    assert "2 faults" in outcome.out
    outcome = pigeon("warehouse", "check", *options, "--json")
    faults = json.loads(outcome.out)["faults"]
    assert outcome.code == 1
    assert [fault["kind"] for fault in faults] == ["damaged picture", "wrong count"]
    assert lost.name in faults[0]["detail"]


def test_info_counts_nights_and_assets(pigeon: Pigeon, options: tuple[str | Path, ...]) -> None:
    facts = json.loads(pigeon("warehouse", "info", *options, "--json").out)
    assert (facts["nights"], facts["pictures"], facts["served_pairs"]) == (2, 6, 1)
    assert (facts["first_night"], facts["served_night"]) == ("2026-06-01", "2026-06-10")
    assert facts["bytes_in_table"] == 0 < facts["bytes_outside"]
    assert facts["snapshots"] == 1
    assert facts["served_snapshot"].startswith("2026-06-10-")
    assert "2026-06-10" in pigeon("warehouse", "info", *options).out


def test_retain_removes_old_nights_and_gc_their_files_once_no_snapshot_has_them(
    pigeon: Pigeon, options: tuple[str | Path, ...], config: NightlyConfig, tmp_path: Path
) -> None:
    kept = json.loads(pigeon("warehouse", "retain", "--keep-days", "7", *options, "--json").out)
    assert kept == {"dropped": ["2026-06-01"], "pictures": 5, "exposures": 0, "mirrored": 0}
    assert json.loads(pigeon("warehouse", "gc", *options, "--json").out)["pictures"] == 0
    for snapshot in (config.work_dir / "warehouse" / "snapshots").iterdir():
        snapshot.unlink()
    promote_night(config)
    assert json.loads(pigeon("warehouse", "gc", *options, "--json").out)["pictures"] == 5
    assert len(list(tmp_path.glob("pictures/*/*.png"))) == 1
    assert pigeon("warehouse", "check", *options).out == "clean\n"


def test_drop_night_removes_one_night_and_promote_makes_it_visible(
    pigeon: Pigeon, options: tuple[str | Path, ...]
) -> None:
    outcome = pigeon("warehouse", "drop-night", "2026-06-10", *options)
    assert (outcome.code, outcome.err) == (0, "")
    assert "pigeon-rec nightly promote" in outcome.out
    count = ("sql", "SELECT DISTINCT run_id FROM served_assets", *options, "--json")
    assert json.loads(pigeon(*count).out)["rows"] == [["2026-06-10"]]
    assert pigeon("nightly", "promote", *options).code == 0
    assert json.loads(pigeon(*count).out)["rows"] == [["2026-06-01"]]
    again = pigeon("warehouse", "drop-night", "2026-06-10", *options, "--json")
    assert again.code == 5
    assert "no night of 2026-06-10" in again.out
    assert pigeon("warehouse", "drop-night", "10.6.", *options).code == 2


@pytest.mark.parametrize("command", ["check", "info", "gc", "retain", "drop-night"])
def test_a_missing_warehouse_is_an_error(pigeon: Pigeon, tmp_path: Path, command: str) -> None:
    more = {"retain": ("--keep-days", "7"), "drop-night": ("2026-06-01",)}.get(command, ())
    outcome = pigeon("warehouse", command, *more, "--work-dir", tmp_path / "none")
    assert outcome.code == 5
    assert "there is no warehouse" in outcome.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("days", ["-1", "many"])
def test_invalid_days_to_keep_are_refused(pigeon: Pigeon, tmp_path: Path, days: str) -> None:
    outcome = pigeon("warehouse", "retain", "--keep-days", days, "--work-dir", tmp_path)
    assert outcome.code == 2
    assert "--keep-days" in outcome.err


@pytest.mark.parametrize("images", ["pictures", "carrier://pigeon", "file://"])
def test_a_location_is_checked_before_any_work(pigeon: Pigeon, tmp_path: Path, images: str) -> None:
    (tmp_path / "night.yaml").write_text(f"warehouse: {{images: '{images}'}}", encoding="utf-8")
    outcome = pigeon("nightly", "plan", "--config", tmp_path / "night.yaml")
    assert outcome.code == 2
    assert "warehouse.images" in outcome.err
    assert f"'{images}'" in outcome.err
