"""The training artwork as arrays; what is held out is never among it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from pigeon_rec.config import PlanConfig
from pigeon_rec.data.dataset import Dataset
from pigeon_rec.errors import TrainingError
from pigeon_rec.retrieval import shared_pictures

__all__ = [
    "NO_STYLE",
    "ArtworkTensors",
    "TrainingArtwork",
    "for_validation",
    "load_artwork",
]

NO_STYLE = ""
"""Name of the style of pictures without one."""

_VALIDATION_SHARE = 0.03
_DECODED = 1024
"""Pictures that are decoded together."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingArtwork:
    """Decoded artwork, one row per item.

    Attributes:
        data: Where it is from.
        rows: Catalogue rows without image bytes, in the order of the arrays; `style` and `concept`
            are names of `styles` and `concepts`.
        images: uint8 `[n, side, side, 3]`.
        style: int64 `[n]`, index into `styles`.
        concept: int64 `[n]`, index into `concepts`.
        at: int64 `[concepts, styles]`, the row of a pair, -1 where there is none.
        styles: In alphabetical order; only `NO_STYLE` where the catalogue has no styles.
        concepts: In alphabetical order; of a concept with several items in one style, each further
            item is a concept of its own.
        style_descriptions: Style -> its look in words.
        unusable: Items whose pictures cannot be used, or are placeholders.
    """

    data: Dataset
    rows: pl.DataFrame
    images: NDArray[np.uint8]
    style: NDArray[np.int64]
    concept: NDArray[np.int64]
    at: NDArray[np.int64]
    styles: tuple[str, ...]
    concepts: tuple[str, ...]
    style_descriptions: Mapping[str, str]
    unusable: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def named_styles(self) -> tuple[str, ...]:
        """The styles without `NO_STYLE`."""
        return tuple(name for name in self.styles if name != NO_STYLE)

    @property
    def has_pairs(self) -> bool:
        """Whether some concept comes in several styles, so that one can be redrawn as another."""
        return bool(((self.at >= 0).sum(1) > 1).any())


def load_artwork(
    data: Dataset,
    size: int,
    concepts: Collection[str] | None = None,
    *,
    most: int | None = None,
) -> TrainingArtwork:
    """Decodes the artwork that is not held out.

    Pictures that cannot be decoded, and placeholders (as in a night's plan), are left out and
    logged.

    Args:
        data: The catalogue and its users.
        size: Side in pixels, as the model sees pictures.
        concepts: Keeps the items of these concepts only, and those without a concept whose ids are
            named here.
        most: Keeps this many items at most, those chosen most often; the rest of a large catalogue
            would not fit into memory.

    Raises:
        TrainingError: No picture is usable.
    """
    share = PlanConfig().placeholder_share
    unusable = shared_pictures(data.catalogue, share).placeholders
    items = data.training_items().filter(~pl.col("item_id").is_in(list(unusable)))
    items = _placed(items)
    if concepts is not None:
        named = pl.coalesce("concept", "item_id").is_in(list(concepts))
        items = items.filter(named)
    if most is not None and items.height > most:
        items = _most_chosen(items, data, most)
    images, broken = _decoded(data, items["item_id"].to_list(), size)
    unusable |= broken
    if unusable:
        first, why = next(iter(unusable.items()))
        _LOG.warning("%d pictures are left out; the first: %s: %s", len(unusable), first, why)
    usable = ~items["item_id"].is_in(list(broken))
    if not usable.any():
        raise TrainingError(
            f"none of {items.height} pictures can be trained on",
            location=data.name,
            remedy=next(iter(unusable.values()), "Give a catalogue with more items"),
        )
    artwork = _arranged(data, items.filter(usable), images[usable.to_numpy()])
    return replace(artwork, unusable=frozenset(unusable))


def _placed(items: pl.DataFrame) -> pl.DataFrame:
    """Adds `key`, a name of the concept that is unique among the items of one style."""
    number = pl.int_range(pl.len()).over("concept", "style")
    further = pl.format("{}/{}", "concept", number + 1)
    named = pl.when(number == 0).then("concept").otherwise(further)
    # An item without a concept is one of its own; the prefix keeps ids and names of concepts apart.
    alone = pl.format("item/{}", "item_id")
    key = pl.when(pl.col("concept").is_null()).then(alone).otherwise(named)
    return items.with_columns(key=key)


