"""One hash over everything a night says, whatever the order of its rows or a library's release.

Every column of every frame goes in as bytes of a fixed form: which values are missing, how long
each text is, and the values themselves. Text formats would depend on how a library writes numbers.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final, Protocol

import polars as pl

from pigeon_rec.warehouse.records import NightRecords

__all__ = ["night_sha256"]

_FORM: Final = 2  # raise it if the same night comes to have another hash
_NOWHERE: Final = pl.lit(None, pl.String)


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def night_sha256(night: NightRecords, pictures: pl.DataFrame, scores: pl.DataFrame) -> str:
    """Hash over a night, its served pictures and all their scores.

    Args:
        night: The night; its `drawing_times` are clock readings and no part of the hash.
        pictures: Every picture it serves, without bytes; `image_sha256` stands for them.
        scores: Every score of the pictures that it serves or refuses.
    """
    digest = hashlib.sha256(_facts(night).encode())
    # Where bytes lie is no part of what a night says.
    _add(digest, "pictures", _by_key(pictures.with_columns(image_uri=_NOWHERE)))
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
    # Most come sorted; to see that is much cheaper than to sort them again.
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
    """Missing values as one byte each, then all values in 8 bytes, little-endian."""
    whole = column.dtype.is_integer()
    values = column.cast(pl.Int64 if whole else pl.Float64).fill_null(0).to_numpy()
    digest.update(column.is_null().to_numpy().tobytes())
    digest.update(values.astype("<i8" if whole else "<f8").tobytes())
