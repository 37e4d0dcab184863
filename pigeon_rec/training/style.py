"""The loss of the scorer's style part: pictures of one style belong together, whatever they show.

Supervised contrastive loss (Khosla et al., arXiv 2004.11362, eq. 2). A batch has pictures of every
style of the artwork, and of made styles: one look applied to several pictures of one style. Made
styles are classes of their own, so that the head separates styles no training has seen, too. From a
catalogue without styles it learns made styles alone.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from pigeon_rec.runtime.settings import Count, Fraction, Settings
from pigeon_rec.scoring.scorer import ImageTextEncoder
from pigeon_rec.training.artwork import ArtworkTensors
from pigeon_rec.training.degradations import degraded
from pigeon_rec.training.recipe import Losses
from pigeon_rec.training.views import apply_looks, apply_shapes, draw_looks, draw_shapes

__all__ = ["StyleLoss", "StyleSettings", "supervised_contrastive"]

_STYLES = 16
"""Most styles of the artwork in a batch."""
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

    def __init__(self, settings: StyleSettings) -> None:
        self.settings = settings

    def losses(
        self, encoder: ImageTextEncoder, images: ArtworkTensors, random: torch.Generator
    ) -> Losses:
        """Returns the loss `style`, and `style_accuracy`.

        The latter is the share of images whose nearest other image of the batch has their style.
        """
        pixels, styles = self.batch(images, random)
        vectors = encoder.style(pixels)
        loss = supervised_contrastive(vectors, styles, self.settings.temperature)
        with torch.no_grad():
            near = (vectors @ vectors.T).fill_diagonal_(-2.0).argmax(1)
            accuracy = (styles[near] == styles).float().mean()
        return {"style": loss, "style_accuracy": accuracy}

    def batch(self, images: ArtworkTensors, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Returns pixels `[n, 3, H, W]`, and the number of each image's style, int64 `[n]`.

        The styles of the artwork come first, then the made styles.
        """
        settings, device = self.settings, random.device
        # Without any named style, the pictures of a made style are of one style by definition.
        origin = images.named if len(images.named) else images.style[images.training].unique()
        made_of = origin[
            torch.randint(len(origin), (settings.made_styles,), generator=random, device=device)
        ]
        shown = images.named
        if len(shown) > _STYLES:
            shown = shown[torch.randperm(len(shown), generator=random, device=device)[:_STYLES]]
        known, of_style = len(shown), torch.cat([shown, made_of])
        sizes = torch.full_like(of_style, settings.pictures)
        sizes[known:] = settings.made_pictures
        rows = _rows_of_styles(images, of_style.repeat_interleave(sizes), random)
        styles = torch.arange(len(of_style), device=device).repeat_interleave(sizes)
        pixels = apply_shapes(images.pixels(rows), draw_shapes(len(rows), random, bent=0.0))
        from_artwork = torch.arange(len(of_style), device=device) < known
        for share in (1.0, _SECOND_LOOK):
            looks = draw_looks(len(of_style), random, natural=1.0 - share)
            pixels = apply_looks(pixels, looks.natural_where(from_artwork)[styles])
        return degraded(pixels, settings.degraded, random), styles


def _rows_of_styles(images: ArtworkTensors, styles: Tensor, random: torch.Generator) -> Tensor:
    """A random row to train on of each of some styles, int64 `[n]`."""
    of_training = images.style[images.training]
    fits = (styles[:, None] == of_training[None]).float()
    return images.training[torch.multinomial(fits, 1, generator=random)[:, 0]]


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
