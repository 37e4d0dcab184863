"""The command line as a whole: help, errors, exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec import __version__
from pigeon_rec.errors import WarehouseError

Pigeon = Callable[..., Any]


def test_help_lists_the_commands(pigeon: Pigeon) -> None:
    outcome = pigeon("--help")
    assert outcome.code == 0
    assert {"nightly", "sql", "version"} <= set(outcome.out.split())


def test_nightly_help_lists_every_step(pigeon: Pigeon) -> None:
    from pigeon_rec.nightly.steps import STEPS

    assert set(STEPS) <= set(pigeon("nightly", "--help").out.split())


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_version(pigeon: Pigeon, arguments: list[str]) -> None:
    assert pigeon(*arguments).out == f"{__version__}\n"


def test_version_as_json(pigeon: Pigeon) -> None:
    assert json.loads(pigeon("version", "--json").out) == {"version": __version__}


def test_unknown_option_exits_with_2(pigeon: Pigeon) -> None:
    outcome = pigeon("nightly", "plan", "--fast")
    assert (outcome.code, outcome.out) == (2, "")
    assert "--fast" in outcome.err


@pytest.mark.parametrize("arguments", [["--fast"], ["--shard", "-1"], ["--shard"]])
def test_usage_errors_are_json_objects_with_json(pigeon: Pigeon, arguments: list[str]) -> None:
    outcome = pigeon("nightly", "generate", "--json", *arguments)
    assert outcome.code == 2
    error = json.loads(outcome.out)["error"]
    assert set(error) == {"kind", "what", "location", "remedy", "retryable"}
    assert error["location"] == arguments[0]
    assert error["remedy"].endswith("--help`")


def test_the_error_for_a_wrong_date_names_the_received_value(pigeon: Pigeon) -> None:
    outcome = pigeon("nightly", "plan", "--date", "June 1st")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert "'June 1st'" in outcome.err
    assert "2026-06-01" in outcome.err


def test_errors_are_json_objects_with_json(pigeon: Pigeon) -> None:
    outcome = pigeon("nightly", "plan", "--date", "June 1st", "--json")
    error = json.loads(outcome.out)["error"]
    assert outcome.code == 2
    assert error["kind"] == "ConfigError"
    assert error["location"] == "date"
    assert error["retryable"] is False
    assert set(error) == {"kind", "what", "location", "remedy", "retryable"}


def test_wrong_setting_stops_before_any_work(pigeon: Pigeon, tmp_path: Path) -> None:
    config = tmp_path / "night.yaml"
    config.write_text("plan: {shards: 0}\nbatch_sise: 4\n", encoding="utf-8")
    work_dir = tmp_path / "var"
    outcome = pigeon("nightly", "run", "--config", config, "--work-dir", work_dir)
    assert outcome.code == 2
    for fact in (str(config), "plan.shards", "batch_sise", "received 0"):
        assert fact in outcome.err
    assert not work_dir.exists()


def test_generate_without_a_plan_names_the_missing_step(pigeon: Pigeon, tmp_path: Path) -> None:
    outcome = pigeon("nightly", "generate", "--date", "2026-06-01", "--work-dir", tmp_path)
    assert outcome.code == 3
    assert "plan.parquet" in outcome.err
    assert "pigeon-rec nightly plan" in outcome.err


def test_sql_before_the_first_night_is_an_error(pigeon: Pigeon, tmp_path: Path) -> None:
    outcome = pigeon("sql", "SELECT 1", "--work-dir", tmp_path)
    assert outcome.code == WarehouseError.exit_code
    assert "serving.duckdb" in outcome.err


def test_parameter_without_a_value_is_refused(pigeon: Pigeon, tmp_path: Path) -> None:
    outcome = pigeon("sql", "SELECT $x", "--param", "x", "--work-dir", tmp_path)
    assert outcome.code == 2
    assert "--param user_id=u1" in outcome.err


def test_bugs_keep_their_traceback(pigeon: Pigeon, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pigeon_rec.nightly.steps.run_step", broken)
    with pytest.raises(ZeroDivisionError):
        pigeon("nightly", "plan")


def test_interruption_exits_with_130(pigeon: Pigeon, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pigeon_rec.nightly.steps.run_step", interrupted)
    assert pigeon("nightly", "plan").code == 130
    assert pigeon("nightly", "plan", "--json").code == 130


def test_a_closed_pipe_prints_no_traceback() -> None:
    command = f"{sys.executable} -m pigeon_rec.cli --help | true"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    assert "Traceback" not in ended.stderr
