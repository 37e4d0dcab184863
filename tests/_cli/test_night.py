"""The commands of a night on synthetic files, with real steps and a real DuckDB file."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.nightly.steps import STEPS
from pigeon_rec.runtime import airflow_step
from tests.nightly.made_night import NIGHT, small_night, write_catalogue

Pigeon = Callable[..., Any]


def settings_in(folder: Path) -> Path:
    """A configuration file whose night has been planned and drawn, but not published."""
    catalogue = write_catalogue(folder / "catalogue")
    small_night().write(NightlyConfig(catalogue=str(catalogue), work_dir=folder / "var"))
    settings = {"catalogue": str(catalogue), "work_dir": str(folder / "var")}
    file = folder / "night.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


@pytest.fixture
def unpublished(tmp_path: Path) -> Path:
    return settings_in(tmp_path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of a promoted night."""
    folder = tmp_path_factory.mktemp("served")
    settings_in(folder)
    config = NightlyConfig(work_dir=folder / "var")
    publish_night(config, NIGHT)
    promote_night(config)
    return config.work_dir


def test_publish_promote_and_report_one_after_the_other(pigeon: Pigeon, unpublished: Path) -> None:
    night = ("--date", NIGHT.isoformat(), "--config", unpublished, "--json")
    published = json.loads(pigeon("nightly", "publish", *night).out)
    assert (published["planned"], published["served"], published["rejected"]) == (6, 5, 1)
    snapshot = Path(json.loads(pigeon("nightly", "promote", *night).out)["path"])
    assert snapshot.is_file()
    reported = json.loads(pigeon("nightly", "report", *night).out)
    assert "ada" in Path(reported["gallery"]).read_text(encoding="utf-8")


def test_a_date_in_the_future_needs_an_option(
    pigeon: Pigeon, unpublished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = ("--date", NIGHT.isoformat(), "--config", unpublished)
    monkeypatch.setattr(airflow_step, "latest_date", lambda: NIGHT - dt.timedelta(days=1))
    for step in STEPS:
        outcome = pigeon("nightly", step, *night)
        assert outcome.code == 2, step
        assert all(text in outcome.err for text in (NIGHT.isoformat(), "future", "--future"))
    assert not (unpublished.parent / "var" / "warehouse").exists()
    assert pigeon("nightly", "publish", *night, "--future").code == 0


def test_the_summary_has_a_line_per_field(pigeon: Pigeon, unpublished: Path) -> None:
    night = ("--date", NIGHT.isoformat(), "--config", unpublished)
    outcome = pigeon("nightly", "publish", *night)
    assert outcome.out.split("\n")[0] == f"publish {NIGHT}"
    assert ["served", "5"] in [line.split() for line in outcome.out.split("\n")]
    assert pigeon("nightly", "publish", *night, "--quiet").out == ""


def test_the_table_shows_the_size_of_images(pigeon: Pigeon, served: Path) -> None:
    query = "SELECT item_id, image, score FROM served_assets WHERE user_id = 'ada'"
    outcome = pigeon("sql", query, "--work-dir", served)
    assert (outcome.code, outcome.err) == (0, "")
    header, _, *rows = outcome.out.rstrip("\n").split("\n")
    assert header.split() == ["item_id", "image", "score"]
    assert sorted(row.split()[0] for row in rows) == ["flat/apple", "line/boat"]
    for row in rows:
        assert row.endswith("bytes>  0.5000")


def test_json_has_columns_and_rows(pigeon: Pigeon, served: Path) -> None:
    query = (
        "SELECT user_id, history_ids[1] AS first, logical_date FROM asset_for('ada', 'flat/apple')"
    )
    outcome = pigeon("sql", query, "--work-dir", served, "--json")
    assert json.loads(outcome.out) == {
        "columns": ["user_id", "first", "logical_date"],
        "rows": [["ada", "flat/apple", "2026-06-01"]],
    }


def test_saved_query_takes_bound_values(pigeon: Pigeon, served: Path) -> None:
    arguments = ("sql", "user_gallery", "--work-dir", served, "--json", "--param")
    assert len(json.loads(pigeon(*arguments, "user_id=ada").out)["rows"]) == 2
    # A value is never SQL: this names a user that does not exist.
    assert json.loads(pigeon(*arguments, "user_id=ada' OR '1'='1").out)["rows"] == []


@pytest.mark.parametrize("query", ["SELECT no FROM nowhere", "user_gallery", "DROP TABLE runs"])
def test_a_query_that_fails_is_an_error(pigeon: Pigeon, served: Path, query: str) -> None:
    outcome = pigeon("sql", query, "--work-dir", served, "--json")
    assert outcome.code == 5
    assert json.loads(outcome.out)["error"]["kind"] == "WarehouseError"


@pytest.mark.parametrize("name", ["best_assets", "coverage", "night", "rejections_by_reason"])
def test_saved_queries_without_parameters_run(pigeon: Pigeon, served: Path, name: str) -> None:
    outcome = pigeon("sql", name, "--work-dir", served)
    assert (outcome.code, outcome.err) == (0, "")
    assert len(outcome.out.rstrip("\n").split("\n")) > 2
