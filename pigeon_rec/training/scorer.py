"""Backbone recipe: the CLIP-like scorer, on captions of concept, style and topic."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pigeon_rec.demo.stickers import STYLE_DESCRIPTIONS, topics
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.scoring.scorer import ImageTextEncoder, ScorerConfig
from pigeon_rec.training.artwork import TrainingArtwork, shifted, to_pixels
from pigeon_rec.training.recipe import Losses, Recipe

__all__ = ["ScorerRecipe"]

_STYLES_PER_CONCEPT = 3
_NAMED: Mapping[str, float] = MappingProxyType(
    {"concept": 0.3, "both": 0.4, "style": 0.15, "topic": 0.15}
)
"""What captions name, and the share of each kind."""


class ScorerRecipe(Recipe):
    """Contrasts pictures with captions; a batch holds several styles of each of its concepts.

    A caption names the concept (by title or semantics), the style, both, or the topic. Captions
    that fit a picture equally well (the same concept, no style named) share the target.
    """

    def __init__(
        self, config: ScorerConfig, stickers: TrainingArtwork, text: TextTokenizer
    ) -> None:
        self.stickers = stickers
        self.text = text
        self._topics = topics(stickers.rows).to_list()
        self._topic = np.unique(np.array(self._topics), return_inverse=True)[1]
        self.encoder = ImageTextEncoder(config)

    def module(self) -> nn.Module:
        return self.encoder

    def losses(self, batch_size: int, random: np.random.Generator) -> Losses:
        rows = self._rows(batch_size, random)
        named = random.choice(len(_NAMED), len(rows), p=list(_NAMED.values()))
        captions = [
            self._caption(int(row), kind, random)
            for row, kind in zip(rows, np.array(list(_NAMED))[named], strict=True)
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

    def _caption(self, row: int, kind: str, random: np.random.Generator) -> str:
        style = STYLE_DESCRIPTIONS[self.stickers.rows["style"][row]]
        if kind == "topic":
            return self._topics[row].replace("-", " ")
        if kind == "style":
            return style
        field = "title" if random.random() < 0.5 else "semantics"
        concept = str(self.stickers.rows[field][row])
        return f"{concept}, {style}" if kind == "both" else concept

    def _fits(self, rows: NDArray[np.int64], named: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each caption fits each image, `[image, caption]`: in all that the caption names.

        Args:
            rows: Of the stickers.
            named: Place in `_NAMED` of each caption.
        """
        kind = np.array(list(_NAMED))[named]
        fits = np.ones((len(rows), len(rows)), dtype=np.bool_)
        for values, kinds in (
            (self.stickers.concept, ("concept", "both")),
            (self.stickers.style, ("style", "both")),
            (self._topic, ("topic",)),
        ):
            of_rows = values[rows]
            fits &= (of_rows[:, None] == of_rows[None, :]) | ~np.isin(kind, kinds)[None, :]
        return fits


def _soft_loss(logits: Tensor, fits: Tensor) -> Tensor:
    """Cross-entropy with the target spread evenly over all fitting columns."""
    target = fits / fits.sum(1, keepdim=True)
    return -(target * F.log_softmax(logits, dim=1)).sum(1).mean()
