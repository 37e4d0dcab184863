"""Base of the recipes that write visual tokens: the codes and texts of the artwork."""

from __future__ import annotations

from pathlib import Path

import torch

from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing.texts import target_texts
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.instruction import write_texts
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.frozen import artwork_codes, load_tokenizer
from pigeon_rec.training.recipe import Recipe

__all__ = ["CodeRecipe"]


class CodeRecipe(Recipe):
    """A recipe whose batches are rows of the codes and texts of all artwork.

    Attributes:
        decoder: The frozen tokenizer decoder.
        rows: The codebook, `[codebook, code_dim]`.
        codes: int64 `[2 n, P]`: all artwork, then its mirror images.
        texts: Instruction texts with each artwork as the target.
    """

    def __init__(
        self, config: PigeonConfig, artwork: TrainingArtwork, text: TextTokenizer, folder: Path
    ) -> None:
        self.artwork = artwork
        tokenizer, self.decoder = load_tokenizer(config, folder)
        self.rows = tokenizer.quantize.embedding.weight.detach()
        self.codes = artwork_codes(tokenizer, artwork, folder)
        prompt = load_prompt("sticker")
        targets = target_texts(prompt, artwork.rows)
        self.texts = write_texts(prompt, text, targets, config.language_model)

    def place(self, device: torch.device) -> None:
        super().place(device)
        self.decoder.to(device)
        self.rows, self.codes = self.rows.to(device), self.codes.to(device)
        self.texts = self.texts.to(device)
