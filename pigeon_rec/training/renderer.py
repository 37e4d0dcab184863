"""Backbone recipe: the denoising UNet, conditioned on the frozen tokenizer decoder.

A few codes are swapped for similar ones in training, because the language model's codes are never
perfect, and some prompts are dropped for classifier-free guidance.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.image_generator import ImageGenerator
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.frozen import artwork_codes, encode_latents, load_codec, load_tokenizer
from pigeon_rec.training.recipe import Losses, Recipe

__all__ = ["RendererRecipe"]

_NEAR_CODES = 8


class RendererRecipe(Recipe):
    """Denoises latents of real artwork given its own codes.

    Attributes:
        swap: Largest share of an image's codes that are swapped for a near neighbour.
        drop: Share of samples whose prompt is set to zero.
    """

    swap, drop = 0.15, 0.1

    def __init__(self, config: PigeonConfig, artwork: TrainingArtwork, folder: Path) -> None:
        tokenizer, self.decoder = load_tokenizer(config, folder)
        codec = load_codec(config, folder)
        sizes = (config.renderer, config.decoder, config.autoencoder)
        self.generator = ImageGenerator(*sizes, config.tokenizer.image_size)
        self.generator.codec.load_state_dict(codec.state_dict())
        self.generator.codec.requires_grad_(False)
        mirrored = np.ascontiguousarray(artwork.images[:, :, ::-1])
        self.codes = artwork_codes(tokenizer, artwork, folder)
        latents = torch.cat([encode_latents(codec, i) for i in (artwork.images, mirrored)])
        mean, std = latents.mean((0, 2, 3), keepdim=True), latents.std((0, 2, 3), keepdim=True)
        self.generator.codec.latent_mean.copy_(mean)
        self.generator.codec.latent_std.copy_(std)
        self.latents = (latents - mean) / std
        self.rows = tokenizer.quantize.embedding.weight.detach()
        self.near = (self.rows @ self.rows.T).topk(_NEAR_CODES + 1).indices[:, 1:]
        self.schedule = self.generator.noise_schedule()

    def module(self) -> nn.Module:
        return self.generator

    def place(self, device: torch.device) -> None:
        super().place(device)
        self.decoder.to(device)
        self.codes, self.latents = self.codes.to(device), self.latents.to(device)
        self.rows, self.near = self.rows.to(device), self.near.to(device)

    def losses(self, batch_size: int, random: np.random.Generator) -> Losses:
        index = torch.from_numpy(random.integers(0, len(self.codes), batch_size))
        codes, latents = self._swap_codes(self.codes[index]), self.latents[index]
        with torch.no_grad():
            decoded = self.decoder(self.rows[codes], torch.ones_like(codes, dtype=torch.bool))
        kept = (torch.rand(batch_size) >= self.drop).float().to(self.device)
        prompt = decoded.prompt * kept[:, None, None]
        pooled = None if decoded.pooled is None else decoded.pooled * kept[:, None]
        noise = torch.randn_like(latents)
        steps = self.schedule.config.num_train_timesteps
        time = torch.randint(0, steps, (batch_size,)).to(self.device)
        noisy = self.schedule.add_noise(latents, noise, time)
        predicted = self.generator.renderer(noisy, time, prompt, pooled).float()
        loss = F.mse_loss(predicted, self._prediction_target(latents, noise, time))
        return {"loss": loss}

    def _prediction_target(self, latents: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """The tensor that the UNet should predict: velocity, noise or latents."""
        kind = self.generator.renderer.config.prediction
        if kind == "v_prediction":
            return self.schedule.get_velocity(latents, noise, time)
        return noise if kind == "epsilon" else latents

    def _swap_codes(self, codes: Tensor) -> Tensor:
        """Swaps a random share, up to `swap`, of each image's codes for near neighbours."""
        share = torch.rand(len(codes), 1) * self.swap
        other = self.near[codes, torch.randint(_NEAR_CODES, codes.shape).to(self.device)]
        swapped = torch.rand(codes.shape) < share
        return torch.where(swapped.to(self.device), other, codes)
