"""Reads item vectors from a feature file, for the items that a RecBole data set has.

The file is an atomic file of RecBole: a token field of item ids and a `float_seq` field of vectors.
RecBole makes every id of such a file an item, those that its own filters removed included, so that
they could be recommended. Here the items come first: rows of other ids are counted and left out.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt

from pigeon_rec.errors import ConfigError, InteractionError
from pigeon_rec.runtime.digests import file_sha256

__all__ = ["Coverage", "FeatureColumns", "ItemVectors", "read_item_vectors", "separator_of"]

logger = logging.getLogger(__name__)

_REMEDY: Final = "Write it with `pigeon-rec recbole features`"
_SEPARATORS: Final = ("\t", ",", ";", "|", " ")


@dataclass(frozen=True)
class FeatureColumns:
    """How a feature file is laid out.

    Attributes:
        id_field: Field of item ids, of type `token`.
        vector_field: Field of vectors, of type `float_seq`.
        seq_separator: Between the numbers of a vector; a file that does not use it has spaces.
        field_separator: Between fields; if the header does not fit it, others are tried.
        encoding: Of the text.
    """

    id_field: str
    vector_field: str
    seq_separator: str = " "
    field_separator: str = "\t"
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Coverage:
    """How the rows of a feature file relate to the items of a data set.

    Attributes:
        items: Items of the data set.
        with_vector: Items with a usable vector.
        unknown: Rows of items that the data set does not have.
        filtered: Rows of items that the data set's filters removed.
        not_finite: Rows with a value that is NaN or infinite.
        malformed: Rows with another number of columns or values, or values that are not numbers.
        repeated: Rows of an item that has one already; the last row counts.
        first_fault: Line and fault of the first row that is not usable; empty if there is none.
    """

    items: int
    with_vector: int = 0
    unknown: int = 0
    filtered: int = 0
    not_finite: int = 0
    malformed: int = 0
    repeated: int = 0
    first_fault: str = ""

    @property
    def share(self) -> float:
        """Share of the items with a usable vector."""
        return self.with_vector / max(1, self.items)

    def __str__(self) -> str:
        parts = [f"{self.with_vector} of {self.items} items have a vector"]
        for count, meaning in (
            (self.unknown, "of items that the data set does not have"),
            (self.filtered, "of items that its filters removed"),
            (self.not_finite, "not finite"),
            (self.malformed, "malformed"),
            (self.repeated, "repeated"),
        ):
            if count:
                parts.append(f"{count} rows {meaning}")
        first = f" (first: {self.first_fault})" if self.first_fault else ""
        return f"{', '.join(parts)}{first}"


@dataclass(frozen=True)
class ItemVectors:
    """Vectors by RecBole's internal item ids.

    Attributes:
        matrix: float32 `[n_items, dim]`; a row of zeros is an item without a vector.
        coverage: What became of the rows of the file.
        sha256: Of the file.
    """

    matrix: npt.NDArray[np.float32]
    coverage: Coverage
    sha256: str


def read_item_vectors(
    path: Path,
    columns: FeatureColumns,
    ids: Mapping[str, int],
    *,
    min_share: float,
    filtered: Collection[str] = (),
) -> ItemVectors:
    """Reads the vectors of the items in `ids`; unusable rows are counted, never fatal.

    Args:
        path: The feature file.
        columns: Its layout.
        ids: Internal id of every item token, the padding's 0 included.
        min_share: Least share of the items that must have a vector; with fewer, the file is taken
            for one of another data set.
        filtered: Tokens before the data set's filters; those not in `ids` were removed.

    Raises:
        ConfigError: The file cannot be read, or its header lacks a field.
        InteractionError: Too few items of the data set have a vector in it.
    """
    known = {token: code for token, code in ids.items() if code > 0}
    try:
        with path.open(encoding=columns.encoding, newline="") as stream:
            matrix, coverage = _collect(_rows(stream, path, columns), columns, known, filtered)
        sha256 = file_sha256(path)
    except (OSError, UnicodeDecodeError, LookupError) as error:
        raise ConfigError(
            f"cannot read the item vectors: {error}", location=str(path), remedy=_REMEDY
        ) from error
    if not coverage.with_vector or coverage.share < min_share:
        raise InteractionError(
            f"the item vectors cover {coverage.share:.1%} of the data set's items "
            f"({coverage}), less than {min_share:.0%}: they look like those of another data set",
            location=str(path),
            remedy=f"{_REMEDY} for this data set; lower pigeon_min_coverage if so few pictures "
            "are meant, or set pigeon_visual_weight: 0 to go without",
        )
    logger.info("Item vectors of %s: %s", path.name, coverage)
    return ItemVectors(matrix, coverage, sha256)


def separator_of(header: str, expected: tuple[str, ...], preferred: str) -> str | None:
    """Returns the field separator for which a header has the expected columns; `None` if none."""
    for separator in dict.fromkeys((preferred, *_SEPARATORS)):
        if separator and set(expected) <= set(_fields(header, separator)):
            return separator
    return None


def _collect(
    rows: Iterator[tuple[int, str, str]],
    columns: FeatureColumns,
    known: Mapping[str, int],
    filtered: Collection[str],
) -> tuple[npt.NDArray[np.float32], Coverage]:
    """Fills the matrix row by row, so that memory is needed for the data set's items only."""
    coverage = Coverage(len(known))
    matrix = np.zeros((len(known) + 1, 0), dtype=np.float32)
    seen: set[int] = set()
    for line, token, values in rows:
        code = known.get(token)
        if code is None:
            kind = "filtered" if token in filtered else "unknown"
            coverage = _counted(coverage, kind)
            continue
        vector = _numbers(values, columns.seq_separator)
        if vector is None or (seen and len(vector) != matrix.shape[1]):
            coverage = _fault(coverage, "malformed", f"line {line}, {values[:40]!r}")
        elif not np.isfinite(vector).all():
            coverage = _fault(coverage, "not_finite", f"line {line}, item {token}")
        else:
            if not seen:
                matrix = np.zeros((len(known) + 1, len(vector)), dtype=np.float32)
            coverage = replace(coverage, repeated=coverage.repeated + (code in seen))
            seen.add(code)
            matrix[code] = vector
    return matrix, replace(coverage, with_vector=int((matrix != 0).any(axis=1).sum()))


