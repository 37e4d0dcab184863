"""Artwork as arrays; training never loads a held-out pair."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from pigeon_rec.data.world import load_world
from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.training import recipes
from pigeon_rec.training.artwork import (
    WORLD,
    TrainingArtwork,
    decode_artwork,
    load_artwork,
    shifted,
)
from pigeon_rec.training.frozen import artwork_codes
from pigeon_rec.training.language_model import LanguageModelRecipe
from pigeon_rec.training.reconstruct import ReconstructRecipe
from pigeon_rec.training.renderer import RendererRecipe
from pigeon_rec.training.restyle import RestyleSamples, other_style
from pigeon_rec.training.windows import load_windows
from tests.training.tiny import CONFIG, handful, is_held_out

BUNDLED = load_world(WORLD)


@pytest.fixture(scope="module")
def whole() -> TrainingArtwork:
    """All artwork that is not held out."""
    return load_artwork()


def test_held_out_pairs_are_a_tenth_of_the_artwork() -> None:
    held_out, rows = BUNDLED.held_out_pairs(), BUNDLED.artwork()
    pairs = set(rows.select("style", "concept").rows())
    assert held_out < pairs
    assert 0.08 < len(held_out) / len(pairs) < 0.12


def test_no_training_artwork_is_held_out(whole: TrainingArtwork) -> None:
    assert len(whole) == BUNDLED.artwork().height - len(BUNDLED.held_out_pairs())
    assert not any(is_held_out(whole, range(len(whole))))
    held_out = [
        (whole.concepts.index(concept), whole.styles.index(style))
        for style, concept in BUNDLED.held_out_pairs()
    ]
    assert all(whole.at[place] == -1 for place in held_out)


def test_no_training_image_equals_a_held_out_one(whole: TrainingArtwork) -> None:
    seen = {image.tobytes() for image in whole.images}
    hidden = BUNDLED.artwork().filter("held_out")
    assert hidden.height == len(BUNDLED.held_out_pairs())
    for item, data in hidden.select("item_id", "image").iter_rows():
        with Image.open(io.BytesIO(data)) as image:
            assert np.asarray(image.convert("RGB")).tobytes() not in seen, item


def test_no_restyling_sample_has_a_held_out_pair(whole: TrainingArtwork) -> None:
    batch = RestyleSamples(whole).draw(400, 8, np.random.default_rng(0))
    for rows in (batch.history, batch.reference, batch.target):
        assert rows.min() >= 0
        assert rows.max() < 2 * len(whole)
        assert not any(is_held_out(whole, rows.flatten().tolist()))


@pytest.mark.parametrize(("split", "least"), [("train", 10_000), ("valid", 1000)])
def test_no_window_has_a_held_out_pair(whole: TrainingArtwork, split: str, least: int) -> None:
    windows = load_windows(whole, split)
    assert len(windows) == windows.sequences.height > least
    assert windows.history.shape == (len(windows), 5)
    used = torch.cat([windows.history.flatten(), windows.target]).unique().tolist()
    assert not any(is_held_out(whole, used))
    assert used[0] >= 0


def test_no_reference_is_a_held_out_pair(whole: TrainingArtwork) -> None:
    target = load_windows(whole, "train").target.numpy()
    rows = other_style(whole, target, 0.0, np.random.default_rng(0))
    assert rows.min() >= 0
    assert not any(is_held_out(whole, np.unique(rows).tolist()))
    assert np.array_equal(whole.concept[rows], whole.concept[target])
    assert (rows == target).mean() < 0.01  # concepts with one training style only


class Seen:
    """Records which artwork a module receives, by the colour of its images."""

    def __init__(self, module: nn.Module) -> None:
        self.rows: set[int] = set()
        module.register_forward_pre_hook(self)

    def __call__(self, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        colours = ((arguments[0].detach().float() + 1) * 127.5).round().long()
        # `shifted` adds a white border; the middle keeps its colour.
        red, green, _ = colours[:, :3, 8, 8].unbind(1)
        self.rows |= set((red + 256 * green).tolist())


def coloured(artwork: TrainingArtwork) -> TrainingArtwork:
    """The artwork with images of one colour each, which encodes the row."""
    images = np.zeros_like(artwork.images)
    images[..., 0] = (np.arange(len(artwork)) % 256)[:, None, None]
    images[..., 1] = (np.arange(len(artwork)) // 256)[:, None, None]
    return replace(artwork, images=images)


@pytest.mark.parametrize(
    ("name", "input_layer"),
    [("tokenizer", "tokenizer.encoder.patch_embed"), ("scorer", "patch_embed")],
)
def test_recipes_read_the_given_artwork_only(
    name: str, input_layer: str, artwork: TrainingArtwork, tmp_path: Path
) -> None:
    given = coloured(artwork)
    recipe = recipes.RECIPES[name](CONFIG, given, tmp_path)
    seen = Seen(recipe.module().get_submodule(input_layer))
    for step in range(60):
        recipe.losses(24, np.random.default_rng(step))
    assert len(seen.rows) > 0.9 * len(given)
    assert max(seen.rows) < len(given)
    assert not any(is_held_out(given, sorted(seen.rows)))


def test_the_autoencoder_reads_the_given_artwork_only(
    artwork: TrainingArtwork, tmp_path: Path
) -> None:
    given = coloured(artwork)
    recipe: Any = recipes.RECIPES["autoencoder"](CONFIG, given, tmp_path)
    probe = nn.Identity()
    seen, posterior = Seen(probe), recipe.codec.posterior
    recipe.codec.posterior = lambda pixels: posterior(probe(pixels))
    for step in range(20):
        recipe.losses(24, np.random.default_rng(step))
    assert len(seen.rows) > 100
    assert max(seen.rows) < len(given)
    assert not any(is_held_out(given, sorted(seen.rows)))


def every_recipe_on_codes(folder: Path, artwork: TrainingArtwork) -> Iterator[Any]:
    for name in ("renderer", "language-model", "reconstruct"):
        yield recipes.RECIPES[name](CONFIG, artwork, folder)


def test_recipes_on_codes_have_the_given_artwork_and_its_mirror_images_only(
    artwork: TrainingArtwork, trained: Path
) -> None:
    for recipe in every_recipe_on_codes(trained, artwork):
        assert isinstance(recipe, RendererRecipe | LanguageModelRecipe | ReconstructRecipe)
        assert len(recipe.codes) == 2 * len(artwork)


def test_run_recipe_uses_the_training_loader_only(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[TrainingArtwork] = []

    def build(_config: Any, artwork: TrainingArtwork, _folder: Path) -> Any:
        given.append(artwork)
        raise StopIteration

    for name in recipes.RECIPES:
        monkeypatch.setitem(recipes.RECIPES, name, build)
        with pytest.raises(StopIteration):
            recipes.run_recipe(name, CONFIG, tmp_path)
        assert not any(is_held_out(given[-1], range(len(given[-1]))))
        monkeypatch.setattr(recipes, "load_artwork", lambda _: given[0])


def test_arrays_are_consistent(artwork: TrainingArtwork) -> None:
    rows = artwork.rows
    assert [artwork.styles[s] for s in artwork.style] == rows["style"].to_list()
    assert [artwork.concepts[c] for c in artwork.concept] == rows["concept"].to_list()
    found = artwork.at[artwork.concept, artwork.style]
    assert np.array_equal(found, np.arange(len(artwork)))
    assert (artwork.at >= 0).sum() == len(artwork)


def test_images_are_the_decoded_files() -> None:
    rows = BUNDLED.training_artwork().gather_every(997)
    artwork = decode_artwork(rows)
    for data, image in zip(rows["image"], artwork.images, strict=True):
        with Image.open(io.BytesIO(data)) as opened:
            assert np.array_equal(np.asarray(opened.convert("RGB")), image)
    assert "image" not in artwork.rows.columns
    assert artwork.rows["item_id"].to_list() == rows["item_id"].to_list()
    assert isinstance(artwork.rows, pl.DataFrame)


def test_pixels_run_from_minus_one_to_one() -> None:
    image = np.array([[[[0, 255, 51]]]], dtype=np.uint8)
    pixels = to_pixels(image)
    assert pixels.shape == (1, 3, 1, 1)
    assert pixels.flatten().tolist() == pytest.approx([-1.0, 1.0, -0.6])


@given(seed=st.integers(0, 1000), reach=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_shifted_images_are_moved_and_mirrored_over_white(seed: int, reach: int) -> None:
    images = handful().images[:6]
    moved = shifted(images, np.random.default_rng(seed), reach)
    assert moved.shape == images.shape
    for before, after in zip(images, moved, strict=True):
        frame = ((reach, reach), (reach, reach), (0, 0))
        padded = np.pad(before, frame, constant_values=255)
        places = [(y, x) for y in range(2 * reach + 1) for x in range(2 * reach + 1)]
        cuts = [padded[y : y + 16, x : x + 16] for y, x in places]
        assert any(np.array_equal(after, c) or np.array_equal(after, c[:, ::-1]) for c in cuts)


def test_codes_of_mirror_images_follow_all_artwork(artwork: TrainingArtwork, trained: Path) -> None:
    from pigeon_rec.training.frozen import load_tokenizer

    tokenizer, _ = load_tokenizer(CONFIG.model, trained)
    codes = artwork_codes(tokenizer, artwork, trained)
    with torch.inference_mode():
        mirrored = to_pixels(artwork.images[3:5, :, ::-1])
        assert torch.equal(tokenizer.encode(mirrored).ids, codes[len(artwork) + 3 :][:2])
