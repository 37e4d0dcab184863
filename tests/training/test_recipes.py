"""Training plans, the order of recipes, and that each one learns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pigeon_rec.errors import ConfigError, TrainingError
from pigeon_rec.training import recipes
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.configuration import CONFIGS, TrainingConfig, load_training_config
from pigeon_rec.training.recipes import RECIPES, run_recipe
from pigeon_rec.training.text import text_tokenizer
from tests.model.tiny import seeded
from tests.training.tiny import CONFIG, falls, handful, quick_loop


def test_the_bundled_plan_has_a_loop_for_every_recipe() -> None:
    config = load_training_config("sticker-64")
    assert config.model.name == "sticker-64"
    assert list(config.loops) == list(RECIPES)


def test_a_plan_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(CONFIG.model_dump(mode="json")), encoding="utf-8")
    assert load_training_config(path) == CONFIG == load_training_config(str(path))
    assert TrainingConfig.model_validate(CONFIG.model_dump()) == CONFIG


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        ("loops: [", "while parsing"),
        ("[]", "valid dictionary"),
        ("loops: {tokenizer: {steps: 0, batch_size: 1, learning_rate: 1}}", "tokenizer.steps"),
        ("{loops: {}, model: {colour: red}}", "model.colour"),
        ("{loops: {}, model: {tokenizer: {patch_size: 5}}}", "patch_size 5 must divide"),
    ],
)
def test_an_unusable_plan_is_told(tmp_path: Path, content: str | None, told: str) -> None:
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"(?s)training config is unusable") as refused:
        load_training_config(path)
    assert told in str(refused.value)
    assert refused.value.location == str(path)
    assert all(p.stem in str(refused.value.remedy) for p in CONFIGS.glob("*.yaml"))


def test_an_unknown_recipe_tells_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no recipe 'poet'.*tokenizer, autoencoder, scorer"):
        run_recipe("poet", CONFIG, tmp_path)
    bare = CONFIG.model_copy(update={"loops": {"scorer": quick_loop()}})
    with pytest.raises(TrainingError, match=r"no recipe 'tokenizer'.*with a loop: scorer"):
        run_recipe("tokenizer", bare, tmp_path)


@pytest.mark.parametrize(
    ("name", "first"),
    [("renderer", "tokenizer"), ("language-model", "tokenizer"), ("reconstruct", "tokenizer")],
)
def test_a_recipe_says_which_one_comes_before_it(
    name: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "load_artwork", handful)
    with pytest.raises(TrainingError, match=f"pigeon-rec train {first}"):
        run_recipe(name, CONFIG, tmp_path)


def test_every_recipe_leaves_weights_and_metrics(trained: Path) -> None:
    for name in RECIPES:
        weights = load_file(trained / name / "model.safetensors")
        assert weights
        assert all(torch.isfinite(w).all() for w in weights.values() if w.is_floating_point())
        rows = (trained / name / "metrics.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(row)["step"] for row in rows] == [0, 1, 2]


@pytest.mark.parametrize("name", ["autoencoder", "scorer"])
def test_a_recipe_run_again_elsewhere_gives_the_same_weights(
    name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "load_artwork", handful)
    torch.manual_seed(123)  # whatever was drawn before
    path = run_recipe(name, CONFIG, tmp_path)
    assert path.read_bytes() == (trained / name / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_loss_of_one_batch_falls(name: str, artwork: TrainingArtwork, trained: Path) -> None:
    with seeded():
        recipe = RECIPES[name](CONFIG, artwork, trained)
        first, last = falls(recipe, learning_rate=3e-2 if name == "align" else 3e-3)
    assert last < 0.97 * first


def test_the_text_tokenizer_is_learned_once(artwork: TrainingArtwork, tmp_path: Path) -> None:
    learned = text_tokenizer(tmp_path, artwork, CONFIG)
    written = (tmp_path / "tokenizer.json").read_bytes()
    loaded = text_tokenizer(tmp_path, artwork, CONFIG)
    assert (tmp_path / "tokenizer.json").read_bytes() == written
    caption = str(artwork.rows["semantics"][0])
    assert learned.encode(caption) == loaded.encode(caption)
    assert len(learned) <= CONFIG.model.language_model.text_vocabulary