def _fault(coverage: Coverage, kind: str, where: str) -> Coverage:
    return replace(_counted(coverage, kind), first_fault=coverage.first_fault or where)


def _counted(coverage: Coverage, kind: str) -> Coverage:
    counted: dict[str, Any] = {kind: getattr(coverage, kind) + 1}
    return replace(coverage, **counted)


def _rows(stream: TextIO, path: Path, columns: FeatureColumns) -> Iterator[tuple[int, str, str]]:
    """Yields line number, item token and the text of its vector; of a malformed line, no text."""
    expected = (f"{columns.id_field}:token", f"{columns.vector_field}:float_seq")
    header = stream.readline().rstrip("\r\n")
    separator = separator_of(header, expected, columns.field_separator)
    if separator is None:
        raise ConfigError(
            f"the header needs the fields {' and '.join(expected)}, received {header[:200]!r}",
            location=f"{path}, line 1",
            remedy=f"{_REMEDY}, or name its fields in pigeon_visual_id_field and "
            "pigeon_visual_field",
        )
    names = _fields(header, separator)
    token_at, vector_at = (names.index(name) for name in expected)
    for number, line in enumerate(stream, start=2):
        parts = _fields(line.rstrip("\r\n"), separator)
        if parts == [""]:
            continue
        if len(parts) != len(names):
            yield number, parts[token_at] if token_at < len(parts) else "", ""
        else:
            yield number, parts[token_at], parts[vector_at]


def _fields(line: str, separator: str) -> list[str]:
    parts = line.split(separator)
    if '"' not in line:
        return parts
    return [part[1:-1] if len(part) > 1 and part[0] == part[-1] == '"' else part for part in parts]


def _numbers(text: str, separator: str) -> npt.NDArray[np.float32] | None:
    parts = text.split(separator) if separator in text else text.split()
    try:
        with np.errstate(over="ignore"):  # too large for float32: counted as not finite
            vector = np.array([float(part) for part in parts if part], dtype=np.float32)
    except ValueError:
        return None
    return vector if len(vector) else None
