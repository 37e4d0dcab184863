"""What the recipes that write visual tokens have in common: the stickers' codes and texts."""

from __future__ import annotations

from pathlib import Path

import torch

from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.instruction import write_texts
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.frozen import load_tokenizer, sticker_codes
from pigeon_rec.training.recipe import Recipe
from pigeon_rec.training.teacher_forcing import target_texts

__all__ = ["CodeRecipe"]


class CodeRecipe(Recipe):
    """A recipe whose batches are cut from the codes and the texts of all stickers.

    Attributes:
        decoder: The frozen tokenizer decoder.
        rows: The codebook, `[codebook, code_dim]`.
        codes: int64 `[2 n, P]`: all stickers, then their mirror images.
        texts: The instruction's text for every sticker as a target.
    """

    def __init__(
        self, config: PigeonConfig, stickers: TrainingArtwork, text: TextTokenizer, folder: Path
    ) -> None:
        self.stickers = stickers
        tokenizer, self.decoder = load_tokenizer(config, folder)
        self.rows = tokenizer.quantize.embedding.weight.detach()
        self.codes = sticker_codes(tokenizer, stickers, folder)
        self.texts = write_texts(
            load_prompt("sticker"), text, target_texts(stickers), config.language_model
        )

    def place(self, device: torch.device) -> None:
        super().place(device)
        self.decoder.to(device)
        self.rows, self.codes = self.rows.to(device), self.codes.to(device)
        self.texts = self.texts.to(device)
