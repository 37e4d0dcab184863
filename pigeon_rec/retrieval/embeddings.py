"""Image embeddings of catalogue items, computed once per encoder and image content."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.data.catalogue import Catalogue, Problem
from pigeon_rec.errors import RetrievalError

__all__ = ["EmbeddingCache", "Encode", "Vectors", "embed_catalogue"]

logger = logging.getLogger(__name__)

Vectors: TypeAlias = npt.NDArray[np.float32]
Encode: TypeAlias = Callable[[npt.NDArray[np.uint8]], Vectors]
"""Takes uint8 `[n, size, size, 3]`, gives float32 `[n, dim]`."""

_SCHEMA = {
    "encoder_id": pl.String(),
    "image_sha256": pl.String(),
    "embedding": pl.List(pl.Float32()),
}


class EmbeddingCache:
    """A parquet file of image embeddings, keyed by encoder and image content.

    Vectors of other encoders in the same file are kept. A file that cannot be read is only a
    lost cache: it is told in the log and written anew.

    Attributes:
        path: The parquet file; it need not exist yet.
        encoder_id: The encoder whose vectors this object looks up and adds.
    """

    def __init__(self, path: Path, encoder_id: str) -> None:
        self.path = path
        self.encoder_id = encoder_id
        self._rows = self._read().filter(pl.col("encoder_id") == encoder_id)

    def __len__(self) -> int:
        return self._rows.height

    def lookup(self, hashes: Sequence[str]) -> list[int]:
        """Row of each image hash in `vectors`, -1 where it is not cached yet."""
        known = self._rows.select("image_sha256").with_row_index("row")
        asked = pl.DataFrame({"image_sha256": hashes}, schema={"image_sha256": pl.String()})
        found = asked.join(known, on="image_sha256", how="left", maintain_order="left")
        return found["row"].cast(pl.Int64()).fill_null(-1).to_list()

    def vectors(self) -> Vectors:
        """All cached vectors of this encoder, float32 `[n_cached, dim]`, `[0, 0]` if none."""
        if self._rows.is_empty():
            return np.zeros((0, 0), dtype=np.float32)
        lengths = self._rows["embedding"].list.len().unique().to_list()
        if len(lengths) != 1:
            raise RetrievalError(
                f"cached embeddings of one encoder differ in length: {sorted(lengths)}",
                location=f"{self.path}, encoder {self.encoder_id}",
                remedy="Delete the cache file; it is made again",
            )
        stacked = self._rows["embedding"].list.to_array(lengths[0]).to_numpy()
        return np.ascontiguousarray(stacked, dtype=np.float32)

    def add(self, hashes: Sequence[str], vectors: Vectors) -> None:
        """Adds unit vectors, float32 `[n, dim]`, and writes the file in one atomic step."""
        new = pl.DataFrame(
            {
                "encoder_id": [self.encoder_id] * len(hashes),
                "image_sha256": list(hashes),
                "embedding": pl.Series(vectors).arr.to_list(),
            },
            schema=_SCHEMA,
        )
        # Read again: another process may have added rows since this object was made.
        merged = pl.concat([self._read(), new]).unique(
            ["encoder_id", "image_sha256"], keep="first", maintain_order=True
        )
        self._rows = merged.filter(pl.col("encoder_id") == self.encoder_id)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        merged.write_parquet(temporary)
        temporary.replace(self.path)

    def _read(self) -> pl.DataFrame:
        if not self.path.exists():
            return pl.DataFrame(schema=_SCHEMA)
        try:
            return pl.read_parquet(self.path).select(
                pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items()
            )
        except (OSError, pl.exceptions.PolarsError) as error:
            logger.warning("embedding cache %s is unreadable and made anew: %s", self.path, error)
            return pl.DataFrame(schema=_SCHEMA)


def embed_catalogue(
    catalogue: Catalogue,
    item_ids: Sequence[str],
    encode: Encode,
    cache: EmbeddingCache,
    *,
    image_size: int = 64,
    batch_size: int = 512,
    verify: bool = True,
    on_batch: Callable[[int, int], None] | None = None,
) -> tuple[Vectors, list[Problem]]:
    """Gives the image embedding of each item, encoding only images not yet in the cache.

    Args:
        catalogue: Where the images come from.
        item_ids: Items to embed; unknown ids are an error of the caller.
        encode: The image encoder; its rows need not be normalised.
        cache: Looked up first, and extended by what was encoded.
        image_size: Height and width in pixels the encoder sees.
        batch_size: Images read and encoded together.
        verify: Read cached images too, so that one that broke since is still told.
        on_batch: Called with the number of images read so far and their total.

    Returns:
        L2-normalised float32 `[n, dim]` in the order of `item_ids`, and the problems met. Items
        whose image cannot be used have a row of zeros and are never cached.

    Raises:
        RetrievalError: The encoder gave another shape, or values that are not finite.
    """
    hashes = catalogue.image_hashes(item_ids)
    cached = np.asarray(cache.lookup(hashes), dtype=np.int64)
    to_read = np.arange(len(hashes)) if verify else np.flatnonzero(cached < 0)
    fresh: dict[str, Vectors] = {}
    problems: list[Problem] = []
    for start in range(0, len(to_read), batch_size):
        batch = to_read[start : start + batch_size]
        images, met = catalogue.images([item_ids[i] for i in batch], size=image_size)
        problems += met
        broken = {problem.subject for problem in met}
        new = _first_of_each(batch, hashes, cached, fresh, item_ids, broken)
        if new:
            vectors = _encode(encode, images[np.searchsorted(batch, new)])
            fresh.update(zip((hashes[i] for i in new), vectors, strict=True))
        if on_batch is not None:
            on_batch(start + len(batch), len(to_read))
    if fresh:
        cache.add(list(fresh), np.stack(list(fresh.values())))
    return _gather(cache, hashes, item_ids, problems), problems


def _first_of_each(
    batch: npt.NDArray[np.int64],
    hashes: Sequence[str],
    cached: npt.NDArray[np.int64],
    fresh: dict[str, Vectors],
    item_ids: Sequence[str],
    broken: set[str],
) -> list[int]:
    """Positions in `batch`, ascending, of the usable images whose content is new."""
    new: dict[str, int] = {}
    for i in batch.tolist():
        if cached[i] < 0 and hashes[i] not in fresh and item_ids[i] not in broken:
            new.setdefault(hashes[i], i)
    return list(new.values())


def _encode(encode: Encode, images: npt.NDArray[np.uint8]) -> Vectors:
    vectors = np.asarray(encode(images), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(images):
        raise RetrievalError(
            f"the image encoder gave shape {vectors.shape} for {len(images)} images",
            remedy="It must give one row per image",
        )
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(norms).all():
        raise RetrievalError(
            "the image encoder gave values that are not finite",
            remedy="Check the weights of the encoder",
        )
    unit: Vectors = vectors / np.maximum(norms, np.float32(1e-12))
    return unit


def _gather(
    cache: EmbeddingCache,
    hashes: Sequence[str],
    item_ids: Sequence[str],
    problems: Sequence[Problem],
) -> Vectors:
    stored = cache.vectors()
    rows = np.asarray(cache.lookup(hashes), dtype=np.int64)
    broken = {problem.subject for problem in problems}
    usable = (rows >= 0) & np.asarray([item not in broken for item in item_ids], dtype=bool)
    vectors = np.zeros((len(hashes), stored.shape[1]), dtype=np.float32)
    vectors[usable] = stored[rows[usable]]
    return vectors