def _most_chosen(items: pl.DataFrame, data: Dataset, most: int) -> pl.DataFrame:
    """The items that users chose most often, in the order of the catalogue."""
    counts = data.training_interactions().group_by("item_id").len("count")
    counted = items.with_row_index("row").join(counts, on="item_id", how="left")
    ranked = counted.sort(-pl.col("count").fill_null(0).cast(pl.Int64), "item_id")
    _LOG.warning("training reads the %d of %d items chosen most often", most, items.height)
    return ranked.head(most).sort("row").drop("row", "count")


def _decoded(
    data: Dataset, item_ids: list[str], size: int
) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Pictures uint8 `[n, size, size, 3]`, and the reasons of unusable ones by item id."""
    images = np.empty((len(item_ids), size, size, 3), dtype=np.uint8)
    broken: dict[str, str] = {}
    for start in range(0, len(item_ids), _DECODED):
        part = item_ids[start : start + _DECODED]
        images[start : start + len(part)], problems = data.catalogue.images(part, size)
        broken |= {problem.subject: problem.message for problem in problems}
    return images, broken


def _arranged(data: Dataset, items: pl.DataFrame, images: NDArray[np.uint8]) -> TrainingArtwork:
    """Numbers styles and concepts in alphabetical order."""
    labelled = items.select(
        pl.col("style").fill_null(NO_STYLE), concept=pl.col("key")
    )  # of each item, as names
    rows = data.catalogue.rows(items["item_id"].to_list()).with_columns(labelled)
    styles = tuple(sorted(rows["style"].unique()))
    concepts = tuple(sorted(rows["concept"].unique()))
    style = np.searchsorted(np.array(styles), rows["style"].to_numpy().astype(str))
    concept = np.searchsorted(np.array(concepts), rows["concept"].to_numpy().astype(str))
    at = np.full((len(concepts), len(styles)), -1, dtype=np.int64)
    at[concept, style] = np.arange(len(rows))
    kept = [name for name in rows.columns if name != "image"]
    return TrainingArtwork(
        data, rows.select(kept), images, style, concept, at, styles, concepts,
        data.style_descriptions,
    )  # fmt: skip


def for_validation(item_ids: Iterable[str]) -> NDArray[np.bool_]:
    """Which items are validated on and never trained on: 3 % of them, by a hash of the id."""
    limit = round(_VALIDATION_SHARE * 2**32)
    digests = (hashlib.sha256(item_id.encode()).digest() for item_id in item_ids)
    return np.array([int.from_bytes(d[:4], "big") < limit for d in digests], dtype=np.bool_)


@dataclass(frozen=True)
class ArtworkTensors:
    """Artwork on a device, for recipes to cut batches from.

    Attributes:
        images: uint8 `[n, 3, H, W]`.
        style: int64 `[n]`.
        concept: int64 `[n]`.
        at: int64 `[concepts, styles]`, the row of a pair to train on, -1 where there is none.
        training: int64, the rows to train on.
        validation: int64, the other rows, in the order of their styles.
        named: int64, the styles that have a name and pictures to train on.
    """

    images: Tensor
    style: Tensor
    concept: Tensor
    at: Tensor
    training: Tensor
    validation: Tensor
    named: Tensor

    @classmethod
    def of(cls, artwork: TrainingArtwork) -> ArtworkTensors:
        """Returns the artwork as tensors on the CPU."""
        kept_back = for_validation(artwork.rows["item_id"])
        if kept_back.all():
            kept_back[:] = False  # a handful of items: there is nothing to spare
        validation, training = np.flatnonzero(kept_back), np.flatnonzero(~kept_back)
        order = np.argsort(artwork.style[validation], kind="stable")
        at = np.where(np.isin(artwork.at, validation), -1, artwork.at)
        names = np.array(artwork.styles)
        named = np.intersect1d(np.flatnonzero(names != NO_STYLE), artwork.style[training])
        arrays = (artwork.style, artwork.concept, at, training, validation[order], named)
        images = torch.from_numpy(artwork.images).permute(0, 3, 1, 2).contiguous()
        return cls(images, *(torch.from_numpy(array) for array in arrays))

    def to(self, device: torch.device) -> ArtworkTensors:
        """Returns the same artwork on a device."""
        return ArtworkTensors(*(values.to(device) for values in vars(self).values()))

    def pixels(self, rows: Tensor) -> Tensor:
        """Pixels float32 `[n, 3, H, W]` in [-1, 1] of rows int64 `[n]`."""
        return self.images[rows].float() / 127.5 - 1.0

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Random rows to train on, int64 `[count]`."""
        places = torch.randint(len(self.training), (count,), generator=random, device=random.device)
        return self.training[places]
