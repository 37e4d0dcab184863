"""Artwork as arrays; training never loads a held-out pair."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torch import Tensor

from pigeon_rec.data.world import load_world
from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.training import recipes
from pigeon_rec.training.artwork import (
    ArtworkTensors,
    TrainingArtwork,
    for_validation,
    load_artwork,
)
from pigeon_rec.training.restyle import RestyleSamples, other_style
from pigeon_rec.training.windows import load_windows
from tests.training.tiny import CONFIG, bundled, generator, is_held_out

BUNDLED = load_world("bundled")


@pytest.fixture(scope="module")
def whole() -> TrainingArtwork:
    """All artwork that is not held out."""
    return load_artwork(bundled(), 64)


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


def test_validation_pairs_are_a_few_of_every_style_and_not_among_those_trained_on(
    whole: TrainingArtwork,
) -> None:
    images = ArtworkTensors.of(whole)
    assert len(images.training) + len(images.validation) == len(whole)
    assert not torch.isin(images.validation, images.training).any()
    assert not torch.isin(images.at, images.validation).any()
    assert int((images.at >= 0).sum()) == len(images.training)
    assert 0.02 < len(images.validation) / len(whole) < 0.04
    assert set(images.style[images.validation].tolist()) == set(range(len(whole.styles)))
    some = whole.rows["item_id"].reverse()
    assert for_validation(some).tolist() == for_validation(some.reverse()).tolist()[::-1]


def test_no_restyling_sample_has_a_held_out_or_a_validation_pair(whole: TrainingArtwork) -> None:
    images = ArtworkTensors.of(whole)
    samples = RestyleSamples(images, torch.zeros(len(whole), dtype=torch.long))
    batch = samples.draw(400, generator())
    for rows in (batch.history, batch.reference, batch.target):
        assert not any(is_held_out(whole, rows.flatten().tolist()))
        assert not torch.isin(rows, images.validation).any()


@pytest.mark.parametrize(("split", "least"), [("train", 10_000), ("valid", 1000)])
def test_no_window_has_a_held_out_pair(whole: TrainingArtwork, split: str, least: int) -> None:
    windows = load_windows(whole, split)
    assert len(windows) == windows.sequences.height > least
    assert windows.history.shape == (len(windows), 5)
    used = torch.cat([windows.history.flatten(), windows.target]).unique().tolist()
    assert not any(is_held_out(whole, used))
    assert used[0] >= 0


def test_no_reference_is_a_held_out_pair(whole: TrainingArtwork) -> None:
    target = load_windows(whole, "train").target
    rows = other_style(ArtworkTensors.of(whole), target, 0.0, generator())
    assert rows.min() >= 0
    assert not any(is_held_out(whole, rows.unique().tolist()))
    assert np.array_equal(whole.concept[rows], whole.concept[target])
    assert (rows == target).float().mean() < 0.01  # concepts with one training style only


IMAGES = ("tokenizer", "autoencoder", "scorer", "renderer", "language-model")


@pytest.mark.parametrize("name", IMAGES)
def test_recipes_train_on_training_rows_and_validate_on_the_others(
    name: str, artwork: TrainingArtwork, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe: Any = recipes.RECIPES[name](CONFIG, artwork, trained)
    seen: set[int] = set()
    pixels = ArtworkTensors.pixels

    def recorded(images: ArtworkTensors, rows: Tensor) -> Tensor:
        seen.update(rows.tolist())
        return pixels(images, rows)

    monkeypatch.setattr(ArtworkTensors, "pixels", recorded)
    recipe.set_training(True)
    for step in range(12):
        recipe.losses(48, generator(step))
    assert len(seen) > 100
    assert seen <= set(recipe.images.training.tolist())
    seen.clear()
    recipe.set_training(False)
    with torch.no_grad():
        first, again = (
            [float(losses["loss"]) for losses in recipe.validation(8, 16)] for _ in range(2)
        )
    assert first == again
    validation = set(recipe.images.validation.tolist())
    # The language model also reads histories and references.
    assert seen & validation if name == "language-model" else seen <= validation


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
        monkeypatch.setattr(recipes, "load_artwork", lambda *_, **__: given[0])


def test_arrays_are_consistent(artwork: TrainingArtwork) -> None:
    rows = artwork.rows
    assert [artwork.styles[s] for s in artwork.style] == rows["style"].to_list()
    assert [artwork.concepts[c] for c in artwork.concept] == rows["concept"].to_list()
    found = artwork.at[artwork.concept, artwork.style]
    assert np.array_equal(found, np.arange(len(artwork)))
    assert (artwork.at >= 0).sum() == len(artwork)


def test_images_are_the_decoded_files(whole: TrainingArtwork) -> None:
    rows = BUNDLED.training_artwork()
    assert whole.rows["item_id"].to_list() == rows["item_id"].to_list()
    for data, image in zip(rows["image"][::997], whole.images[::997], strict=True):
        with Image.open(io.BytesIO(data)) as opened:
            assert np.array_equal(np.asarray(opened.convert("RGB")), image)
    assert "image" not in whole.rows.columns
    assert isinstance(whole.rows, pl.DataFrame)


def test_pixels_run_from_minus_one_to_one() -> None:
    image = np.array([[[[0, 255, 51]]]], dtype=np.uint8)
    pixels = to_pixels(image)
    assert pixels.shape == (1, 3, 1, 1)
    assert pixels.flatten().tolist() == pytest.approx([-1.0, 1.0, -0.6])
