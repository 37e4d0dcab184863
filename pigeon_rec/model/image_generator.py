"""Prompt embeddings to pixels: a latent diffusion model of diffusers parts.

The published model is SDXL with 25 DDIM steps and guidance 7.0 (paper section 3.4). `sticker-64`
has the same parts at a small size, and the prompt grid is also concatenated to the noisy latents:
a small UNet learns positions slowly from cross-attention alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    UNet2DConditionModel,
)
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor, nn

from pigeon_rec.model.arrays import to_levels
from pigeon_rec.model.configuration import AutoencoderConfig, DecoderConfig, RendererConfig
from pigeon_rec.model.denoising import DiffusionGenerator
from pigeon_rec.model.tokenizer_decoder import DecoderOutput

__all__ = ["ImageGenerator", "LatentCodec", "Renderer"]


class LatentCodec(nn.Module):
    """`AutoencoderKL` after a lossless pixel-unshuffle, so that convolutions run on patches."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        channels = 3 * config.patch**2
        self.autoencoder = AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            latent_channels=config.latent_channels,
            block_out_channels=config.channels,
            down_block_types=("DownEncoderBlock2D",) * len(config.channels),
            up_block_types=("UpDecoderBlock2D",) * len(config.channels),
            layers_per_block=config.layers_per_block,
            norm_num_groups=config.norm_groups,
            scaling_factor=1.0,
        )
        self.register_buffer("latent_mean", torch.zeros(1, config.latent_channels, 1, 1))
        self.register_buffer("latent_std", torch.ones(1, config.latent_channels, 1, 1))

    latent_mean: Tensor
    latent_std: Tensor

    def posterior(self, pixels: Tensor) -> DiagonalGaussianDistribution:
        """Pixels `[B, 3, H, W]` in [-1, 1] -> distribution over raw latents."""
        patches = F.pixel_unshuffle(pixels, self.config.patch)
        return self.autoencoder.encode(patches).latent_dist

    def decode(self, latents: Tensor) -> Tensor:
        """Raw latents `[B, C, h, w]` -> pixels `[B, 3, H, W]` in about [-1, 1]."""
        return F.pixel_shuffle(self.autoencoder.decode(latents).sample, self.config.patch)

    def decode_normalised(self, latents: Tensor) -> Tensor:
        """Latents `[B, C, h, w]` -> pixels `[B, 3, H, W]`, up to the autoencoder's error."""
        return self.decode(latents * self.latent_std + self.latent_mean)


class Renderer(nn.Module):
    """The denoising UNet, conditioned on the prompt."""

    def __init__(
        self,
        config: RendererConfig,
        decoder: DecoderConfig,
        autoencoder: AutoencoderConfig,
        side: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.side = side
        self.scale = side // round(decoder.queries**0.5)
        grid = config.grid_channels
        self.grid_proj = nn.Linear(decoder.prompt_width, grid * self.scale**2) if grid else None
        self.unet = UNet2DConditionModel(
            sample_size=side,
            in_channels=autoencoder.latent_channels + grid,
            out_channels=autoencoder.latent_channels,
            block_out_channels=config.channels,
            down_block_types=("DownBlock2D",)
            + ("CrossAttnDownBlock2D",) * (len(config.channels) - 1),
            mid_block_type="UNetMidBlock2DCrossAttn",
            up_block_types=("CrossAttnUpBlock2D",) * (len(config.channels) - 1) + ("UpBlock2D",),
            layers_per_block=config.layers_per_block,
            cross_attention_dim=decoder.prompt_width,
            attention_head_dim=tuple(c // config.head_width for c in config.channels),
            norm_num_groups=config.norm_groups,
            class_embed_type="projection" if decoder.pooled else None,
            projection_class_embeddings_input_dim=decoder.projections[-1]
            if decoder.pooled
            else None,
        )
        self.unet.to(memory_format=torch.channels_last)

    def forward(
        self, noisy: Tensor, timestep: Tensor, prompt: Tensor, pooled: Tensor | None
    ) -> Tensor:
        """Predicts noise, velocity (arXiv 2202.00512, section 4) or sample for noisy latents.

        Args:
            noisy: `[B, C, side, side]`.
            timestep: int64 `[B]` or scalar, 0 to `train_timesteps - 1`.
            prompt: `[B, queries, prompt_width]`; zeros for an unconditional pass.
            pooled: `[B, pooled_width]` or None.

        Returns:
            `[B, C, side, side]`; `config.prediction` is which of the three.
        """
        # The weights' memory format: most processors convolve fastest with innermost channels.
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        if self.grid_proj is not None:
            noisy = torch.cat([noisy, self._grid(prompt).to(noisy.dtype)], dim=1)
        return self.unet(noisy, timestep, encoder_hidden_states=prompt, class_labels=pooled).sample

    def _grid(self, prompt: Tensor) -> Tensor:
        """Arranges the queries as the image's grid, `[B, grid_channels, side, side]`."""
        cells = self.side // self.scale
        tiles = self.grid_proj(prompt).transpose(1, 2).unflatten(2, (cells, cells))  # type: ignore[misc]
        return F.pixel_shuffle(tiles, self.scale)


class ImageGenerator(DiffusionGenerator):
    """Our own generator: a small UNet on normalised latents; zeros are its unconditional prompt."""

    def __init__(
        self,
        renderer_config: RendererConfig,
        decoder_config: DecoderConfig,
        autoencoder_config: AutoencoderConfig,
        image_size: int,
    ) -> None:
        super().__init__()
        self.codec = LatentCodec(autoencoder_config)
        side = image_size // autoencoder_config.patch // 2 ** (len(autoencoder_config.channels) - 1)
        self.renderer = Renderer(renderer_config, decoder_config, autoencoder_config, side)
        self.latent_shape = (autoencoder_config.latent_channels, side, side)

    def noise_schedule(self) -> DDIMScheduler:
        """The training-time schedule (scaled-linear betas, as Stable Diffusion's)."""
        config = self.renderer.config
        return DDIMScheduler(
            num_train_timesteps=config.train_timesteps,
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            prediction_type=config.prediction,
            clip_sample=False,
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
        )

    def sampler(self) -> DPMSolverMultistepScheduler:
        """A second-order multistep solver (arXiv 2211.01095) on the same schedule, few steps."""
        return DPMSolverMultistepScheduler.from_config(
            self.noise_schedule().config, algorithm_type="dpmsolver++", final_sigmas_type="zero"
        )

    def predict(self, noisy: Tensor, timestep: Tensor, decoded: DecoderOutput) -> Tensor:
        return self._predict(noisy, timestep, decoded.prompt, decoded.pooled)

    def predict_unconditional(
        self, noisy: Tensor, timestep: Tensor, decoded: DecoderOutput
    ) -> Tensor:
        zero = None if decoded.pooled is None else torch.zeros_like(decoded.pooled)
        return self._predict(noisy, timestep, torch.zeros_like(decoded.prompt), zero)

    def decode_latents(self, latents: Tensor) -> Tensor:
        latents = latents.to(self.codec.latent_mean.dtype)
        return to_levels(self.codec.decode_normalised(latents).float())

    def _predict(
        self, noisy: Tensor, timestep: Tensor, prompt: Tensor, pooled: Tensor | None
    ) -> Tensor:
        return self.renderer(noisy.to(prompt.dtype), timestep, prompt, pooled).float()
