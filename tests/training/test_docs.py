"""The examples of `docs/training.md` work."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.training.configuration import load_training_config
from pigeon_rec.training.recipes import RECIPES
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "training.md"
TEXT = PAGE.read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)


def test_commands_exist_with_their_options(pigeon: Callable[..., Any]) -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines() if line]
    commands = []
    for line in lines:
        words = shlex.split(line, comments=True)
        command = words[words.index("train") :]
        outcome = pigeon("train", command[1], "--help")
        assert outcome.code == 0
        assert all(w in outcome.out for w in command if w.startswith("--"))
        commands.append(command[1])
    first = commands.index("tokenizer")
    assert commands[:first] == ["all"] * first
    chain = [*list(RECIPES)[:-1], "pairs", "align", "bundle"]
    assert commands[first : first + len(chain)] == chain


def test_yaml_is_a_valid_configuration(tmp_path: Path) -> None:
    text, trackers = blocks("yaml")
    (tmp_path / "tracked.yaml").write_text(trackers + text, "utf-8")
    tracked = load_training_config(tmp_path / "tracked.yaml").trackers
    assert tracked == ("tensorboard", "mlflow")
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    config = load_training_config(tmp_path / "mine.yaml")
    assert config.loops["reconstruct"].accumulate == 2
    assert config.pairs.text_weight == load_training_config("sticker-64").pairs.text_weight


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, str(PAGE), "exec"), {"__name__": "__main__"})  # noqa: S102
    assert "align" in capsys.readouterr().out


def test_every_command_is_in_the_table() -> None:
    for name in ("all", *RECIPES, "pairs", "bundle"):
        assert re.search(rf"^\| `{name}` \|", TEXT, re.M), name
