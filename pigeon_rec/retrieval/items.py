"""Embeddings of the items of one night: which images can be used, and for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.data.catalogue import Catalogue, Problem
from pigeon_rec.retrieval.embeddings import EmbeddingCache, Vectors, embed_catalogue
from pigeon_rec.retrieval.pictures import SharedPictures, shared_pictures
from pigeon_rec.runtime.files import read_parquet, replacing, write_parquet
from pigeon_rec.runtime.progress import Progress, silent

__all__ = ["ImageEncoder", "ItemEmbeddings", "embed_items"]


class ImageEncoder(Protocol):
    """The part of a scorer that planning uses (`pigeon_rec.scoring.scorer.Scorer`)."""

    encoder_id: str

    @property
    def image_size(self) -> int:
        """Side in pixels of the pictures that it sees."""

    def encode_images(self, images: npt.NDArray[np.uint8], /) -> Vectors:
        """uint8 `[n, size, size, 3]` -> float32 `[n, dim]`."""


@dataclass(frozen=True)
class ItemEmbeddings:
    """Image embeddings of all recommended and interacted items.

    Attributes:
        item_ids: Items, sorted.
        vectors: Unit float32 `[n, dim]`; zero rows for broken images.
        broken: Items whose image cannot be used, with the reason.
        shared: Images of several items, and placeholders among them.
        problems: The broken images and placeholders.
    """

    item_ids: list[str]
    vectors: Vectors
    broken: Mapping[str, str]
    shared: SharedPictures
    problems: tuple[Problem, ...]

    def usable(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Returns the rows whose `item_id` has an image of its own that is not broken."""
        unusable = [*self.broken, *self.shared.placeholders]
        return rows.filter(~pl.col("item_id").is_in(unusable))

    def fault(self) -> tuple[str, str] | None:
        """Says why most images cannot be used, and what to do, if so."""
        if 2 * len(self.broken) <= len(self.item_ids):
            return None
        item, fault = min(self.broken.items())
        return (
            f": {len(self.broken)} of {len(self.item_ids)} images cannot be used; the first, of "
            f"{item}: {fault}",
            "Check image_uri in the catalogue, and the folder of the images",
        )

    def histories(self, interactions: pl.DataFrame) -> pl.DataFrame:
        """Returns the usable interactions, of each user's equal images only the latest."""
        return self.shared.once(self.usable(interactions))

    def write(self, table: Path, vectors: Path) -> None:
        """Writes items and vectors, for `read`."""
        broken = pl.Series([self.broken.get(item) for item in self.item_ids], dtype=pl.String())
        write_parquet(pl.DataFrame({"item_id": self.item_ids, "broken": broken}), table)
        with replacing(vectors) as temporary:
            np.save(temporary, self.vectors)

    @classmethod
    def read(cls, table: Path, vectors: Path, shared: SharedPictures) -> ItemEmbeddings:
        """Reads what `write` wrote, without the problems, which have been told."""
        items = read_parquet(table)
        broken = dict(items.drop_nulls("broken").iter_rows())
        return cls(items["item_id"].to_list(), np.load(vectors), broken, shared, ())


def embed_items(
    catalogue: Catalogue,
    wanted: pl.Series,
    encoder: ImageEncoder,
    cache: Path,
    placeholder_share: float,
    progress: Progress = silent,
) -> ItemEmbeddings:
    """Embeds every wanted item of the catalogue; vectors are cached by image hash.

    Args:
        catalogue: Source of the images.
        wanted: Ids, repeats allowed; those that the catalogue does not have are left out.
        encoder: Computes the vectors.
        cache: File of the cached ones.
        placeholder_share: See `shared_pictures`.
        progress: Receives the number of images read.
    """
    known = wanted.unique().sort()
    item_ids = known.filter(known.is_in(catalogue.items["item_id"].implode())).to_list()
    # The same file stretched to a square is another image to the encoder.
    stretched = "" if catalogue.aspect.is_square else "/stretched"
    vectors, problems = embed_catalogue(
        catalogue,
        item_ids,
        encoder.encode_images,
        EmbeddingCache(
            cache, f"{encoder.encoder_id}{stretched}", (encoder.image_size, encoder.image_size)
        ),
        on_batch=lambda done, total: progress("item images", done, total),
    )
    broken = {problem.subject: f"{problem.message} [{problem.location}]" for problem in problems}
    shared = shared_pictures(catalogue, placeholder_share)
    return ItemEmbeddings(item_ids, vectors, broken, shared, (*problems, *shared.problems))
