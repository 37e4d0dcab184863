"""Writes the tables of one mirrored night as parquet files of bounded size."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.warehouse._mirror_place import MirrorPlace, Table
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["OUTSIDE", "write_tables"]

OUTSIDE: Final = "outside"
"""Table of the picture files that a night refers to."""

_PART_BYTES: Final = 16 << 20
_PART_ROWS: Final = 1 << 16
_GROUPS: Final = 16
"""Row groups of a full part: looking up one user reads about a megabyte of pictures."""
_FETCHED: Final = 64
_MACROS: Final = "macros.sql"

_Schema = Mapping[str, pl.DataType]
_TEXT: Final = pl.String()
_PICTURE: Final[_Schema] = {
    "item_id": _TEXT,
    "image": pl.Binary(),
    "image_uri": _TEXT,
    "format": _TEXT,
    "score": pl.Float64(),
    "text_score": pl.Float64(),
    "history_score": pl.Float64(),
    "asset_key": _TEXT,
    "image_sha256": _TEXT,
    "model_version": _TEXT,
    "history_ids": pl.List(pl.String()),
    "run_id": _TEXT,
    "logical_date": pl.Date(),
}
_BY_USER: Final[Mapping[str, _Schema]] = {
    "served_assets": {"user_id": _TEXT, **_PICTURE},
    "served_cohorts": {"user_id": _TEXT, "cohort": _TEXT},
}
_WHOLE: Final[Mapping[str, _Schema]] = {
    "cohort_assets": {"cohort": _TEXT, **_PICTURE},
    "originals": {"item_id": _TEXT, "image_uri": _TEXT, "image_sha256": _TEXT},
    OUTSIDE: {"image_uri": _TEXT},
}


def write_tables(
    place: MirrorPlace, source: DuckDBPyConnection, path: str, buckets: int
) -> dict[str, Table]:
    """Writes all tables of the open snapshot, and the macros over them, below a folder.

    Every bucket has at least one file, so that a pattern of names always finds one. The rows of a
    file are sorted by user and item.

    Args:
        place: Where to.
        source: The snapshot, in an instance of its own.
        path: The folder, relative to the address.
        buckets: Number of buckets of users.

    Returns:
        The tables by name.
    """
    tables = {}
    for name, schema in _BY_USER.items():
        written = [
            _write(
                place,
                _parts(source, name, schema, {"bucket": bucket, "buckets": buckets}),
                f"{path}/{name}/bucket={bucket}",
            )
            for bucket in range(buckets)
        ]
        files = tuple(file for table in written for file in table.files)
        tables[name] = Table(rows=sum(table.rows for table in written), files=files)
    for name, schema in _WHOLE.items():
        tables[name] = _write(place, _parts(source, name, schema, {}), f"{path}/{name}")
    macros = sql_text("mirror/macros").replace("/* buckets */ 16", str(buckets))
    place.put(f"{path}/{_MACROS}", macros.encode())
    return tables


def _write(place: MirrorPlace, parts: Iterator[pl.DataFrame], folder: str) -> Table:
    files, rows = [], 0
    for number, part in enumerate(parts):
        file, content = f"{folder}/part-{number:05d}.parquet", io.BytesIO()
        part.write_parquet(content, row_group_size=max(1, -(-part.height // _GROUPS)))
        place.put(file, content.getvalue())
        files.append(file)
        rows += part.height
    return Table(rows=rows, files=tuple(files))


def _parts(
    source: DuckDBPyConnection, name: str, schema: _Schema, params: Mapping[str, int]
) -> Iterator[pl.DataFrame]:
    """Yields the rows of a table in frames of bounded size; at least one, which may be empty."""
    # Rows are fetched as the query finds them: neither DuckDB nor this process holds the table.
    result = source.execute(sql_text(f"mirror/{name}"), dict(params) or None)
    blob = list(schema).index("image") if "image" in schema else None
    rows: list[tuple[Any, ...]] = []
    size, empty = 0, True
    while fetched := result.fetchmany(_FETCHED):
        rows += fetched
        size += sum(len(row[blob] or b"") for row in fetched) if blob is not None else 0
        if size >= _PART_BYTES or len(rows) >= _PART_ROWS:
            yield _sorted(rows, schema)
            rows, size, empty = [], 0, False
    if rows or empty:
        yield _sorted(rows, schema)


def _sorted(rows: Sequence[tuple[Any, ...]], schema: _Schema) -> pl.DataFrame:
    order = [name for name in ("user_id", "cohort", "item_id", "image_uri") if name in schema]
    return pl.DataFrame(rows, schema=dict(schema), orient="row").sort(order)
