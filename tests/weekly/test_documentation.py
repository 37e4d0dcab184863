"""Every example of docs/weekly.md runs as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pigeon_rec.config import load_config
from pigeon_rec.warehouse import ask
from pigeon_rec.weekly.config import EvaluationConfig, PromotionRules, WeeklyConfig, load_weekly
from pigeon_rec.weekly.steps import STEPS
from tests.registered import promoted, registry

PAGE = Path(__file__).resolve().parents[2] / "docs" / "weekly.md"


def blocks(language: str) -> list[str]:
    """The page's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


def test_the_settings_are_complete_and_the_defaults(tmp_path: Path) -> None:
    weekly, own, nightly = blocks("yaml")
    (tmp_path / "week.yaml").write_text(weekly, "utf-8")
    assert load_weekly(tmp_path / "week.yaml") == WeeklyConfig(work_dir=tmp_path / "var")
    settings = yaml.safe_load(weekly)
    assert settings.keys() == WeeklyConfig.model_fields.keys()
    assert settings["evaluation"].keys() == EvaluationConfig.model_fields.keys()
    assert settings["promotion_check"].keys() == PromotionRules.model_fields.keys()
    (tmp_path / "night.yaml").write_text(nightly, "utf-8")
    assert load_config(tmp_path / "night.yaml").model == "serving"
    (tmp_path / "own.yaml").write_text(own, "utf-8")
    assert load_weekly(tmp_path / "own.yaml").promotion_check.keep == {"cs": 0.01, "item_hit": 0.05}


def test_commands_exist_with_their_options(pigeon: Callable[..., Any]) -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if "pigeon-rec" in line]
    assert [words[1] for words in commands if words[0] == "align"] == list(STEPS)
    for words in commands:
        outcome = pigeon(*words[:2], "--help")
        assert outcome.code == 0
        assert all(w in outcome.out for w in words if w.startswith("--"))


@pytest.mark.parametrize("statement", blocks("sql"))
def test_sql_answers(tmp_path: Path, statement: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").touch()
    version = promoted(tmp_path, "first", source)
    assert ask(registry(tmp_path), statement)["version"].to_list() == [version]
