"""Prompt embeddings to pixels by the published diffusion models (paper section 3.4).

High resolution: SDXL's UNet with the decoder's pooled embedding and image sizes as conditions; the
unconditional prompt is zeros. Low resolution: the UNet of LaVIT's first decoder; the unconditional
prompt is the stored embedding of an empty text. Both by DDIM (arXiv 2010.02502).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from pigeon_rec.model.denoising import DiffusionGenerator
from pigeon_rec.model.tokenizer_decoder import DecoderOutput

__all__ = ["PublishedGenerator"]


class PublishedGenerator(DiffusionGenerator):
    """SDXL, or the UNet of LaVIT's first decoder.

    Args:
        unet: Settings of the UNet, as diffusers saves them.
        vae: Settings of the autoencoder.
        scheduler: Settings of the noise schedule, of any scheduler class.
        size: Height and width of an image in pixels; by default those the UNet was trained at.
        unconditional: Shape `[1, N, prompt_width]` of the stored embedding of an empty text; None
            uses zeros.
    """

    unconditional: Tensor | None

    def __init__(
        self,
        unet: Mapping[str, Any],
        vae: Mapping[str, Any],
        scheduler: Mapping[str, Any],
        size: tuple[int, int] | None = None,
        unconditional: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel.from_config(dict(unet))
        self.vae = AutoencoderKL.from_config(dict(vae))
        self.schedule = dict(scheduler)
        reduction = 2 ** (len(self.vae.config.block_out_channels) - 1)
        side = self.unet.config.sample_size * reduction
        self.size = size or (side, side)
        height, width = (pixels // reduction for pixels in self.size)
        self.latent_shape = (int(self.unet.config.in_channels), height, width)
        empty = None if unconditional is None else torch.zeros(unconditional)
        self.register_buffer("unconditional", empty)

    def sampler(self) -> DDIMScheduler:
        """DDIM on the published schedule."""
        return DDIMScheduler.from_config(self.schedule)

    def predict(self, noisy: Tensor, timestep: Tensor, decoded: DecoderOutput) -> Tensor:
        return self._predict(noisy, timestep, decoded.prompt, decoded.pooled)

    def predict_unconditional(
        self, noisy: Tensor, timestep: Tensor, decoded: DecoderOutput
    ) -> Tensor:
        zero = None if decoded.pooled is None else torch.zeros_like(decoded.pooled)
        prompt = torch.zeros_like(decoded.prompt)
        if self.unconditional is None:
            return self._predict(noisy, timestep, prompt, zero)
        words = self.unconditional.shape[1]
        prompt[:, :words] = self.unconditional
        present = torch.arange(prompt.shape[1], device=prompt.device) < words
        return self._predict(noisy, timestep, prompt, zero, present.expand(len(prompt), -1))

    def decode_latents(self, latents: Tensor) -> Tensor:
        latents = (latents / self.vae.config.scaling_factor).to(self.vae.dtype)
        pixels = self.vae.decode(latents).sample.float()
        levels = (pixels / 2 + 0.5).clamp(0, 1) * 255
        return levels.permute(0, 2, 3, 1).round().to(torch.uint8)

    def _predict(
        self,
        noisy: Tensor,
        timestep: Tensor,
        prompt: Tensor,
        pooled: Tensor | None,
        present: Tensor | None = None,
    ) -> Tensor:
        """As `predict`, of prompts `[B, queries, width]`; `present [B, queries]` masks queries."""
        added = None
        if pooled is not None:
            # SDXL's conditions: original size, corner of the crop, target size.
            sizes = pooled.new_tensor([*self.size, 0, 0, *self.size])
            added = {"text_embeds": pooled, "time_ids": sizes.expand(len(pooled), -1)}
        predicted = self.unet(
            noisy.to(prompt.dtype),
            timestep,
            encoder_hidden_states=prompt,
            encoder_attention_mask=present,
            added_cond_kwargs=added,
        )
        return torch.as_tensor(predicted.sample).float()
