"""Backbone recipe: the CLIP-like scorer, on captions of concept and style."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pigeon_rec.data.stickers import STYLE_DESCRIPTIONS
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.scoring.encoder import EncoderConfig, ImageTextEncoder
from pigeon_rec.training.recipe import Losses, Recipe
from pigeon_rec.training.stickers import TrainingStickers, shifted, to_pixels

__all__ = ["ScorerRecipe"]

_STYLES_PER_CONCEPT = 3


class ScorerRecipe(Recipe):
    """Contrasts pictures with captions; a batch holds several styles of each of its concepts.

    A caption is the title or the semantics; half of them also describe the style. Rows whose
    captions fit a picture equally well (same concept, no style named) share the target.
    """

    def __init__(
        self, config: EncoderConfig, stickers: TrainingStickers, text: TextTokenizer
    ) -> None:
        self.stickers = stickers
        self.text = text
        self.encoder = ImageTextEncoder(config)

    def module(self) -> nn.Module:
        return self.encoder

    def losses(self, batch_size: int, random: np.random.Generator) -> Losses:
        rows = self._rows(batch_size, random)
        named = random.random(len(rows)) < 0.5
        captions = [
            self._caption(int(r), bool(n), random) for r, n in zip(rows, named, strict=True)
        ]
        truth = to_pixels(shifted(self.stickers.images[rows], random, reach=4)).to(self.device)
        image = self.encoder.image(truth)
        ids, mask = self.text.batch(captions, self.encoder.config.text_length)
        text = self.encoder.text(ids.to(self.device), mask.to(self.device))
        logits = self.encoder.log_scale.clamp(max=4.6).exp() * image @ text.T  # [image, caption]
        fits = torch.from_numpy(self._fits(rows, named)).float().to(self.device)
        loss = 0.5 * (_soft_loss(logits, fits) + _soft_loss(logits.T, fits.T))
        accuracy = fits.gather(1, logits.argmax(1, keepdim=True)).mean()
        return {"loss": loss, "accuracy": accuracy}

    def _rows(self, batch_size: int, random: np.random.Generator) -> NDArray[np.int64]:
        count = batch_size // _STYLES_PER_CONCEPT
        concepts = random.choice(len(self.stickers.concepts), count, replace=False)
        order = random.random((count, len(self.stickers.styles)))
        order[self.stickers.at[concepts] < 0] = 2.0  # pairs that do not exist come last
        styles = order.argsort(1)[:, :_STYLES_PER_CONCEPT]
        rows = np.take_along_axis(self.stickers.at[concepts], styles, 1).ravel()
        return rows[rows >= 0]

    def _caption(self, row: int, style: bool, random: np.random.Generator) -> str:
        field = "title" if random.random() < 0.5 else "semantics"
        concept = str(self.stickers.rows[field][row])
        if not style:
            return concept
        return f"{concept}, {STYLE_DESCRIPTIONS[self.stickers.rows['style'][row]]}"

    def _fits(self, rows: NDArray[np.int64], named: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each caption fits each image, `[image, caption]`: concept, and style if named."""
        concept, style = self.stickers.concept[rows], self.stickers.style[rows]
        same = concept[:, None] == concept[None, :]
        return same & (~named[None, :] | (style[:, None] == style[None, :]))


def _soft_loss(logits: Tensor, fits: Tensor) -> Tensor:
    """Cross-entropy with the target spread evenly over all fitting columns."""
    target = fits / fits.sum(1, keepdim=True)
    return -(target * F.log_softmax(logits, dim=1)).sum(1).mean()
