"""Sampling of a latent diffusion model, with classifier-free guidance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor, nn

from pigeon_rec.model.tokenizer_decoder import DecoderOutput

__all__ = ["DiffusionGenerator", "Sampler", "denoise"]

Sampler: TypeAlias = DDIMScheduler | DPMSolverMultistepScheduler


class DiffusionGenerator(nn.Module, ABC):
    """A diffusion model that renders decoder outputs as images.

    Attributes:
        latent_shape: Channels, height and width of the latents of one image.
    """

    latent_shape: tuple[int, int, int]

    @abstractmethod
    def sampler(self) -> Sampler:
        """Returns a new sampler, its number of steps not yet set."""

    @abstractmethod
    def predict(self, noisy: Tensor, timestep: Tensor, decoded: DecoderOutput) -> Tensor:
        """Returns the UNet's conditional prediction, float32 `[B, *latent_shape]`.

        Args:
            noisy: `[B, *latent_shape]`.
            timestep: Scalar.
            decoded: Prompt embeddings of B images; the UNet computes in their dtype.
        """

    @abstractmethod
    def predict_unconditional(
        self, noisy: Tensor, timestep: Tensor, decoded: DecoderOutput
    ) -> Tensor:
        """As `predict`, without the prompt; only shapes and dtypes of `decoded` are used."""

    @abstractmethod
    def decode_latents(self, latents: Tensor) -> Tensor:
        """Float32 latents `[B, *latent_shape]` -> images uint8 `[B, H, W, 3]`."""

    @torch.inference_mode()
    def forward(
        self, decoded: DecoderOutput, noise: Tensor, steps: int, render_guidance: float = 1.0
    ) -> Tensor:
        """Denoises and decodes; arguments as of `denoise`.

        Returns:
            uint8 `[B, H, W, 3]`.
        """
        return self.decode_latents(denoise(self, decoded, noise, steps, render_guidance))


def denoise(
    model: DiffusionGenerator,
    decoded: DecoderOutput,
    noise: Tensor,
    steps: int,
    render_guidance: float = 1.0,
) -> Tensor:
    """Samples latents; the sums of the sampler are float32.

    Args:
        model: Predictions and sampler.
        decoded: Prompt embeddings of B images.
        noise: Standard normal `[B, *latent_shape]`, the only randomness.
        steps: Steps of the sampler (25 in the published runs).
        render_guidance: Scale of classifier-free guidance (arXiv 2207.12598, equation 6), 7.0 in
            the published runs; at 1 the unconditional prediction is not computed.

    Returns:
        Float32 `[B, *latent_shape]`.
    """
    sampler = model.sampler()
    sampler.set_timesteps(steps, device=noise.device)
    latents = noise * sampler.init_noise_sigma
    for timestep in sampler.timesteps:
        noisy = sampler.scale_model_input(latents, timestep)
        prediction = model.predict(noisy, timestep, decoded)
        if render_guidance != 1.0:
            plain = model.predict_unconditional(noisy, timestep, decoded)
            prediction = plain + render_guidance * (prediction - plain)
        latents = sampler.step(prediction, timestep, latents).prev_sample
    return latents
