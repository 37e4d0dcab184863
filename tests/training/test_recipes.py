"""The order of recipes, and that each one learns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pigeon_rec.errors import TrainingError
from pigeon_rec.training import recipes
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.recipes import RECIPES, run_recipe
from tests.model.tiny import seeded
from tests.training.tiny import CONFIG, falls, handful, quick_loop


def test_an_unknown_recipe_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no recipe 'poet'.*tokenizer, autoencoder, scorer"):
        run_recipe("poet", CONFIG, tmp_path)
    bare = CONFIG.model_copy(update={"loops": {"scorer": quick_loop()}})
    with pytest.raises(TrainingError, match=r"no recipe 'tokenizer'.*with a loop: scorer"):
        run_recipe("tokenizer", bare, tmp_path)


@pytest.mark.parametrize(
    ("name", "first"),
    [("renderer", "tokenizer"), ("language-model", "tokenizer"), ("reconstruct", "tokenizer")],
)
def test_a_missing_earlier_recipe_is_named(
    name: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "load_artwork", handful)
    with pytest.raises(TrainingError, match=f"pigeon-rec train {first}"):
        run_recipe(name, CONFIG, tmp_path)


def test_every_recipe_writes_weights_and_metrics(trained: Path) -> None:
    for name in RECIPES:
        weights = load_file(trained / name / "model.safetensors")
        assert weights
        assert all(torch.isfinite(w).all() for w in weights.values() if w.is_floating_point())
        rows = (trained / name / "metrics.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(row)["step"] for row in rows] == [0, 1, 2]


@pytest.mark.parametrize("name", ["autoencoder", "scorer"])
def test_a_repeated_run_gives_the_same_weights(
    name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "load_artwork", handful)
    torch.manual_seed(123)  # must have no effect
    path = run_recipe(name, CONFIG, tmp_path)
    assert path.read_bytes() == (trained / name / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_loss_of_one_batch_falls(name: str, artwork: TrainingArtwork, trained: Path) -> None:
    with seeded():
        recipe = RECIPES[name](CONFIG, artwork, trained)
        first, last = falls(recipe, learning_rate=3e-2 if name == "align" else 3e-3)
    assert last < 0.97 * first
