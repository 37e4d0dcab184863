"""Backbone recipe: the latent autoencoder of the image generator."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import nn

from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.image_generator import LatentCodec
from pigeon_rec.training.artwork import TrainingArtwork, shifted
from pigeon_rec.training.recipe import Losses, Recipe
from pigeon_rec.training.tokenizer import edge_loss

__all__ = ["AutoencoderRecipe"]


class AutoencoderRecipe(Recipe):
    """Reconstructs pixels from latents, with a small KL penalty towards a unit Gaussian."""

    kl_weight = 1e-4

    def __init__(self, config: PigeonConfig, artwork: TrainingArtwork) -> None:
        self.artwork = artwork
        self.codec = LatentCodec(config.autoencoder)

    def module(self) -> nn.Module:
        return self.codec

    def losses(self, batch_size: int, random: np.random.Generator) -> Losses:
        rows = random.integers(0, len(self.artwork), batch_size)
        truth = to_pixels(shifted(self.artwork.images[rows], random, reach=3)).to(self.device)
        posterior = self.codec.posterior(truth)
        drawn = self.codec.decode(posterior.sample()).float()
        pixel = F.l1_loss(drawn, truth) + F.mse_loss(drawn, truth)
        edges = edge_loss(drawn, truth)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return {
            "loss": pixel + edges + self.kl_weight * kl,
            "pixel": pixel,
            "edges": edges,
            "kl": kl,
        }
