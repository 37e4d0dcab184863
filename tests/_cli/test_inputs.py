from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.runtime.lock import hold
from tests.data.pictures import save_shop


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    save_shop(tmp_path)
    events = "".join(f"{u},{i}.0,2026-05-{i + 10}\n" for u in range(4) for i in range(8))
    (tmp_path / "events.csv").write_text("customer_id,sku,created_at\n" + events, "utf-8")
    return tmp_path


def test_init_writes_a_night_and_says_what_is_next(shop: Path, pigeon: Callable[..., Any]) -> None:
    ended = pigeon("init", shop)
    assert ended.code == 0, ended.err
    assert "users_with_history  4" in ended.out
    assert "warning: the bundled model has seen emoji stickers only" in ended.out
    [command] = [line for line in ended.out.splitlines() if line.startswith("Next: ")]
    assert command.endswith(f"nightly run --config {shop / 'night.yaml'} --date 2026-05-17")


def test_init_does_not_overwrite(shop: Path, pigeon: Callable[..., Any]) -> None:
    assert pigeon("init", shop).code == 0
    ended = pigeon("init", shop)
    assert ended.code == 2
    assert "pigeon-rec check" in ended.err


def test_check_fails_where_a_night_would_draw_nothing(
    shop: Path, pigeon: Callable[..., Any]
) -> None:
    pigeon("init", shop, "--quiet")
    (shop / "events.csv").write_text("customer_id,sku,created_at\n1,sku-1,2026-05-10\n", "utf-8")
    ended = pigeon("check", shop / "night.yaml")
    assert ended.code == 3
    assert "error: no interaction names an item of the catalogue" in ended.out
    assert "Mend the errors" in ended.out
    as_json = json.loads(pigeon("check", shop / "night.yaml", "--json").out)
    assert as_json["findings"][0]["level"] == "error"


def test_a_night_over_such_tables_ends_before_any_work(
    shop: Path, pigeon: Callable[..., Any]
) -> None:
    pigeon("init", shop, "--quiet")
    (shop / "events.csv").write_text("customer_id,sku,created_at\n1,sku-1,2026-05-10\n", "utf-8")
    night = ("--config", shop / "night.yaml", "--date", "2026-05-30")
    ended = pigeon("nightly", "run", *night)
    assert ended.code == 3
    assert "no interaction names an item" in ended.err
    assert [path.name for path in (shop / "var" / "runs" / "2026-05-30").iterdir()] == [
        "check.json"
    ]
    ended = pigeon("nightly", "check", *night)
    assert ended.code == 3


def test_the_first_rows_left_out_are_listed(shop: Path, pigeon: Callable[..., Any]) -> None:
    for number in range(7):
        next((shop / "photos").glob(f"{number}.*")).write_bytes(b"broken")
    with (shop / "events.csv").open("a", encoding="utf-8") as file:
        file.write("9,\u202e3,never\n")
    ended = pigeon("init", shop)
    assert ended.code == 3  # too few items are left
    lines = [line for line in ended.out.splitlines() if "left out: " in line]
    assert len(lines) == 7
    assert "products.csv, row 1, image 'photos/0.png': the image cannot be decoded" in lines[0]
    assert lines[5].endswith(f"2 more, listed in {shop / 'var' / 'inputs' / 'refused.parquet'}")
    assert "left out: 1 row: the time is missing" in lines[6]
    assert "\\u202e" in lines[6]
    assert not any("\u202e" in line for line in lines)


def test_names_that_are_not_utf_8_are_refused(shop: Path, pigeon: Callable[..., Any]) -> None:
    ended = pigeon("init", shop, "--items", f"{shop}/\udcff.csv")
    assert ended.code == 2
    assert r"\udcff.csv' is not UTF-8 [the command line]" in ended.err


@pytest.mark.parametrize("date", ["0000-01-01", "9999-12-31", "2026-02-30", "today"])
def test_a_date_without_a_next_day_is_refused(
    shop: Path, pigeon: Callable[..., Any], date: str
) -> None:
    pigeon("init", shop, "--quiet")
    ended = pigeon("check", shop / "night.yaml", "--date", date)
    assert (ended.code, ended.err.partition(" [")[0]) == (2, f"error: '{date}' is not an ISO date")


@pytest.mark.parametrize(
    ("work", "message"),
    [("events.csv", "File exists"), ("loop", "File exists"), ("/proc/no", "No such file")],
)
def test_a_work_folder_that_cannot_be_made_is_told(
    shop: Path, pigeon: Callable[..., Any], work: str, message: str
) -> None:
    pigeon("init", shop, "--quiet")
    (shop / "loop").symlink_to(shop / "loop")
    ended = pigeon("check", shop / "night.yaml", "--work-dir", shop / work)
    assert ended.code == 2
    assert f"cannot write in the work directory: {message}" in ended.err


def test_a_check_says_what_the_gate_and_a_night_will_do(
    shop: Path, pigeon: Callable[..., Any]
) -> None:
    ended = pigeon("init", shop)
    assert "quality gate\n  chosen_by" in ended.out
    assert "warning: the catalogue has 12 pictures to calibrate the quality gate on" in ended.out
    basis = "one core of a usual processor, the bundled model"
    assert f"estimate of a night that reuses nothing ({basis})" in ended.out
    facts = json.loads(pigeon("check", shop / "night.yaml", "--json").out)
    assert facts["gate"]["chosen_by"] == "calibration"
    assert facts["gate"]["min_text_score"] == -1.0
    assert facts["estimate"]["pictures"] > 0


def test_a_check_waits_for_a_running_night(shop: Path, pigeon: Callable[..., Any]) -> None:
    pigeon("init", shop, "--quiet")
    with hold(NightPaths(shop / "var", dt.date(2026, 5, 30)), "plan"):
        ended = pigeon("check", shop / "night.yaml")
    assert ended.code == 3
    assert "which has been running `plan`" in ended.err
