"""The loss of the scorer's style part: pictures of one style belong together, whatever they show.

Supervised contrastive loss (Khosla et al., arXiv 2004.11362, eq. 2). A batch has pictures of every
style of the artwork, and of made styles: one look applied to several pictures of one style. Made
styles are classes of their own, so that styles no training has seen are told apart as well.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.runtime.settings import Count, Fraction, Settings
from pigeon_rec.scoring.scorer import ImageTextEncoder
from pigeon_rec.training.artwork import TrainingArtwork, shifted
from pigeon_rec.training.looks import LOOKS, degraded, made_look
from pigeon_rec.training.recipe import Losses

__all__ = ["StyleLoss", "StyleSettings", "supervised_contrastive"]

_SECOND_LOOK = 0.4
"""Share of made styles with two looks, one after the other."""


class StyleSettings(Settings):
    """How the style part of the scorer is trained.

    Attributes:
        alone: Trains nothing but the style part; concept part and texts stay as `--start` gives
            them.
        pictures: Pictures of each style in a batch.
        made_styles: Made styles in a batch.
        made_pictures: Pictures of each made style.
        degraded: Share of the pictures that are blurred, resampled, noisy or compressed.
        temperature: Divides the cosines of the loss.
    """

    alone: bool = False
    pictures: Annotated[int, Field(ge=2)] = 12
    made_styles: Count = 8
    made_pictures: Annotated[int, Field(ge=2)] = 5
    degraded: Fraction = 0.5
    temperature: Annotated[float, Field(gt=0.0)] = 0.1


class StyleLoss:
    """Draws batches of styles and computes the loss of an encoder's style part."""

    def __init__(self, settings: StyleSettings, artwork: TrainingArtwork) -> None:
        self.settings = settings
        self._images = artwork.images
        self._rows = [np.flatnonzero(artwork.style == s) for s in range(len(artwork.styles))]

    def losses(self, encoder: ImageTextEncoder, random: np.random.Generator) -> Losses:
        """Returns the loss `style`, and `style_accuracy`.

        The latter is the share of pictures whose nearest other picture of the batch has their
        style.
        """
        pixels, styles = self.batch(random, encoder.log_scale.device)
        vectors = encoder.style(pixels)
        loss = supervised_contrastive(vectors, styles, self.settings.temperature)
        with torch.no_grad():
            near = (vectors @ vectors.T).fill_diagonal_(-2.0).argmax(1)
            accuracy = (styles[near] == styles).float().mean()
        return {"style": loss, "style_accuracy": accuracy}

    def batch(self, random: np.random.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """Returns pixels `[B, 3, H, W]`, and the number of each picture's style, int64 `[B]`."""
        settings, count = self.settings, len(self._rows)
        drawn = [random.choice(rows, settings.pictures) for rows in self._rows]
        made_of = random.integers(0, count, settings.made_styles)
        drawn += [random.choice(self._rows[style], settings.made_pictures) for style in made_of]
        images = shifted(self._images[np.concatenate(drawn)], random, reach=3)
        parts = list(to_pixels(images).to(device).split([len(rows) for rows in drawn]))
        parts[count:] = [_made_style(part, random) for part in parts[count:]]
        sizes = torch.tensor([len(rows) for rows in drawn], device=device)
        styles = torch.arange(len(drawn), device=device).repeat_interleave(sizes)
        return degraded(torch.cat(parts), settings.degraded), styles


def _made_style(pixels: Tensor, random: np.random.Generator) -> Tensor:
    """Applies one or two random looks, the same to all pictures."""
    looks = 2 if random.random() < _SECOND_LOOK else 1
    names: NDArray[np.str_] = random.choice(list(LOOKS), looks, replace=False)
    return made_look(pixels, names.tolist(), random.random(8).tolist())


def supervised_contrastive(vectors: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """Mean over pictures of the cross-entropy of finding the others of their class.

    Args:
        vectors: Of unit length, `[B, d]`.
        classes: int64 `[B]`; one with a single picture does not count.
        temperature: Divides the cosines.
    """
    own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    cosines = (vectors @ vectors.T / temperature).masked_fill(own, -torch.inf)
    likely = F.log_softmax(cosines, dim=1).masked_fill(own, 0.0)
    others = ((classes[:, None] == classes[None]) & ~own).float()
    each = -(likely * others).sum(1) / others.sum(1).clamp(min=1.0)
    return each.sum() / (others.sum(1) > 0).sum().clamp(min=1)
