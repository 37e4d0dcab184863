"""Backbone recipe: visual tokenizer and tokenizer decoder, trained together to reconstruct pixels.

The codebook is updated by exponential moving averages of the vectors assigned to each row; unused
rows restart at a vector of the current batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from accelerate.utils import broadcast, reduce
from torch import Tensor, nn

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import NO_CODE, VectorQuantizer, VisualTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.draws import uniform
from pigeon_rec.training.image_losses import edge_loss, psnr
from pigeon_rec.training.recipe import ImageRecipe, Losses
from pigeon_rec.training.views import random_views

__all__ = ["CodebookAverages", "TokenizerRecipe"]

_CONTINUOUS_SHARE, _SETTLED = 0.2, 0.85


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
        count = torch.zeros_like(self.counts).index_add_(0, ids, torch.ones_like(unit[:, 0]))
        total = torch.zeros_like(self.sums).index_add_(0, ids, unit)
        self.counts.lerp_(reduce(count, "sum"), 1 - self.decay)
        self.sums.lerp_(reduce(total, "sum"), 1 - self.decay)
        dead = self.counts < self.least_use
        self.sums.copy_(torch.where(dead[:, None], self._drawn(unit), self.sums))
        self.counts.masked_fill_(dead, 1.0)
        self._follow(quantizer)

    @torch.no_grad()
    def begin(self, quantizer: VectorQuantizer) -> None:
        """Initialises the averages from the current rows."""
        self.sums.copy_(quantizer.embedding.weight)
        self.counts.fill_(1.0)

    @torch.no_grad()
    def restart(self, quantizer: VectorQuantizer, unit: Tensor) -> None:
        """Sets every row to one of the vectors `unit [n, code_dim]`."""
        self.sums.copy_(self._drawn(unit))
        self.counts.fill_(1.0)
        self._follow(quantizer)

    def _drawn(self, unit: Tensor) -> Tensor:
        """A random vector of the batch for every row."""
        return unit[torch.randint(len(unit), (len(self.sums),), device=unit.device)]

    def _follow(self, quantizer: VectorQuantizer) -> None:
        """Sets the rows to the first process's averages: restarts differ between processes."""
        self.sums.copy_(broadcast(self.sums))
        quantizer.embedding.weight.copy_(F.normalize(self.sums, dim=-1))

    def perplexity(self) -> Tensor:
        """Effective number of rows in use, 1 to the codebook's size."""
        return torch.special.entr(self.counts / self.counts.sum()).sum().exp()


class TokenizerRecipe(ImageRecipe):
    """Reconstructs pixels from codes; some codes are hidden, so that the decoder tolerates masks.

    The codebook rests in the last part of the run, so that the averaged encoder and decoder settle
    on the rows that are saved.

    Args:
        keep_rate: Share of patches that the token predictor should keep (with `keep: dynamic`).
        continuous_steps: Steps at the start without quantising, a fifth of the run at most. Without
            them the encoder collapses to one direction for all patches before the codebook can
            separate them.
    """

    def __init__(
        self,
        config: PigeonConfig,
        artwork: TrainingArtwork,
        keep_rate: float = 0.7,
        continuous_steps: int = 400,
    ) -> None:
        super().__init__(artwork)
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

    def losses(self, batch_size: int, random: torch.Generator) -> Losses:
        truth = random_views(self.images.pixels(self.images.draw(batch_size, random)), random)
        features = self.tokenizer.encoder(truth)
        decisions = self.tokenizer.decide(features, self._gumbel(features, random))
        codes = self.tokenizer(features, decisions)
        filled = codes.ids != NO_CODE
        vectors = codes.vectors if self.quantising else codes.raw
        drawn = self.decoder.preview(self.decoder(vectors, filled & _shown(filled, random)))
        # Without a mask where all codes are there: a mask waits for the device.
        every = self.tokenizer.token_predictor is None
        ids, raw = (t.flatten(0, 1) if every else t[filled] for t in (codes.ids, codes.raw))
        self._assigned.append((ids, raw.detach()))
        commit = (raw - self.tokenizer.quantize.embedding(ids)).square().sum(-1).mean()
        keep = (decisions.mean() - self.keep_rate).square()
        weights = 0.1 if self.quantising else 0.0, 2.0 if self.tokenizer.token_predictor else 0.0
        losses = _pixel_losses(drawn.float(), truth)
        return {
            **losses,
            "loss": losses["loss"] + weights[0] * commit + weights[1] * keep,
            "commitment": commit,
            "perplexity": self.averages.perplexity(),
        }

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:
        for rows in self.validation_rows(batch_size, samples):
            truth = self.images.pixels(rows)
            codes = self.tokenizer.encode(truth)
            drawn = self.decoder.preview(self.decoder(codes.vectors, codes.ids != NO_CODE))
            yield _pixel_losses(drawn.float(), truth)

    def after_step(self, step: int) -> None:
        ids, unit = (torch.cat(parts) for parts in zip(*self._assigned, strict=True))
        self._assigned.clear()
        if not self.quantising:
            # Every time, since only the clock may know which of these steps is the last one.
            self.averages.restart(self.tokenizer.quantize, unit)
        elif self.progress < _SETTLED:
            self.averages.update(self.tokenizer.quantize, ids, unit)
        self.step = step + 1

    @property
    def quantising(self) -> bool:
        """Whether the decoder sees codebook rows instead of continuous vectors."""
        return self.step >= self.continuous_steps or self.progress >= _CONTINUOUS_SHARE

    def _gumbel(self, features: Tensor, random: torch.Generator) -> Tensor | None:
        if self.tokenizer.token_predictor is None:
            return None
        noise = torch.empty(*features.shape[:2], 2, device=features.device)
        return -noise.exponential_(generator=random).log()


def _pixel_losses(drawn: Tensor, truth: Tensor) -> dict[str, Tensor]:
    pixel, edges = F.l1_loss(drawn, truth) + F.mse_loss(drawn, truth), edge_loss(drawn, truth)
    coarse = F.l1_loss(F.avg_pool2d(drawn, 4), F.avg_pool2d(truth, 4))
    return {
        "loss": pixel + edges + 0.5 * coarse,
        "pixel": pixel,
        "edges": edges,
        "psnr": psnr(drawn, truth),
    }


def _shown(filled: Tensor, random: torch.Generator) -> Tensor:
    """Mask of codes that the decoder sees: all for two thirds of the images, else 40-100 %."""
    count = len(filled)
    hidden = uniform(random, count, 1) * 0.6 * (uniform(random, count, 1) < 0.35)
    shown = uniform(random, *filled.shape) >= hidden
    shown[:, 0] = True
    return shown
