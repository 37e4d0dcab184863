"""Stage 1, the paper's masked preference reconstruction (arXiv 2410.14170, section 3.5).

The language model predicts the target's codes from a masked history and a masked reference. LoRA
adapters, the mask generator, the reference adapter and the aligned reference are trained. Keep
decisions gate embeddings straight-through, so that the mask generator receives gradient (in the
published code it receives none). Samples are windows of the users' sequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.randomness import gumbel_noise
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.code_recipe import CodeRecipe
from pigeon_rec.training.frozen import load_part
from pigeon_rec.training.lora import add_lora
from pigeon_rec.training.recipe import Losses
from pigeon_rec.training.restyle import other_style
from pigeon_rec.training.teacher_forcing import (
    Conditioning,
    code_losses,
    read_codes,
    select_texts,
)
from pigeon_rec.training.windows import Windows, load_windows

__all__ = ["ReconstructRecipe"]


class ReconstructRecipe(CodeRecipe):
    """Stage 1 on user sequences, with the mask generator in the loop.

    Each batch has one reference mask ratio, drawn from U(0, 1). Validation uses windows of the
    later `valid` split, evenly spaced mask ratios over its batches, and fixed mask noise.

    Attributes:
        same_reference: Share of references that are the target itself, as published; the others
            show the same concept in another style.
        history_ratio: Share of history codes that the mask generator drops.
    """

    validates = True
    same_reference = 0.25
    history_ratio = 0.2

    def __init__(
        self, config: PigeonConfig, artwork: TrainingArtwork, text: TextTokenizer, folder: Path
    ) -> None:
        super().__init__(config, artwork, text, folder)
        self.windows = load_windows(artwork, "train")
        self.valid_windows = load_windows(artwork, "valid")
        self.personalisation = Personalisation(config)
        load_part(self.personalisation, folder, "language-model")
        self.personalisation.language_model.requires_grad_(False)
        add_lora(self.personalisation.language_model)

    def module(self) -> nn.Module:
        return self.personalisation

    def losses(self, batch_size: int, random: np.random.Generator) -> Losses:
        chosen = random.integers(0, len(self.windows), batch_size)
        references = self._references(self.windows.target[chosen], random)
        ratio = float(random.random())
        return self._read(self.windows, chosen, references, ratio, str(random.integers(2**62)))

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:
        random = np.random.default_rng(0)
        order = random.permutation(len(self.valid_windows))[:samples]
        batches = np.array_split(order, -(-len(order) // batch_size))
        ratios = np.linspace(0.0, 1.0, len(batches))
        for place, (chosen, ratio) in enumerate(zip(batches, ratios, strict=True)):
            references = self._references(self.valid_windows.target[chosen], random)
            key = f"validation/{place}"
            yield self._read(self.valid_windows, chosen, references, float(ratio), key)

    def _read(
        self,
        windows: Windows,
        chosen: NDArray[np.int64],
        references: Tensor,
        ratio: float,
        key: str,
    ) -> Losses:
        """Losses of some windows at one reference mask ratio; `key` seeds the mask noise."""
        target = windows.target[chosen]
        history = self.codes[windows.history[chosen]]  # [B, images, P]
        reference = self.codes[references]  # [B, P]
        tokens = history[0].numel() + reference.shape[1]
        noise = gumbel_noise([key], "mask", (len(target), tokens))[0].to(self.device)
        keep_history, keep_reference = self.personalisation.masks(
            history, reference, self.history_ratio, ratio, noise
        )
        conditioning = Conditioning(
            select_texts(self.texts, target), history, keep_history, reference, keep_reference
        )
        codes = self.codes[target]
        logits = read_codes(self.personalisation, self.decoder, self.rows, conditioning, codes)
        return code_losses(logits, codes)

    def _references(self, target: Tensor, random: np.random.Generator) -> Tensor:
        """Rows of references: each target's concept in another style, or the target itself."""
        rows = other_style(self.artwork, target.numpy(), self.same_reference, random)
        return torch.from_numpy(rows)
