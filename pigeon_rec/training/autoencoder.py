"""Backbone recipe: the latent autoencoder of the image generator."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.image_generator import LatentCodec
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.image_losses import edge_loss, psnr
from pigeon_rec.training.recipe import ImageRecipe, Losses
from pigeon_rec.training.views import random_views

__all__ = ["AutoencoderRecipe"]


class AutoencoderRecipe(ImageRecipe):
    """Reconstructs pixels from latents, with a small KL penalty towards a unit Gaussian.

    Latents are sampled in the first half of the run, so that they vary smoothly; the second half
    decodes their mean, which is what the renderer learns.
    """

    kl_weight = 1e-5

    def __init__(self, config: PigeonConfig, artwork: TrainingArtwork) -> None:
        super().__init__(artwork)
        self.codec = LatentCodec(config.autoencoder)

    def module(self) -> nn.Module:
        return self.codec

    def losses(self, batch_size: int, random: torch.Generator) -> Losses:
        truth = self.images.pixels(self.images.draw(batch_size, random))
        truth = random_views(truth, random, bent=0.25 if self.progress < 0.7 else 0.0)
        return self._losses(truth, sample=random if self.progress < 0.5 else None)

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:
        for rows in self.validation_rows(batch_size, samples):
            yield self._losses(self.images.pixels(rows))

    def _losses(self, truth: Tensor, sample: torch.Generator | None = None) -> Losses:
        posterior = self.codec.posterior(truth)
        latents = posterior.mode() if sample is None else posterior.sample(sample)
        drawn = self.codec.decode(latents).float()
        pixel, edges = F.l1_loss(drawn, truth) + F.mse_loss(drawn, truth), edge_loss(drawn, truth)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return {
            "loss": pixel + edges + self.kl_weight * kl,
            "pixel": pixel,
            "edges": edges,
            "kl": kl,
            "psnr": psnr(drawn, truth),
        }
