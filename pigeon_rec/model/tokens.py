"""Ids of one model, and the visual tokens of several images side by side.

Images have different numbers of tokens. They are kept as rows that are packed to the front, so that
masking, merging and padding work on whole batches, without a loop over samples or tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pigeon_rec.model.visual_tokenizer import NO_CODE

__all__ = ["MASKED", "REFERENCE", "ImageTokens", "Vocabulary", "pack"]

MASKED, REFERENCE = -1, -2
"""In place of an id: a masked visual token, and a place of the reference's embedding."""


@dataclass(frozen=True)
class Vocabulary:
    """Ids of one model: text, image start, image end, then the codes (arXiv 2309.04669)."""

    text: int
    codes: int

    @property
    def image_start(self) -> int:
        """Opens an image; in a text, the place of an image."""
        return self.text

    @property
    def image_end(self) -> int:
        """Closes an image; in a text, the place of the reference."""
        return self.text + 1

    @property
    def first_code(self) -> int:
        """Id of code 0; code c is c above it."""
        return self.text + 2

    @property
    def size(self) -> int:
        """Rows of the language model's table."""
        return self.first_code + self.codes


@dataclass(frozen=True)
class ImageTokens:
    """The visual tokens of every sample's images, one image after the other.

    Attributes:
        ids: int64 `[B, T]`, padded right with `NO_CODE`.
        keep: Float `[B, T]`: 1 shown, 0 masked; may carry the mask generator's gradient.
        lengths: int64 `[B, images]`, tokens of each image.
    """

    ids: Tensor
    keep: Tensor
    lengths: Tensor

    @classmethod
    def from_rows(cls, ids: Tensor, lengths: Tensor) -> ImageTokens:
        """Rows that are packed already; `MASKED` ids are masked, all others shown.

        Args:
            ids: int64 `[B, T]`; what stands behind the last token does not matter.
            lengths: int64 `[B, images]`.
        """
        present = torch.arange(ids.shape[1], device=ids.device) < lengths.sum(1, keepdim=True)
        return cls(ids.masked_fill(~present, NO_CODE), (ids != MASKED).float(), lengths)

    @classmethod
    def from_codes(
        cls, codes: Tensor, vocabulary: Vocabulary, keep: Tensor | None = None
    ) -> ImageTokens:
        """Bare codes.

        Args:
            codes: int64 `[B, images, P]`, `NO_CODE` where there is none.
            vocabulary: Makes ids of them.
            keep: Float `[B, images, P]`; all are shown by default.
        """
        present = codes != NO_CODE
        keep = torch.ones_like(codes, dtype=torch.float) if keep is None else keep
        ids = codes + vocabulary.first_code
        packed = pack(present.flatten(1), ids.flatten(1), keep.flatten(1))
        return cls.from_rows(packed[0], present.sum(-1)).with_keep(packed[1])

    @property
    def present(self) -> Tensor:
        """Where a token stands, bool `[B, T]`."""
        return self._place < self.lengths.sum(1, keepdim=True)

    @property
    def image(self) -> Tensor:
        """Number of each token's image, int64 `[B, T]`; the number of images at padding."""
        ends = self.lengths.cumsum(1)
        return torch.searchsorted(ends, self._place.expand_as(self.ids).contiguous(), right=True)

    @property
    def positions(self) -> Tensor:
        """Place of each token in its image, int64 `[B, T]`, from 1; 0 at padding."""
        starts = self.lengths.cumsum(1) - self.lengths
        image = self.image.clamp(max=self.lengths.shape[1] - 1)
        return (self._place - starts.gather(1, image) + 1).masked_fill(~self.present, 0)

    def join(self, other: ImageTokens) -> ImageTokens:
        """The images of another behind these, sample by sample."""
        present = torch.cat([self.present, other.present], 1)
        ids, keep = pack(
            present, torch.cat([self.ids, other.ids], 1), torch.cat([self.keep, other.keep], 1)
        )
        return ImageTokens(ids, keep, torch.cat([self.lengths, other.lengths], 1))

    def wrapped(self, vocabulary: Vocabulary) -> ImageTokens:
        """Every image between an image start and an image end, both shown."""
        width = self.ids.shape[1] + 2 * self.lengths.shape[1]
        number = torch.arange(self.lengths.shape[1], device=self.ids.device)
        ends = self.lengths.cumsum(1) + 2 * number + 1
        # Padding goes to a column of its own, which is cut off.
        to = torch.where(self.present, self._place + 2 * self.image + 1, width)
        empty = self.ids.new_full((len(self.ids), width + 1), NO_CODE)
        ids = empty.scatter(1, to, self.ids)
        ids = ids.scatter(1, ends - self.lengths - 1, vocabulary.image_start)
        ids = ids.scatter(1, ends, vocabulary.image_end)
        keep = torch.ones_like(empty, dtype=self.keep.dtype).scatter(1, to, self.keep)
        return ImageTokens(ids[:, :width], keep[:, :width], self.lengths + 2)

    def padded(self, width: int) -> ImageTokens:
        """The same tokens in rows of at least `width`, however long the longest of them is."""
        more = max(0, width - self.ids.shape[1])
        pad = torch.nn.functional.pad
        return replace(
            self,
            ids=pad(self.ids, (0, more), value=NO_CODE),
            keep=pad(self.keep, (0, more), value=1.0),
        )

    def with_keep(self, keep: Tensor) -> ImageTokens:
        """The same tokens, kept as `keep [B, T]` says."""
        return replace(self, keep=keep)

    @property
    def _place(self) -> Tensor:
        return torch.arange(self.ids.shape[1], device=self.ids.device)


def pack(present: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
    """Moves what is present to the front of each row, in order; cut to the longest row.

    Args:
        present: bool `[B, T]`.
        rows: Each `[B, T]`. What is not present follows behind, as it was.
    """
    longest = max(present.sum(1).tolist(), default=0)
    order = (~present).long().argsort(dim=1, stable=True)[:, :longest]
    return tuple(row.gather(1, order) for row in rows)
