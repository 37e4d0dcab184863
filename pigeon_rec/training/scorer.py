"""Backbone recipe: the CLIP-like scorer, on captions of concept, style and topic, and on styles."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pigeon_rec.data.world import topics
from pigeon_rec.errors import TrainingError
from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.scoring.scorer import ImageTextEncoder, ScorerConfig
from pigeon_rec.training.artwork import TrainingArtwork, shifted
from pigeon_rec.training.recipe import Losses, Recipe
from pigeon_rec.training.style import StyleLoss, StyleSettings

__all__ = ["ScorerRecipe"]

_STYLES_PER_CONCEPT = 3
_NAMED: Mapping[str, float] = MappingProxyType(
    {"concept": 0.3, "both": 0.4, "style": 0.15, "topic": 0.15}
)
"""Caption kinds and the share of each."""
_STYLE = StyleSettings()


class ScorerRecipe(Recipe):
    """Contrastive training on images and captions; a batch has several styles of each concept.

    A caption names the concept (by title or semantics), the style, both, or the topic. The target
    of an image is spread evenly over all captions that fit it. A style part, if the scorer has one,
    is trained beside it on batches of its own, or alone; neither loss reaches the other's weights.

    Raises:
        TrainingError: The style part is to be trained alone, and the scorer has none.
    """

    def __init__(
        self,
        config: ScorerConfig,
        artwork: TrainingArtwork,
        text: TextTokenizer,
        style: StyleSettings = _STYLE,
    ) -> None:
        self.artwork = artwork
        self.text = text
        self._topics = topics(artwork.rows).to_list()
        self._topic = np.unique(np.array(self._topics), return_inverse=True)[1]
        self.encoder = ImageTextEncoder(config)
        self._style = StyleLoss(style, artwork) if config.style_embedding else None
        self._alone = style.alone
        if style.alone:
            self._freeze_concept_part()

    def _freeze_concept_part(self) -> None:
        if self.encoder.style_head is None:
            raise TrainingError(
                "the scorer has no style part to train alone",
                location="style.alone",
                remedy="Set scorer.style_embedding in the training configuration",
            )
        self.encoder.requires_grad_(False)
        self.encoder.style_head.requires_grad_(True)

    def module(self) -> nn.Module:
        return self.encoder

    def losses(self, batch_size: int, random: np.random.Generator) -> Losses:
        captions = {} if self._alone else self._caption_losses(batch_size, random)
        styles = {} if self._style is None else self._style.losses(self.encoder, random)
        both = {**captions, **styles}
        parts = [both[name] for name in ("caption", "style") if name in both]
        return {"loss": torch.stack(parts).sum(), **both}

    def _caption_losses(self, batch_size: int, random: np.random.Generator) -> Losses:
        rows = self._rows(batch_size, random)
        named = random.choice(len(_NAMED), len(rows), p=list(_NAMED.values()))
        captions = [
            self._caption(int(row), kind, random)
            for row, kind in zip(rows, np.array(list(_NAMED))[named], strict=True)
        ]
        truth = to_pixels(shifted(self.artwork.images[rows], random, reach=4)).to(self.device)
        image = self.encoder.concept(truth)
        ids, mask = self.text.batch(captions, self.encoder.config.text_length)
        text = self.encoder.text(ids.to(self.device), mask.to(self.device))
        logits = self.encoder.log_scale.clamp(max=4.6).exp() * image @ text.T  # [image, caption]
        fits = torch.from_numpy(self._fits(rows, named)).float().to(self.device)
        loss = 0.5 * (_soft_loss(logits, fits) + _soft_loss(logits.T, fits.T))
        accuracy = fits.gather(1, logits.argmax(1, keepdim=True)).mean()
        return {"caption": loss, "accuracy": accuracy}

    def _rows(self, batch_size: int, random: np.random.Generator) -> NDArray[np.int64]:
        count = batch_size // _STYLES_PER_CONCEPT
        concepts = random.choice(len(self.artwork.concepts), count, replace=False)
        order = random.random((count, len(self.artwork.styles)))
        order[self.artwork.at[concepts] < 0] = 2.0  # pairs that do not exist come last
        styles = order.argsort(1)[:, :_STYLES_PER_CONCEPT]
        rows = np.take_along_axis(self.artwork.at[concepts], styles, 1).ravel()
        return rows[rows >= 0]

    def _caption(self, row: int, kind: str, random: np.random.Generator) -> str:
        style = self.artwork.style_descriptions[self.artwork.rows["style"][row]]
        if kind == "topic":
            return self._topics[row].replace("-", " ")
        if kind == "style":
            return style
        field = "title" if random.random() < 0.5 else "semantics"
        concept = str(self.artwork.rows[field][row])
        return f"{concept}, {style}" if kind == "both" else concept

    def _fits(self, rows: NDArray[np.int64], named: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each caption fits each image, bool `[image, caption]`.

        A caption fits if the image has everything that the caption names.

        Args:
            rows: Artwork row of each image and caption.
            named: Index into `_NAMED` of each caption.
        """
        kind = np.array(list(_NAMED))[named]
        fits = np.ones((len(rows), len(rows)), dtype=np.bool_)
        for values, kinds in (
            (self.artwork.concept, ("concept", "both")),
            (self.artwork.style, ("style", "both")),
            (self._topic, ("topic",)),
        ):
            of_rows = values[rows]
            fits &= (of_rows[:, None] == of_rows[None, :]) | ~np.isin(kind, kinds)[None, :]
        return fits


def _soft_loss(logits: Tensor, fits: Tensor) -> Tensor:
    """Cross-entropy with the target spread evenly over all fitting columns."""
    target = fits / fits.sum(1, keepdim=True)
    return -(target * F.log_softmax(logits, dim=1)).sum(1).mean()
