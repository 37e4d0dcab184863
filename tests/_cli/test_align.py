"""`pigeon-rec align`: commands, settings and errors; the steps themselves are in tests/weekly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec._cli.align import HELP

Pigeon = Callable[..., Any]


def test_help_lists_every_step(pigeon: Pigeon) -> None:
    from pigeon_rec.weekly.steps import STEPS

    assert list(HELP) == list(STEPS)
    assert set(STEPS) <= set(pigeon("align", "--help").out.split())


@pytest.mark.parametrize("step", [name for name in HELP if name not in ("prepare", "run")])
def test_a_step_too_early_names_the_one_before(pigeon: Pigeon, tmp_path: Path, step: str) -> None:
    day = ("--date", "2026-06-07", "--config", "smoke", "--work-dir", tmp_path)
    outcome = pigeon("align", step, *day, "--json")
    error = json.loads(outcome.out)["error"]
    assert (outcome.code, error["kind"]) == (4, "TrainingError")
    assert "pigeon-rec align " in error["remedy"]
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_setting_stops_before_any_work(pigeon: Pigeon, tmp_path: Path) -> None:
    config = tmp_path / "week.yaml"
    config.write_text("promotion_check: {confidence: 2}\nplam: smoke\n", encoding="utf-8")
    outcome = pigeon("align", "run", "--config", config, "--work-dir", tmp_path / "var")
    assert outcome.code == 2
    assert all(fact in outcome.err for fact in (str(config), "promotion_check.confidence", "plam"))
    assert not (tmp_path / "var").exists()


def test_an_unknown_bundled_configuration_names_the_known_ones(pigeon: Pigeon) -> None:
    outcome = pigeon("align", "run", "--config", "smok")
    assert outcome.code == 2
    assert "smoke" in outcome.err
