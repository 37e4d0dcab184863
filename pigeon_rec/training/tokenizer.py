"""Backbone recipe: visual tokenizer and tokenizer decoder, trained together to rebuild pixels.

The codebook follows the encoder by exponential averages of the vectors assigned to each row, and
rows that nobody uses restart at a vector of the current batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import NO_CODE, VectorQuantizer, VisualTokenizer
from pigeon_rec.training.stickers import TrainingStickers, shifted, to_pixels

__all__ = ["CodebookAverages", "TokenizerRecipe", "edge_loss"]


def edge_loss(drawn: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring-pixel differences, `[B, 3, H, W]` each."""
    rows = (drawn.diff(dim=2) - truth.diff(dim=2)).abs().mean()
    return rows + (drawn.diff(dim=3) - truth.diff(dim=3)).abs().mean()


class CodebookAverages:
    """Running counts and sums of the unit vectors assigned to each codebook row."""

    def __init__(self, quantizer: VectorQuantizer, decay: float, least_use: float) -> None:
        self.quantizer = quantizer
        self.decay = decay
        self.least_use = least_use
        rows = quantizer.embedding.weight
        self.counts = torch.ones(len(rows))
        self.sums = rows.detach().clone()

    @torch.no_grad()
    def update(self, ids: Tensor, unit: Tensor) -> None:
        """Moves the rows towards `unit [n, code_dim]`, assigned to `ids [n]`."""
        rows = self.quantizer.embedding.weight
        count = torch.bincount(ids, minlength=len(rows)).float()
        total = torch.zeros_like(rows).index_add_(0, ids, unit)
        self.counts.lerp_(count, 1 - self.decay)
        self.sums.lerp_(total, 1 - self.decay)
        dead = (self.counts < self.least_use).nonzero()[:, 0]
        if len(dead):
            fresh = unit[torch.randint(len(unit), (len(dead),))]
            self.sums[dead] = fresh
            self.counts[dead] = 1.0
        rows.copy_(F.normalize(self.sums, dim=-1))

    def perplexity(self) -> Tensor:
        """Effective number of rows in use, 1 to the codebook's size."""
        share = self.counts / self.counts.sum()
        return torch.special.entr(share).sum().exp()


class TokenizerRecipe:
    """Rebuilds pixels from codes; some codes are left out so that the decoder can do without.

    Args:
        keep_rate: Share of patches the token predictor should keep (used with `keep: dynamic`).
    """

    def __init__(
        self, config: PigeonConfig, stickers: TrainingStickers, keep_rate: float = 0.7
    ) -> None:
        self.stickers = stickers
        self.keep_rate = keep_rate
        tokenizer, decoder = VisualTokenizer(config.tokenizer), TokenizerDecoder(config.decoder)
        tokenizer.quantize.embedding.weight.requires_grad_(False)
        self.tokenizer, self.decoder = tokenizer, decoder
        self.averages = CodebookAverages(tokenizer.quantize, decay=0.98, least_use=0.02)
        self._assigned: tuple[Tensor, Tensor] | None = None

    def module(self) -> nn.Module:
        return nn.ModuleDict({"tokenizer": self.tokenizer, "decoder": self.decoder})

    def losses(self, batch_size: int, random: np.random.Generator) -> Mapping[str, Tensor]:
        rows = random.integers(0, len(self.stickers), batch_size)
        truth = to_pixels(shifted(self.stickers.images[rows], random, reach=3))
        features = self.tokenizer.encoder(truth)
        decisions = self.tokenizer.decide(features, self._gumbel(features))
        codes = self.tokenizer(features, decisions)
        filled = codes.ids != NO_CODE
        present = filled & self._kept(filled, random)
        drawn = self.decoder.preview(self.decoder(codes.vectors, present)).float()
        pixel = F.l1_loss(drawn, truth) + F.mse_loss(drawn, truth)
        edges = edge_loss(drawn, truth)
        chosen = self.tokenizer.quantize.embedding(codes.ids[filled])
        commit = (codes.raw[filled] - chosen).pow(2).sum(-1).mean()
        keep = (decisions.mean() - self.keep_rate).pow(2) if self.tokenizer.token_predictor else 0.0
        self._assigned = (codes.ids[filled], codes.raw[filled].detach())
        loss = pixel + edges + 0.25 * commit + 2.0 * keep
        return {
            "loss": loss,
            "pixel": pixel,
            "edges": edges,
            "commitment": commit,
            "perplexity": self.averages.perplexity(),
        }

    def after_step(self, step: int) -> None:
        if self._assigned is not None:
            self.averages.update(*self._assigned)

    def _gumbel(self, features: Tensor) -> Tensor | None:
        if self.tokenizer.token_predictor is None:
            return None
        return -torch.empty(*features.shape[:2], 2).exponential_().log()

    @staticmethod
    def _kept(filled: Tensor, random: np.random.Generator) -> Tensor:
        """Places whose code the decoder may see: all for half of the images, 40-100 % for others."""
        ratio = np.where(random.random(len(filled)) < 0.5, 0.0, random.uniform(0, 0.6, len(filled)))
        draw = random.random(tuple(filled.shape)) >= ratio[:, None]
        draw[:, 0] = True
        return torch.from_numpy(draw)
