"""The content hash of a night; independent of the order of rows and of library versions.

Every column of every frame is hashed in a fixed binary form: which values are missing, the length
of each text, and the values. A text form would depend on how a library writes numbers.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final, Protocol

import polars as pl

from pigeon_rec.warehouse.records import NightRecords

__all__ = ["night_sha256"]

_FORM: Final = 2  # raise it if the same night gets another hash
_NULL: Final = pl.lit(None, pl.String)


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def night_sha256(night: NightRecords, pictures: pl.DataFrame, scores: pl.DataFrame) -> str:
    """Returns the SHA-256 over a night, its served pictures and all their scores.

    Args:
        night: The night; its `drawing_times` are measured times and not hashed.
        pictures: Every picture it serves, with `image_sha256` instead of the bytes.
        scores: Every score of the pictures that it serves or rejects.
    """
    digest = hashlib.sha256(_facts(night).encode())
    # The location of the bytes is not part of the content.
    _add(digest, "pictures", _by_key(pictures.with_columns(image_uri=_NULL)))
    _add(digest, "run_assets", night.run_assets.sort("user_id", "item_id"))
    by_metric = scores.partition_by("metric", as_dict=True, include_key=False)
    for (metric,), part in sorted(by_metric.items()):
        _add(digest, f"scores {metric}", _by_key(part))
    _add(digest, "rejections", night.rejections.sort("user_id", "item_id"))
    _add(digest, "problems", night.problems.sort(pl.all()))
    _add(digest, "cohorts", night.cohorts.sort("user_id"))
    _add(digest, "plan_pairs", night.plan_pairs.sort("user_id", "item_id"))
    _add(digest, "originals", night.originals.sort("item_id"))
    return digest.hexdigest()


def _facts(night: NightRecords) -> str:
    facts = [
        _FORM,
        night.run_id,
        night.model_version,
        night.settings_hash,
        night.seed,
        night.config_json(),
        night.planned,
        night.skipped,
    ]
    return json.dumps(facts, ensure_ascii=False)


def _by_key(frame: pl.DataFrame) -> pl.DataFrame:
    # Most frames are sorted already, and checking that is much cheaper than sorting.
    return frame if frame["asset_key"].is_sorted() else frame.sort("asset_key")


def _add(digest: _Digest, name: str, frame: pl.DataFrame) -> None:
    digest.update(f"\n{name} {frame.height} {' '.join(frame.columns)}\n".encode())
    for column in frame.iter_columns():
        _add_column(digest, column)


def _add_column(digest: _Digest, column: pl.Series) -> None:
    if isinstance(column.dtype, pl.List):
        _add_numbers(digest, column.list.len())
        _add_column(digest, column.drop_nulls().explode().drop_nulls())
    elif column.dtype == pl.String:
        _add_numbers(digest, column.str.len_bytes())
        digest.update("".join(column.drop_nulls()).encode())
    else:
        _add_numbers(digest, column)


def _add_numbers(digest: _Digest, column: pl.Series) -> None:
    """Adds one byte per value, 1 if it is missing, then all values in 8 bytes, little-endian."""
    whole = column.dtype.is_integer()
    values = column.cast(pl.Int64 if whole else pl.Float64).fill_null(0).to_numpy()
    digest.update(column.is_null().to_numpy().tobytes())
    digest.update(values.astype("<i8" if whole else "<f8").tobytes())
