"""Starting from the weights of a finished model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pigeon_rec.errors import ModelError, TrainingError
from pigeon_rec.training import recipes
from pigeon_rec.training.adopt import PARTS, adopt
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.frozen import load_part
from pigeon_rec.training.language_model import LanguageModelRecipe
from pigeon_rec.training.recipes import RECIPES, run_recipe
from pigeon_rec.training.start import copy_text_tokenizer, start_from
from pigeon_rec.training.tokenizer import TokenizerRecipe
from tests.model.tiny import TINY, seeded
from tests.training.tiny import CONFIG, handful


@pytest.mark.parametrize("name", list(PARTS))
def test_a_recipe_starts_with_the_models_weights(
    name: str, model: Path, artwork: TrainingArtwork, trained: Path, tmp_path: Path
) -> None:
    with seeded(9):
        recipe = RECIPES[name](CONFIG, artwork, trained)
    before = {k: v.clone() for k, v in recipe.module().state_dict().items()}
    start_from(recipe, name, model)
    after = recipe.module().state_dict()
    given = load_file(adopt(model, CONFIG, tmp_path, [name])[0])
    if name == "renderer":  # keeps the autoencoder of the training folder
        own = {key for key in given if key.startswith("codec.")}
        assert own
        assert all(torch.equal(after[key], before[key]) for key in own)
        given = {key: value for key, value in given.items() if key not in own}
    assert any(not torch.equal(before[key], after[key]) for key in given)
    assert all(torch.equal(after[key], value) for key, value in given.items())


def test_a_tokenizer_keeps_the_models_codebook(model: Path, artwork: TrainingArtwork) -> None:
    with seeded(9):
        recipe = TokenizerRecipe(TINY, artwork)
    assert not recipe.quantising
    start_from(recipe, "tokenizer", model)
    recipe.start(0)
    assert recipe.quantising
    assert torch.equal(recipe.averages.sums, recipe.tokenizer.quantize.embedding.weight)


def test_other_sizes_are_refused(model: Path, artwork: TrainingArtwork) -> None:
    wider = TINY.tokenizer.model_copy(update={"width": 64})
    recipe = TokenizerRecipe(TINY.model_copy(update={"tokenizer": wider}), artwork)
    with pytest.raises(TrainingError, match="do not fit the recipe 'tokenizer'") as refused:
        start_from(recipe, "tokenizer", model)
    assert refused.value.location == str(model)


def test_stages_cannot_start_from_a_model(
    model: Path, artwork: TrainingArtwork, trained: Path
) -> None:
    recipe = RECIPES["reconstruct"](CONFIG, artwork, trained)
    with pytest.raises(TrainingError, match="'reconstruct' cannot start from a model"):
        start_from(recipe, "reconstruct", model)


def test_an_existing_text_tokenizer_is_kept(model: Path, tmp_path: Path) -> None:
    copy_text_tokenizer(tmp_path, model)
    text = (tmp_path / "tokenizer.json").read_bytes()
    assert text == (model / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer.json").write_bytes(b"mine")
    copy_text_tokenizer(tmp_path, model)
    assert (tmp_path / "tokenizer.json").read_bytes() == b"mine"
    with pytest.raises(ModelError):
        copy_text_tokenizer(tmp_path / "empty", tmp_path / "nowhere")


def test_a_run_continues_from_the_models_weights(
    model: Path, trained: Path, artwork: TrainingArtwork, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(recipes, "load_artwork", handful)
    run_recipe("tokenizer", CONFIG, tmp_path, start=model)
    run_recipe("language-model", CONFIG, tmp_path, start=model)
    recipe = RECIPES["language-model"](CONFIG, artwork, tmp_path)
    assert isinstance(recipe, LanguageModelRecipe)
    load_part(recipe.personalisation, trained, "language-model")
    old = recipe.personalisation.token_embeddings(torch.arange(8)).detach().clone()
    load_part(recipe.personalisation, tmp_path, "language-model")
    new = recipe.personalisation.token_embeddings(torch.arange(8)).detach()
    # Three small steps stay near the model; a random start would not.
    assert 0 < float((new - old).abs().mean()) < 0.3 * float(old.abs().mean())
