"""The style loss, and that it tells made styles apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import ArtworkTensors, TrainingArtwork
from pigeon_rec.training.degradations import degraded
from pigeon_rec.training.scorer import ScorerRecipe
from pigeon_rec.training.style import StyleLoss, StyleSettings, supervised_contrastive
from pigeon_rec.training.views import Looks, apply_looks
from tests.model.tiny import pictures, seeded
from tests.training.tiny import CONFIG, generator

_DUOTONE, _OUTLINED = 3, 6  # numbers of made styles


def test_a_batch_holds_pictures_of_every_style_and_of_made_styles(artwork: TrainingArtwork) -> None:
    settings = StyleSettings(pictures=3, made_styles=2, made_pictures=4)
    pixels, styles = StyleLoss(settings).batch(ArtworkTensors.of(artwork), generator())
    known = len(artwork.styles)
    assert torch.bincount(styles).tolist() == [3] * known + [4] * 2
    assert pixels.shape == (3 * known + 8, 3, 16, 16)
    assert -1.0 <= float(pixels.min()) <= float(pixels.max()) <= 1.0


def test_each_picture_is_of_the_style_it_is_numbered_as(artwork: TrainingArtwork) -> None:
    levels = (20 * artwork.style).astype(np.uint8)  # each style gets a level of its own
    flat = np.broadcast_to(levels[:, None, None, None], artwork.images.shape).copy()
    settings = StyleSettings(pictures=2, made_styles=0, degraded=0.0)
    images = ArtworkTensors.of(dataclasses.replace(artwork, images=flat))
    pixels, styles = StyleLoss(settings).batch(images, generator())
    darkest = ((pixels.amin((1, 2, 3)) + 1.0) * 127.5).round()
    assert torch.equal(darkest.long(), 20 * styles)


def test_the_loss_is_smallest_where_classes_are_apart() -> None:
    classes = torch.tensor([0, 0, 1, 1])
    apart = F.one_hot(classes, 2).float()
    mixed = apart[[0, 2, 1, 3]]
    best = float(supervised_contrastive(apart, classes, 0.1))
    assert best == pytest.approx(0.0, abs=1e-3)
    assert float(supervised_contrastive(mixed, classes, 0.1)) > 5.0


def test_a_picture_alone_in_its_class_does_not_count() -> None:
    with seeded():
        vectors = F.normalize(torch.randn(5, 4), dim=1)
    some = float(supervised_contrastive(vectors, torch.tensor([0, 0, 1, 1, 2]), 0.1))
    assert np.isfinite(some)
    assert float(supervised_contrastive(vectors, torch.arange(5), 0.1)) == 0.0


def test_training_the_style_part_separates_made_styles(
    artwork: TrainingArtwork, text: TextTokenizer
) -> None:
    settings = StyleSettings(alone=True, pictures=6, made_styles=8, made_pictures=5)
    with seeded():
        recipe = ScorerRecipe(CONFIG.scorer, artwork, text, settings)
        before = _separation(recipe, artwork)
        _fit(recipe, steps=100)
    assert _separation(recipe, artwork) > before + 0.15


def _fit(recipe: ScorerRecipe, steps: int) -> None:
    trainable = [p for p in recipe.module().parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-2)
    random = generator()
    recipe.set_training(True)
    for _ in range(steps):
        recipe.losses(12, random)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()


def _separation(recipe: ScorerRecipe, artwork: TrainingArtwork) -> float:
    """Mean cosine within two made styles minus that between them."""
    recipe.set_training(False)
    plain = to_pixels(artwork.images[artwork.style == 0][:24])
    looks = [_look(plain[:12], _DUOTONE, 0.5), _look(plain[12:], _OUTLINED, 0.1)]
    with torch.no_grad():
        one, other = (recipe.encoder.style(look) for look in looks)
    within = (one @ one.T).mean() + (other @ other.T).mean()
    return float(within / 2.0 - (one @ other.T).mean())


def _look(pixels: torch.Tensor, style: int, number: float) -> torch.Tensor:
    count = len(pixels)
    return apply_looks(pixels, Looks(torch.full((count,), style), torch.full((count, 6), number)))


def test_the_share_of_degraded_images_is_the_given_one() -> None:
    pixels = torch.from_numpy(pictures(64)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    assert torch.equal(degraded(pixels, 0.0, generator()), pixels)
    half = degraded(pixels, 0.5, generator())
    touched = (half != pixels).flatten(1).any(1)
    assert 16 <= int(touched.sum()) <= 40
    assert -1.0 <= float(half.min()) <= float(half.max()) <= 1.0


@pytest.mark.parametrize("size", [(96, 96), (128, 128), (20, 28)])
def test_images_of_any_size_are_degraded(size: tuple[int, int]) -> None:
    """The blocks of JPEG have 8 x 8 pixels; what they hang over the edge is cut off."""
    flat = torch.zeros(4, 3, *size)
    worse = degraded(flat, 1.0, generator())
    assert worse.shape == flat.shape
    assert 0 < float((worse - flat).abs().mean()) < 0.15


def test_a_degraded_image_is_still_that_image() -> None:
    small = torch.rand(32, 3, 4, 4, generator=generator()) * 2 - 1
    flat = F.interpolate(small, scale_factor=8)
    assert float((degraded(flat, 1.0, generator()) - flat).abs().mean()) < 0.15
