"""Base of the recipes on visual tokens: views of the artwork, tokenised as they are drawn."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.visual_tokenizer import NO_CODE
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.frozen import load_tokenizer
from pigeon_rec.training.recipe import ImageRecipe
from pigeon_rec.training.restyle import RestyleBatch
from pigeon_rec.training.views import apply_looks, apply_shapes, draw_looks, draw_shapes

__all__ = ["CodeRecipe"]


class CodeRecipe(ImageRecipe):
    """A recipe that reads images as codes of the frozen tokenizer.

    Attributes:
        tokenizer: The frozen visual tokenizer.
        decoder: The frozen tokenizer decoder.
        rows: The codebook, `[codebook, code_dim]`.
        bent: Share of samples whose images are bent.
        natural: Share of samples whose history and target look natural; in a catalogue without
            styles, made styles are the only ones to take from a history.
        natural_reference: Least share of references that look natural.
    """

    bent, natural, natural_reference = 0.5, 0.5, 0.75

    def __init__(self, config: PigeonConfig, artwork: TrainingArtwork, folder: Path) -> None:
        super().__init__(artwork)
        self.tokenizer, self.decoder = load_tokenizer(config, folder)
        self.rows = self.tokenizer.quantize.embedding.weight.detach()

    def place(self, device: torch.device) -> None:
        super().place(device)
        self.tokenizer.to(device)
        self.decoder.to(device)
        self.rows = self.rows.to(device)

    def codes(
        self, batch: RestyleBatch, random: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Codes of samples in new views, or as they are if `random` is None.

        History, reference and target of a user share the shape, history and target the look.

        Returns:
            History `[users, images, P]`, reference and target, both `[users * T, P]`.
        """
        rows = torch.cat([batch.history, batch.target, batch.reference], dim=1)
        pixels = self.images.pixels(rows.flatten())
        if random is not None:
            pixels = self._views(pixels, len(rows), batch.reference.shape[1], random)
        codes = self.encode(pixels).unflatten(0, rows.shape)
        split = [batch.history.shape[1], batch.target.shape[1], batch.reference.shape[1]]
        history, target, reference = codes.split(split, dim=1)
        return history, reference.flatten(0, 1), target.flatten(0, 1)

    def _views(
        self, pixels: Tensor, users: int, references: int, random: torch.Generator
    ) -> Tensor:
        """A view of each user's images, the last `references` of which are references."""
        images = len(pixels) // users
        user = torch.arange(users, device=self.device).repeat_interleave(images)
        shapes = draw_shapes(users, random, bent=self.bent)[user]
        looks = draw_looks(users, random, natural=self.natural)[user]
        plain = torch.rand(users, references, generator=random, device=self.device)
        plain = F.pad(plain < self.natural_reference, (images - references, 0))
        return apply_looks(apply_shapes(pixels, shapes), looks.natural_where(plain.flatten()))

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels `[n, 3, H, W]` -> code rows int64 `[n, P]`, padded with `NO_CODE`."""
        ids = self.tokenizer.encode(pixels).ids
        return F.pad(ids, (0, self.tokenizer.config.patches - ids.shape[1]), value=NO_CODE)
