"""Image embeddings of catalogue items, computed once per encoder and image content."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.data.catalogue import Catalogue, Problem
from pigeon_rec.errors import RetrievalError
from pigeon_rec.runtime.files import read_parquet, write_parquet

__all__ = ["EmbeddingCache", "Encode", "Vectors", "embed_catalogue"]

logger = logging.getLogger(__name__)

Vectors: TypeAlias = npt.NDArray[np.float32]
Encode: TypeAlias = Callable[[npt.NDArray[np.uint8]], Vectors]
"""Image encoder: uint8 `[n, height, width, 3]` to float32 `[n, dim]`."""

_IMAGE_SIZE: Final = (64, 64)  # of our scorer
_SCHEMA = {
    "encoder_id": pl.String(),
    "image_sha256": pl.String(),
    "embedding": pl.List(pl.Float32()),
}


class EmbeddingCache:
    """A parquet file of image embeddings, keyed by encoder and image content.

    Vectors of other encoders in the same file are kept. An unreadable file is logged and replaced.

    Attributes:
        path: The parquet file; it need not exist yet.
        encoder_id: The encoder whose vectors this object looks up and adds.
        image_size: Height and width in pixels that the encoder takes.
    """

    def __init__(
        self, path: Path, encoder_id: str, image_size: tuple[int, int] = _IMAGE_SIZE
    ) -> None:
        self.path = path
        self.encoder_id = encoder_id
        self.image_size = image_size
        self._rows = self._read().filter(pl.col("encoder_id") == encoder_id)

    def __len__(self) -> int:
        return self._rows.height

    def lookup(self, hashes: Sequence[str]) -> list[int]:
        """Row of each image hash in `vectors`, -1 where it is not cached yet."""
        known = self._rows.select("image_sha256").with_row_index("row")
        keys = pl.DataFrame({"image_sha256": hashes}, schema={"image_sha256": pl.String()})
        found = keys.join(known, on="image_sha256", how="left", maintain_order="left")
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
                remedy="Delete the cache file; it will be rebuilt",
            )
        stacked = self._rows["embedding"].list.to_array(lengths[0]).to_numpy()
        return np.ascontiguousarray(stacked, dtype=np.float32)

    def add(self, hashes: Sequence[str], vectors: Vectors) -> None:
        """Adds unit vectors, float32 `[n, dim]`, and writes the file atomically."""
        new = pl.DataFrame(
            {
                "encoder_id": [self.encoder_id] * len(hashes),
                "image_sha256": list(hashes),
                "embedding": pl.Series(vectors).arr.to_list(),
            },
            schema=_SCHEMA,
        )
        # Read again: another process may have added rows since then.
        merged = pl.concat([self._read(), new]).unique(
            ["encoder_id", "image_sha256"], keep="first", maintain_order=True
        )
        self._rows = merged.filter(pl.col("encoder_id") == self.encoder_id)
        write_parquet(merged, self.path)

    def _read(self) -> pl.DataFrame:
        if not self.path.exists():
            return pl.DataFrame(schema=_SCHEMA)
        try:
            return read_parquet(self.path).select(
                pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items()
            )
        except (OSError, pl.exceptions.PolarsError) as error:
            logger.warning("embedding cache %s is unreadable, rebuilding it: %s", self.path, error)
            return pl.DataFrame(schema=_SCHEMA)


def embed_catalogue(
    catalogue: Catalogue,
    item_ids: Sequence[str],
    encode: Encode,
    cache: EmbeddingCache,
    *,
    batch_size: int = 512,
    on_batch: Callable[[int, int], None] | None = None,
) -> tuple[Vectors, list[Problem]]:
    """Computes the image embedding of each item, encoding only images not yet in the cache.

    Cached images are read too, so that a file that broke since then is reported.

    Args:
        catalogue: Source of the images.
        item_ids: Items to embed, all in the catalogue.
        encode: The image encoder; its rows need not be normalised.
        cache: Looked up first, and extended by the new vectors.
        batch_size: Images read and encoded at once.
        on_batch: Called with the number of images read so far and their total.

    Returns:
        L2-normalised float32 `[n, dim]` in the order of `item_ids`, and the problems found. Items
        without a usable image have a row of zeros and are never cached.

    Raises:
        RetrievalError: The encoder returned another shape, or values that are not finite.
    """
    hashes = catalogue.image_hashes(item_ids)
    cached = cache.lookup(hashes)
    encoded: dict[str, Vectors] = {}
    problems: list[Problem] = []
    for start in range(0, len(hashes), batch_size):
        batch = range(start, min(start + batch_size, len(hashes)))
        images, found = catalogue.images([item_ids[i] for i in batch], size=cache.image_size)
        problems += found
        broken = {problem.subject for problem in found}
        new: dict[str, int] = {}  # position of the first usable image of each new hash
        for i in batch:
            if cached[i] < 0 and hashes[i] not in encoded and item_ids[i] not in broken:
                new.setdefault(hashes[i], i)
        if new:
            vectors = _encode(encode, images[[i - start for i in new.values()]])
            encoded.update(zip(new, vectors, strict=True))
        if on_batch is not None:
            on_batch(batch.stop, len(hashes))
    if encoded:
        cache.add(list(encoded), np.stack(list(encoded.values())))
    return _gather(cache, hashes, item_ids, problems), problems


def _encode(encode: Encode, images: npt.NDArray[np.uint8]) -> Vectors:
    vectors = np.asarray(encode(images), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(images):
        raise RetrievalError(
            f"the image encoder returned shape {vectors.shape} for {len(images)} images",
            remedy="It must return one row per image",
        )
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(norms).all():
        raise RetrievalError(
            "the image encoder returned values that are not finite",
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
