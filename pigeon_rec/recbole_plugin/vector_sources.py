"""Where item vectors are computed or taken from: a catalogue, a folder of pictures, an array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pigeon_rec.data.catalogue import Catalogue, Problem
from pigeon_rec.errors import CatalogueError
from pigeon_rec.retrieval import EmbeddingCache, Encode, embed_catalogue

__all__ = ["Captions", "VectorTable", "array_vectors", "catalogue_vectors"]

_REMEDY: Final = (
    "Give a .npy file of numbers of the shape [items, dimensions], and a text file with the item "
    "id of each of its rows"
)


@dataclass(frozen=True)
class Captions:
    """How captions are added to item vectors.

    Attributes:
        encode: Text encoder, texts to unit vectors float32 `[n, dim]`.
        weight: Norm of a caption's vector before normalisation; that of an image's vector is 1.
    """

    encode: Callable[[Sequence[str]], npt.NDArray[np.float32]]
    weight: float

    def append_to(
        self, image_vectors: npt.NDArray[np.float32], texts: Sequence[str]
    ) -> npt.NDArray[np.float32]:
        """Concatenates image and caption vectors to unit vectors, float32 `[n, 2 dim]`.

        Args:
            image_vectors: Unit vectors `[n, dim]`.
            texts: Caption of each item; a blank one adds zeros.
        """
        has_text = np.array([bool(text.strip()) for text in texts])
        captions = self.encode(texts) * (self.weight * has_text)[:, None]
        both = np.concatenate([image_vectors, captions], axis=1)
        unit: npt.NDArray[np.float32] = both / np.linalg.norm(both, axis=1, keepdims=True)
        return unit.astype(np.float32)


@dataclass(frozen=True)
class VectorTable:
    """Vectors of some of a data set's items.

    Attributes:
        tokens: Item tokens, one per row.
        matrix: float32 `[n, dim]`, finite.
        unknown: Pictures or rows of items that the data set does not have.
        not_finite: Rows that were left out because a value is NaN or infinite.
        problems: Items of the data set without a vector, and repeated ones.
    """

    tokens: list[str]
    matrix: npt.NDArray[np.float32]
    unknown: int = 0
    not_finite: int = 0
    problems: list[Problem] = field(default_factory=list)


def catalogue_vectors(
    item_ids: Sequence[str],
    catalogue: Catalogue,
    encode: Encode,
    cache: EmbeddingCache,
    captions: Captions | None = None,
) -> VectorTable:
    """Embeds the items that have an image in the catalogue."""
    codes = catalogue.code_of(item_ids)
    known = [item for item, code in zip(item_ids, codes, strict=True) if code >= 0]
    vectors, problems = embed_catalogue(catalogue, known, encode, cache)
    usable = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 0) if known else np.zeros(0, int)
    tokens, matrix = [known[row] for row in usable], vectors[usable]
    if captions is not None and tokens:
        texts = catalogue.rows(tokens)["semantics"].fill_null("")
        matrix = captions.append_to(matrix, texts.to_list())
    absent = sorted(set(item_ids) - set(known))
    return VectorTable(
        tokens, matrix, len(catalogue) - len(known), problems=[*problems, *map(_absent, absent)]
    )


def array_vectors(vectors: Path, ids: Path, item_ids: Sequence[str]) -> VectorTable:
    """Takes vectors that were computed elsewhere.

    Args:
        vectors: `.npy` file of numbers, `[n, dim]`; pickled objects are refused.
        ids: Text file with the item id of every row, one per line.
        item_ids: Items of the data set.

    Raises:
        CatalogueError: A file cannot be read, or the two do not fit.
    """
    try:
        table = np.load(vectors, mmap_mode="r", allow_pickle=False)
        rows = ids.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, EOFError) as error:
        raise CatalogueError(
            f"cannot read the vectors: {error}", location=f"{vectors}, {ids}", remedy=_REMEDY
        ) from error
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.dtype.kind not in "fiu":
        shape = getattr(table, "shape", None)
        raise CatalogueError(
            f"the vectors have the shape {shape}, not [items, dimensions] of numbers",
            location=str(vectors),
            remedy=_REMEDY,
        )
    if len(rows) != len(table):
        raise CatalogueError(
            f"there are {len(table)} vectors and {len(rows)} ids",
            location=f"{vectors}, {ids}",
            remedy=_REMEDY,
        )
    return _chosen(table, rows, item_ids, ids)


def _chosen(
    table: npt.NDArray[np.generic], rows: Sequence[str], item_ids: Sequence[str], ids: Path
) -> VectorTable:
    """The rows of the data set's items; of several rows of one item, the first counts."""
    wanted, place, problems = frozenset(item_ids), dict[str, int](), list[Problem]()
    for row, token in enumerate(rows):
        if token not in wanted:
            continue
        if token in place:
            message = f"item {token!r} has a vector already; this one is left out"
            problems.append(Problem("duplicate_vector", token, f"{ids}, line {row + 1}", message))
        else:
            place[token] = row
    with np.errstate(over="ignore"):  # too large for float32: counted as not finite
        matrix = table[list(place.values())].astype(np.float32)
    finite = np.isfinite(matrix).all(axis=1)
    tokens = [token for token, usable in zip(place, finite, strict=True) if usable]
    problems += [_absent(token) for token in sorted(wanted - place.keys())]
    unknown = len(rows) - sum(token in wanted for token in rows)
    return VectorTable(tokens, matrix[finite], unknown, int((~finite).sum()), problems)


def _absent(item: str) -> Problem:
    return Problem("unknown_item", item, "", f"item {item!r} has no picture or vector")
