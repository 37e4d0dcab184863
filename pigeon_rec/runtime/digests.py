"""SHA-256 digests of values, tables, files and folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

__all__ = [
    "NOTES",
    "RowsSum",
    "canonical_json",
    "digest",
    "file_sha256",
    "folder_sha256",
    "frame_sha256",
    "id_hashes",
    "weights_sha256",
]

NOTES: Final = frozenset({"README.md", "evaluation.json", ".gitattributes"})
"""Files of a model folder that tell about the model and change no picture."""

_SLICE_ROWS: Final = 1 << 18


def canonical_json(value: object) -> str:
    """Returns `value` as JSON with sorted keys and without spaces."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: object) -> str:
    """Returns the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def frame_sha256(frame: pl.DataFrame) -> str:
    """Returns the SHA-256 of the rows of a frame in their order, as one JSON object per line."""
    total = hashlib.sha256(" ".join(frame.columns).encode())
    for part in frame.iter_slices(_SLICE_ROWS):
        total.update(part.write_ndjson().encode())
    return total.hexdigest()


@dataclass(frozen=True)
class RowsSum:
    """Sums a hash of each row, so that neither order nor division of the rows matters.

    Attributes:
        rows: Number of rows.
        total: Sum of their hashes, modulo 2**64.
    """

    rows: int = 0
    total: int = 0

    def __add__(self, other: RowsSum) -> RowsSum:
        return RowsSum(self.rows + other.rows, (self.total + other.total) % 2**64)

    @classmethod
    def of(cls, frame: pl.DataFrame) -> RowsSum:
        """Sums the rows of columns of strings, numbers and times, without nulls."""
        hashes = np.zeros(frame.height, dtype=np.uint64)
        for column in frame.iter_columns():
            hashes = _mixed(hashes ^ _bits(column))
        return cls(frame.height, int(hashes.sum(dtype=np.uint64)))

    def sha256(self, columns: Sequence[str]) -> str:
        """Returns the SHA-256 of the sum, the number of rows and the names of their columns."""
        return digest([list(columns), self.rows, self.total])


def id_hashes(ids: pl.Series) -> npt.NDArray[np.uint64]:
    """Returns the first 8 bytes of the SHA-256 of each id: the same on every machine."""
    import polars as pl

    known = ids.unique().alias("id")
    first = b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in known)
    hashed = known.to_frame().with_columns(hash=np.frombuffer(first, dtype="<u8"))
    found = ids.alias("id").to_frame().join(hashed, on="id", how="left", maintain_order="left")
    return found["hash"].cast(pl.UInt64()).to_numpy()


def _bits(column: pl.Series) -> npt.NDArray[np.uint64]:
    import polars as pl

    if column.dtype == pl.String():
        return id_hashes(column)
    values = column.to_physical().to_numpy()
    wide = values.astype(np.float64 if column.dtype.is_float() else np.int64)
    return wide.view(np.uint64)


def _mixed(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mixes 64 bits so that each one changes half of the others (the finaliser of SplitMix64)."""
    mixed = bits + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result


def file_sha256(file: Path) -> str:
    """Returns the SHA-256 of the bytes of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_sha256(folder: Path) -> str:
    """Returns the digest of a model folder, as `folder_sha256` without the card (`NOTES`)."""
    return folder_sha256(folder, leave_out=NOTES)


def folder_sha256(folder: Path, *, leave_out: Collection[str] = ()) -> str:
    """Returns the SHA-256 of relative names and bytes of all files below `folder`, by name.

    `leave_out` are relative names.
    """
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if name in leave_out:
            continue
        digest.update(name.encode())
        digest.update(bytes.fromhex(file_sha256(file)))  # without reading a file into memory
    return digest.hexdigest()
