"""Stage 1, the paper's masked preference reconstruction (arXiv 2410.14170, section 3.5).

The language model predicts the target's codes from a masked history and a masked reference. LoRA
adapters, the mask generator, the reference adapter and the aligned reference are trained. Keep
decisions gate embeddings straight-through, so that the mask generator receives gradient (in the
published code it receives none). Samples are windows of the users' sequences, in random views.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.code_recipe import CodeRecipe
from pigeon_rec.training.frozen import load_part
from pigeon_rec.training.lora import add_lora
from pigeon_rec.training.recipe import Losses
from pigeon_rec.training.restyle import RestyleBatch, other_style
from pigeon_rec.training.teacher_forcing import (
    Conditioning,
    code_losses,
    read_codes,
)
from pigeon_rec.training.text import artwork_texts
from pigeon_rec.training.windows import Windows, load_windows

__all__ = ["ReconstructRecipe"]


class ReconstructRecipe(CodeRecipe):
    """Stage 1 on user sequences, with the mask generator in the loop.

    Each batch has one reference mask ratio, drawn from U(0, 1). Validation uses natural views of
    windows of the later `valid` split, evenly spaced mask ratios over its batches, and fixed mask
    noise.

    Attributes:
        same_reference: Share of references that are the target itself, as published; the others
            show the same concept in another style.
        history_ratio: Share of history codes that the mask generator drops.
    """

    same_reference = 0.25
    history_ratio = 0.2

    def __init__(
        self, config: PigeonConfig, artwork: TrainingArtwork, text: TextTokenizer, folder: Path
    ) -> None:
        super().__init__(config, artwork, folder)
        self.windows = load_windows(artwork, "train")
        self.valid_windows = load_windows(artwork, "valid")
        self.validates = len(self.valid_windows) > 0
        self.personalisation = Personalisation(config)
        load_part(self.personalisation, folder, "language-model")
        self.personalisation.language_model.requires_grad_(False)
        add_lora(self.personalisation.language_model)
        self.texts = artwork_texts(artwork, text, config.language_model)

    def module(self) -> nn.Module:
        return self.personalisation

    def place(self, device: torch.device) -> None:
        super().place(device)
        self.texts = self.texts.to(device)
        self.windows = self.windows.to(device)
        self.valid_windows = self.valid_windows.to(device)

    def losses(self, batch_size: int, random: torch.Generator) -> Losses:
        chosen = torch.randint(
            len(self.windows), (batch_size,), generator=random, device=self.device
        )
        batch = self._batch(self.windows, chosen, random)
        ratio = float(torch.rand(1, generator=random, device=self.device))
        return self._read(batch, self.codes(batch, random), ratio, random)

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:
        random = torch.Generator(self.device).manual_seed(0)
        order = torch.randperm(len(self.valid_windows), generator=random, device=self.device)
        batches = order[:samples].split(batch_size)
        for place, chosen in enumerate(batches):
            batch = self._batch(self.valid_windows, chosen, random)
            ratio = place / max(1, len(batches) - 1)
            yield self._read(batch, self.codes(batch), ratio, random)

    def _read(
        self,
        batch: RestyleBatch,
        codes: tuple[Tensor, Tensor, Tensor],
        ratio: float,
        random: torch.Generator,
    ) -> Losses:
        """Losses of some windows at one reference mask ratio."""
        history, reference, target = codes  # [B, images, P], then [B, P]
        tokens = history[0].numel() + reference.shape[1]
        noise = torch.empty(len(target), tokens, device=self.device)
        noise = -noise.exponential_(generator=random).log()  # Gumbel(0, 1)
        keep_history, keep_reference = self.personalisation.masks(
            history, reference, self.history_ratio, ratio, noise
        )
        texts = self.texts.of(batch.target.flatten(), batch.history)
        conditioning = Conditioning(texts, history, keep_history, reference, keep_reference)
        logits = read_codes(self.personalisation, self.decoder, self.rows, conditioning, target)
        return code_losses(logits, target)

    def _batch(self, windows: Windows, chosen: Tensor, random: torch.Generator) -> RestyleBatch:
        """Windows with a reference each: the target's concept in another style, or the target."""
        target = windows.target[chosen]
        reference = other_style(self.images, target, self.same_reference, random)
        return RestyleBatch(windows.history[chosen], reference[:, None], target[:, None])
