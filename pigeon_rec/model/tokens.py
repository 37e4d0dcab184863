"""Ids of one model, and rows of the visual tokens of several images.

Images have different numbers of tokens, and samples different numbers of images. Tokens are packed
to the front of each row, so that masking, merging and padding work on whole batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pigeon_rec.model.visual_tokenizer import NO_CODE

__all__ = ["MASKED", "REFERENCE", "ImageTokens", "Vocabulary", "pack"]

MASKED, REFERENCE = -1, -2
"""Instead of an id: a masked visual token, and the place of a reference token."""


@dataclass(frozen=True)
class Vocabulary:
    """Ids of one model: text, image start, image end, then the codes (arXiv 2309.04669)."""

    text: int
    codes: int

    @property
    def image_start(self) -> int:
        """Id that opens an image; in a text, the place of an image."""
        return self.text

    @property
    def image_end(self) -> int:
        """Id that closes an image; in a text, the place of a reference token."""
        return self.text + 1

    @property
    def first_code(self) -> int:
        """Id of code 0; code c has the id `first_code + c`."""
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
        lengths: int64 `[B, images]`, tokens of each image; 0 where a sample has fewer images.
    """

    ids: Tensor
    keep: Tensor
    lengths: Tensor

    @classmethod
    def from_rows(cls, ids: Tensor, lengths: Tensor) -> ImageTokens:
        """Builds from packed rows; `MASKED` ids are masked, all others shown.

        Args:
            ids: int64 `[B, T]`; values behind the last token are ignored.
            lengths: int64 `[B, images]`.
        """
        present = torch.arange(ids.shape[1], device=ids.device) < lengths.sum(1, keepdim=True)
        return cls(ids.masked_fill(~present, NO_CODE), (ids != MASKED).float(), lengths)

    @classmethod
    def from_codes(
        cls, codes: Tensor, vocabulary: Vocabulary, keep: Tensor | None = None
    ) -> ImageTokens:
        """Builds from codes, without special ids.

        Args:
            codes: int64 `[B, images, P]`, padded with `NO_CODE`.
            vocabulary: Ids of the codes.
            keep: Float `[B, images, P]`; all are shown by default.
        """
        present = codes != NO_CODE
        keep = torch.ones_like(codes, dtype=torch.float) if keep is None else keep
        ids = codes + vocabulary.first_code
        packed = pack(present.flatten(1), ids.flatten(1), keep.flatten(1))
        return cls.from_rows(packed[0], present.sum(-1)).with_keep(packed[1])

    @property
    def present(self) -> Tensor:
        """False at padding, bool `[B, T]`."""
        return self._place < self.lengths.sum(1, keepdim=True)

    @property
    def image(self) -> Tensor:
        """Number of each token's image, int64 `[B, T]`; the number of images at padding."""
        ends = self.lengths.cumsum(1)
        return torch.searchsorted(ends, self._place.expand_as(self.ids).contiguous(), right=True)

    @property
    def positions(self) -> Tensor:
        """Place of each token in its image, int64 `[B, T]`, from 1; 0 at padding."""
        starts = self._of_each_token(self.lengths.cumsum(1) - self.lengths)
        return (self._place - starts + 1).masked_fill(~self.present, 0)

    def join(self, other: ImageTokens) -> ImageTokens:
        """Appends the images of another, sample by sample."""
        present = torch.cat([self.present, other.present], 1)
        ids, keep = pack(
            present, torch.cat([self.ids, other.ids], 1), torch.cat([self.keep, other.keep], 1)
        )
        return ImageTokens(ids, keep, torch.cat([self.lengths, other.lengths], 1))

    def wrapped(self, vocabulary: Vocabulary) -> ImageTokens:
        """Puts every image between an image start and an image end, both shown.

        Images of length 0, which are padding, stay as they are.
        """
        width = self.ids.shape[1] + 2 * self.lengths.shape[1]
        real = self.lengths > 0
        lengths = self.lengths + 2 * real
        ends = lengths.cumsum(1)
        shift = ends - self.lengths.cumsum(1) - real.long()  # of an image's tokens, to the right
        # Padding goes to a column of its own, which is cut off.
        to = torch.where(self.present, self._place + self._of_each_token(shift), width)
        empty = self.ids.new_full((len(self.ids), width + 1), NO_CODE)
        ids = empty.scatter(1, to, self.ids)
        ids = ids.scatter(1, (ends - lengths).where(real, width), vocabulary.image_start)
        ids = ids.scatter(1, (ends - 1).where(real, width), vocabulary.image_end)
        keep = torch.ones_like(empty, dtype=self.keep.dtype).scatter(1, to, self.keep)
        return ImageTokens(ids[:, :width], keep[:, :width], lengths)

    def padded(self, width: int) -> ImageTokens:
        """Returns the same tokens in rows of at least `width`."""
        more = max(0, width - self.ids.shape[1])
        pad = torch.nn.functional.pad
        return replace(
            self,
            ids=pad(self.ids, (0, more), value=NO_CODE),
            keep=pad(self.keep, (0, more), value=1.0),
        )

    def with_keep(self, keep: Tensor) -> ImageTokens:
        """Returns the same tokens with other keep values `[B, T]`."""
        return replace(self, keep=keep)

    def _of_each_token(self, values: Tensor) -> Tensor:
        """Values `[B, images]` of each token's image, `[B, T]`; 0 at padding."""
        return torch.nn.functional.pad(values, (0, 1)).gather(1, self.image)

    @property
    def _place(self) -> Tensor:
        return torch.arange(self.ids.shape[1], device=self.ids.device)


def pack(present: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
    """Moves present values to the front of each row, in order; cuts to the longest row.

    Args:
        present: bool `[B, T]`.
        rows: Each `[B, T]`. Values that are not present follow, as they were.
    """
    longest = max(present.sum(1).tolist(), default=0)
    order = (~present).long().argsort(dim=1, stable=True)[:, :longest]
    return tuple(row.gather(1, order) for row in rows)
