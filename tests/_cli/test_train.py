"""`pigeon-rec train`: commands, their help and their errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec._cli.train import RECIPES as COMMANDS

Pigeon = Callable[..., Any]


def test_every_recipe_has_a_command() -> None:
    from pigeon_rec.training.recipes import RECIPES

    assert list(COMMANDS) == list(RECIPES)


@pytest.mark.parametrize("option", ["--config", "--plan"])
def test_an_unknown_configuration_lists_the_bundled_ones(pigeon: Pigeon, option: str) -> None:
    outcome = pigeon("train", "tokenizer", option, "nowhere")
    assert outcome.code == 2
    assert "sticker-64" in outcome.err


def test_minutes_replace_the_length_of_a_loop() -> None:
    from pigeon_rec.training.configuration import load_training_config

    config = load_training_config("smoke")
    loops = config.with_minutes_of("scorer", 2.5).loops
    assert (loops["scorer"].steps, loops["scorer"].minutes) == (None, 2.5)
    assert loops["renderer"] == config.loops["renderer"]


@pytest.mark.parametrize("recipe", ["all", "scorer"])
def test_no_minutes_are_refused(pigeon: Pigeon, tmp_path: Path, recipe: str) -> None:
    outcome = pigeon("train", recipe, "--minutes", "0", "--out", tmp_path)
    assert outcome.code == 2
    assert "minutes" in outcome.err


def test_bundle_names_what_has_not_been_trained(pigeon: Pigeon, tmp_path: Path) -> None:
    outcome = pigeon("train", "bundle", tmp_path / "model", "--out", tmp_path)
    assert outcome.code == 4
    assert "tokenizer.json" in outcome.err
