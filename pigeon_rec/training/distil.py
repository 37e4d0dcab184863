"""Backbone recipe: a renderer that needs one or two solver steps, distilled from the trained one.

The teacher denoises the same noise for the same codes with many steps; the student learns to reach
that result from pure noise at once, and to correct its own first result at any later time (a
deterministic sampler makes the noise decide the picture, so there is one result to learn; see
progressive distillation, arXiv 2202.00512, and consistency models, arXiv 2303.01469).
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.denoising import denoise
from pigeon_rec.model.tokenizer_decoder import DecoderOutput
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.frozen import load_part
from pigeon_rec.training.recipe import Losses
from pigeon_rec.training.renderer import RendererRecipe

__all__ = ["DistilRecipe"]


class DistilRecipe(RendererRecipe):
    """Learns the teacher's picture of each noise; the losses are in normalised latents.

    Attributes:
        teacher_steps: Solver steps of the teacher.
        teacher: The renderer of the training folder, frozen.
    """

    teacher_steps = 6

    def __init__(self, config: PigeonConfig, artwork: TrainingArtwork, folder: Path) -> None:
        super().__init__(config, artwork, folder)
        if config.renderer.prediction == "epsilon":
            raise TrainingError(
                "a renderer that predicts noise cannot be distilled: pure noise holds no picture",
                location="model.renderer.prediction",
                remedy="Train one that predicts velocity or samples, or remove the loop `distil`",
            )
        load_part(self.generator, folder, "renderer")
        self.generator.codec.requires_grad_(False)
        self.teacher = copy.deepcopy(self.generator).requires_grad_(False).eval()

    def place(self, device: torch.device) -> None:
        super().place(device)
        self.teacher.to(device)

    def start(self, step: int) -> None:
        """Nothing: the mean and deviation of the latents are the teacher's."""

    def _losses(
        self, truth: Tensor, codes: Tensor, kept: Tensor, random: torch.Generator
    ) -> Losses:
        decoded = self._decoded(codes, kept)
        shape = (len(truth), *self.generator.latent_shape)
        noise = torch.randn(shape, generator=random, device=self.device)
        with torch.no_grad():
            goal = denoise(self.teacher, decoded, noise, self.teacher_steps)
        last = self.schedule.config.num_train_timesteps - 1
        first = self._clean(noise, torch.full((len(noise),), last, device=self.device), decoded)
        time = torch.randint(last, (len(noise),), generator=random, device=self.device)
        noisy = self.schedule.add_noise(first.detach(), noise, time)
        second = self._clean(noisy, time, decoded)
        one_step, refined = F.mse_loss(first, goal), F.mse_loss(second, goal)
        return {"loss": one_step + refined, "one_step": one_step, "refined": refined}

    def _clean(self, noisy: Tensor, time: Tensor, decoded: DecoderOutput) -> Tensor:
        """The student's estimate of the latents without noise, float32 `[B, C, h, w]`."""
        predicted = self._predicted(noisy, time, decoded)
        if self.generator.renderer.config.prediction == "sample":
            return predicted
        kept = self.schedule.alphas_cumprod.to(self.device)[time][:, None, None, None]
        return kept.sqrt() * noisy - (1 - kept).sqrt() * predicted
