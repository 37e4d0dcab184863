"""Backbone recipe: visual tokenizer and tokenizer decoder, trained together to reconstruct pixels.

The codebook is updated by exponential moving averages of the vectors assigned to each row; unused
rows restart at a vector of the current batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast, reduce
from torch import Tensor, nn

from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import NO_CODE, VectorQuantizer, VisualTokenizer
from pigeon_rec.training.artwork import TrainingArtwork, shifted
from pigeon_rec.training.recipe import Losses, Recipe

__all__ = ["CodebookAverages", "TokenizerRecipe", "edge_loss"]


def edge_loss(drawn: Tensor, truth: Tensor) -> Tensor:
    """L1 loss of horizontal and vertical pixel gradients; both arguments `[B, 3, H, W]`."""
    rows = (drawn.diff(dim=2) - truth.diff(dim=2)).abs().mean()
    return rows + (drawn.diff(dim=3) - truth.diff(dim=3)).abs().mean()


class CodebookAverages(nn.Module):
    """Running counts and sums of the unit vectors assigned to each codebook row.

    Args:
        quantizer: The codebook that follows the averages.
        decay: Decay of the averages per step.
        least_use: Rows with a smaller running count restart at a vector of the batch.
    """

    def __init__(self, quantizer: VectorQuantizer, decay: float, least_use: float) -> None:
        super().__init__()
        self.decay, self.least_use = decay, least_use
        rows = quantizer.embedding.weight.detach()
        self.register_buffer("counts", torch.ones(len(rows)))
        self.register_buffer("sums", rows.clone())

    counts: Tensor
    sums: Tensor

    @torch.no_grad()
    def update(self, quantizer: VectorQuantizer, ids: Tensor, unit: Tensor) -> None:
        """Moves the rows towards `unit [n, code_dim]`, assigned to `ids [n]`."""
        count = torch.bincount(ids, minlength=len(self.counts)).float()
        total = torch.zeros_like(self.sums).index_add_(0, ids, unit)
        self.counts.lerp_(reduce(count, "sum"), 1 - self.decay)
        self.sums.lerp_(reduce(total, "sum"), 1 - self.decay)
        dead = (self.counts < self.least_use).nonzero()[:, 0]
        self.sums[dead] = unit[torch.randint(len(unit), (len(dead),))]
        self.counts[dead] = 1.0
        self._follow(quantizer)

    @torch.no_grad()
    def begin(self, quantizer: VectorQuantizer) -> None:
        """Initialises the averages from the current rows."""
        self.sums.copy_(quantizer.embedding.weight)
        self.counts.fill_(1.0)

    @torch.no_grad()
    def restart(self, quantizer: VectorQuantizer, unit: Tensor) -> None:
        """Sets every row to one of the vectors `unit [n, code_dim]`."""
        self.sums.copy_(unit[torch.randint(len(unit), (len(self.sums),))])
        self.counts.fill_(1.0)
        self._follow(quantizer)

    def _follow(self, quantizer: VectorQuantizer) -> None:
        """Sets the rows to the first process's averages: restarts differ between processes."""
        self.sums.copy_(broadcast(self.sums))
        quantizer.embedding.weight.copy_(F.normalize(self.sums, dim=-1))

    def perplexity(self) -> Tensor:
        """Effective number of rows in use, 1 to the codebook's size."""
        return torch.special.entr(self.counts / self.counts.sum()).sum().exp()


class TokenizerRecipe(Recipe):
    """Reconstructs pixels from codes; some codes are hidden, so that the decoder tolerates masks.

    Args:
        keep_rate: Share of patches that the token predictor should keep (with `keep: dynamic`).
        continuous_steps: Steps at the start without quantising. Without them the encoder collapses
            to one direction for all patches before the codebook can separate them.
    """

    def __init__(
        self,
        config: PigeonConfig,
        artwork: TrainingArtwork,
        keep_rate: float = 0.7,
        continuous_steps: int = 250,
    ) -> None:
        self.artwork = artwork
        self.keep_rate = keep_rate
        self.continuous_steps = continuous_steps
        self.step = 0
        tokenizer, decoder = VisualTokenizer(config.tokenizer), TokenizerDecoder(config.decoder)
        tokenizer.quantize.embedding.weight.requires_grad_(False)
        if config.tokenizer.keep == "all":
            decoder.align_queries()
        self.tokenizer, self.decoder = tokenizer, decoder
        self.averages = CodebookAverages(tokenizer.quantize, decay=0.98, least_use=0.02)
        self._assigned: list[tuple[Tensor, Tensor]] = []

    def module(self) -> nn.Module:
        parts = {"tokenizer": self.tokenizer, "decoder": self.decoder, "averages": self.averages}
        return nn.ModuleDict(parts)

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        super().start_from(weights)
        self.averages.begin(self.tokenizer.quantize)
        self.continuous_steps = 0  # the codebook is trained already

    def start(self, step: int) -> None:
        self.step = step

    def losses(self, batch_size: int, random: np.random.Generator) -> Losses:
        rows = random.integers(0, len(self.artwork), batch_size)
        truth = to_pixels(shifted(self.artwork.images[rows], random, reach=3)).to(self.device)
        features = self.tokenizer.encoder(truth)
        decisions = self.tokenizer.decide(features, self._gumbel(features))
        codes = self.tokenizer(features, decisions)
        filled = codes.ids != NO_CODE
        present = filled & self._kept(filled, random)
        vectors = codes.vectors if self.quantising else codes.raw
        drawn = self.decoder.preview(self.decoder(vectors, present)).float()
        pixel = F.l1_loss(drawn, truth) + F.mse_loss(drawn, truth)
        edges = edge_loss(drawn, truth)
        chosen = self.tokenizer.quantize.embedding(codes.ids[filled])
        commit = (codes.raw[filled] - chosen).pow(2).sum(-1).mean()
        keep = (decisions.mean() - self.keep_rate).pow(2) if self.tokenizer.token_predictor else 0.0
        self._assigned.append((codes.ids[filled], codes.raw[filled].detach()))
        loss = pixel + edges + (0.1 * commit if self.quantising else 0.0) + 2.0 * keep
        return {
            "loss": loss,
            "pixel": pixel,
            "edges": edges,
            "commitment": commit,
            "perplexity": self.averages.perplexity(),
        }

    def after_step(self, step: int) -> None:
        ids, unit = (torch.cat(parts) for parts in zip(*self._assigned, strict=True))
        self._assigned.clear()
        if self.quantising:
            self.averages.update(self.tokenizer.quantize, ids, unit)
        elif step + 1 == self.continuous_steps:
            self.averages.restart(self.tokenizer.quantize, unit)
        self.step = step + 1

    @property
    def quantising(self) -> bool:
        """Whether the decoder sees codebook rows instead of continuous vectors."""
        return self.step >= self.continuous_steps

    def _gumbel(self, features: Tensor) -> Tensor | None:
        if self.tokenizer.token_predictor is None:
            return None
        noise = torch.empty(*features.shape[:2], 2).exponential_().log()
        return -noise.to(self.device)

    @staticmethod
    def _kept(filled: Tensor, random: np.random.Generator) -> Tensor:
        """Mask of codes that the decoder sees: all for half of the images, else 40-100 %."""
        ratio = np.where(random.random(len(filled)) < 0.5, 0.0, random.uniform(0, 0.6, len(filled)))
        draw = random.random(tuple(filled.shape)) >= ratio[:, None]
        draw[:, 0] = True
        return torch.from_numpy(draw).to(filled.device)
