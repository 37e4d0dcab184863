"""Backbone recipe: the denoising UNet, conditioned on the frozen tokenizer decoder.

A few codes are swapped for similar ones in training, because the language model's codes are never
perfect, and some prompts are dropped for classifier-free guidance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.image_generator import ImageGenerator
from pigeon_rec.model.tokenizer_decoder import DecoderOutput
from pigeon_rec.model.visual_tokenizer import NO_CODE
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.code_recipe import CodeRecipe
from pigeon_rec.training.frozen import load_codec, near_codes, swap_codes
from pigeon_rec.training.recipe import Losses
from pigeon_rec.training.views import random_views

__all__ = ["RendererRecipe"]

_MEASURED, _BATCH = 2048, 128
"""Images that mean and deviation of the latents are measured on, and those of a forward pass."""


class RendererRecipe(CodeRecipe):
    """Denoises latents of real artwork given its own codes.

    Attributes:
        swap: Largest share of an image's codes that are swapped for a near neighbour.
        drop: Share of samples whose prompt is set to zero.
    """

    swap, drop = 0.2, 0.05

    def __init__(self, config: PigeonConfig, artwork: TrainingArtwork, folder: Path) -> None:
        super().__init__(config, artwork, folder)
        sizes = (config.renderer, config.decoder, config.autoencoder)
        self.generator = ImageGenerator(*sizes, config.tokenizer.image_size)
        self.generator.codec = load_codec(config, folder)
        self.near = near_codes(self.rows)
        self.schedule = self.generator.noise_schedule()

    def module(self) -> nn.Module:
        return self.generator

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        # The latents to denoise are those of the autoencoder beside it, not of the model's.
        own = {name: w for name, w in weights.items() if not name.startswith("codec.")}
        super().start_from(own)

    def place(self, device: torch.device) -> None:
        super().place(device)
        self.near = self.near.to(device)

    @torch.no_grad()
    def start(self, step: int) -> None:
        """Measures mean and deviation of the latents, unless a checkpoint has them."""
        if step > 0:
            return
        codec, rows = self.generator.codec, self.images.training
        batches = rows[:: -(-len(rows) // _MEASURED)].split(_BATCH)
        modes = [codec.posterior(self.images.pixels(batch)).mode().float() for batch in batches]
        latents = torch.cat(modes)
        codec.latent_mean.copy_(latents.mean((0, 2, 3), keepdim=True))
        codec.latent_std.copy_(latents.std((0, 2, 3), keepdim=True))

    def losses(self, batch_size: int, random: torch.Generator) -> Losses:
        truth = self.images.pixels(self.images.draw(batch_size, random))
        bent = 0.3 if self.progress < 0.6 else 0.0
        truth = random_views(truth, random, natural=0.7, bent=bent)
        codes = swap_codes(self.encode(truth), self.near, self.swap, random)
        kept = torch.rand(batch_size, generator=random, device=self.device) >= self.drop
        return self._losses(truth, codes, kept.float(), random)

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:
        random = torch.Generator(self.device).manual_seed(0)
        for rows in self.validation_rows(batch_size, samples):
            truth = self.images.pixels(rows)
            yield self._losses(truth, self.encode(truth), truth.new_ones(len(rows)), random)

    def _losses(
        self, truth: Tensor, codes: Tensor, kept: Tensor, random: torch.Generator
    ) -> Losses:
        codec = self.generator.codec
        with torch.no_grad():
            latents = codec.posterior(truth).mode().float()
            latents = (latents - codec.latent_mean) / codec.latent_std
        decoded = self._decoded(codes, kept)
        noise = torch.randn(latents.shape, generator=random, device=self.device)
        steps = self.schedule.config.num_train_timesteps
        time = torch.randint(steps, (len(latents),), generator=random, device=self.device)
        noisy = self.schedule.add_noise(latents, noise, time)
        predicted = self._predicted(noisy, time, decoded)
        return {"loss": F.mse_loss(predicted, self._prediction_target(latents, noise, time))}

    @torch.no_grad()
    def _decoded(self, codes: Tensor, kept: Tensor) -> DecoderOutput:
        """The prompts of codes `[B, P]`; zeros where `kept`, float `[B]`, is 0."""
        decoded = self.decoder(self.rows[codes.clamp(min=0)], codes != NO_CODE)
        pooled = None if decoded.pooled is None else decoded.pooled * kept[:, None]
        return replace(decoded, prompt=decoded.prompt * kept[:, None, None], pooled=pooled)

    def _predicted(self, noisy: Tensor, time: Tensor, decoded: DecoderOutput) -> Tensor:
        return self.generator.renderer(noisy, time, decoded.prompt, decoded.pooled).float()

    def _prediction_target(self, latents: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """The tensor that the UNet should predict: velocity, noise or latents."""
        kind = self.generator.renderer.config.prediction
        if kind == "v_prediction":
            return self.schedule.get_velocity(latents, noise, time)
        return noise if kind == "epsilon" else latents
