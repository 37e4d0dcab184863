"""`python -m benchmarks.serve`: looking up one of a million assets, in DuckDB and in SQLite.

Both files hold the same assets. SQLite finds a row by the primary key (user_id, item_id) of one
wide table, as a serving database would; DuckDB evaluates `asset_for`, which resolves own asset,
cohort and original over the normalised tables. `get_many` answers many lookups at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.result import Figure, Result, stopwatch
from benchmarks.runner import main
from pigeon_rec.warehouse import AssetReader, connect, open_warehouse, transaction

__all__ = ["measure"]

ASSETS = 1_000_000
LOOKUPS = 1_000
BATCHES = (100, 10_000)
PER_USER = 20

# Rows as `publish` writes them, made inside DuckDB.
_MADE = (
    """
    CREATE TEMP TABLE made AS
    SELECT sha256('asset ' || i) AS asset_key,
           'user-' || lpad((i // $per_user)::VARCHAR, 7, '0') AS user_id,
           'item-' || lpad((i % $per_user)::VARCHAR, 4, '0') AS item_id,
           repeat(md5(i::VARCHAR), 30)::BLOB AS image
    FROM range($count) AS numbers (i)""",
    """
    INSERT INTO assets BY NAME
    SELECT *, sha256(image) AS image_sha256, 'png' AS format, 24 AS width, 24 AS height,
           960 AS byte_size, 0.0 AS mask_ratio, 0 AS seed, 'benchmark' AS model_version,
           ['a', 'b', 'c', 'd', 'e'] AS history_ids, '2026-06-01' AS first_run_id
    FROM made ORDER BY asset_key""",
    """
    INSERT INTO served_pairs BY NAME
    SELECT user_id, item_id, asset_key, 0.5 AS score, 0.5 AS text_score, 0.5 AS history_score,
           '2026-06-01' AS run_id, DATE '2026-06-01' AS logical_date
    FROM made ORDER BY user_id, item_id""",
)


def measure(folder: Path, scale: float) -> Result:
    """Looks up single assets and batches of them."""
    count = max(int(ASSETS * scale), 10_000)
    warehouse, rows = folder / "pigeon.duckdb", folder / "rows.sqlite"
    _make_warehouse(warehouse, count)
    _make_sqlite(warehouse, rows)
    random = np.random.default_rng(0)
    pairs = [_pair(n) for n in random.integers(0, count, LOOKUPS)]
    with AssetReader(warehouse) as reader, sqlite3.connect(rows) as database:

        def look_up(user_id: str, item_id: str) -> object:
            query = "SELECT * FROM served WHERE user_id = ? AND item_id = ?"
            return database.execute(query, (user_id, item_id)).fetchone()

        duckdb = _latencies(reader.get, pairs)
        sqlite = _latencies(look_up, pairs)
        batches = [
            _batch(reader, [_pair(n) for n in random.integers(0, count, size)]) for size in BATCHES
        ]
    return Result(
        f"one asset of {count:,}",
        [
            Figure("asset_for, median", duckdb[0], "ms", "AssetReader.get"),
            Figure("asset_for, p99", duckdb[1], "ms"),
            Figure("SQLite primary key, median", sqlite[0], "ms"),
            Figure("SQLite primary key, p99", sqlite[1], "ms"),
            Figure("asset_for against SQLite, median", duckdb[0] / sqlite[0], "times"),
            *(
                Figure(f"get_many of {size:,}", seconds, "s", f"{size / seconds:,.0f} assets/s")
                for size, seconds in zip(BATCHES, batches, strict=True)
            ),
        ],
    )


def _make_warehouse(path: Path, count: int) -> None:
    with open_warehouse(path) as connection, transaction(connection):
        made, *inserts = _MADE
        connection.execute(made, {"count": count, "per_user": PER_USER}).fetchall()
        for statement in inserts:
            connection.execute(statement).fetchall()


def _make_sqlite(source: Path, path: Path) -> None:
    with connect(source, read_only=True) as reader, sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE served (user_id TEXT, item_id TEXT, image BLOB, score REAL, "
            "asset_key TEXT, image_sha256 TEXT, PRIMARY KEY (user_id, item_id)) WITHOUT ROWID"
        )
        rows = reader.execute(
            "SELECT user_id, item_id, image, score, asset_key, image_sha256 FROM served_assets"
        )
        while part := rows.fetchmany(10_000):
            database.executemany("INSERT INTO served VALUES (?, ?, ?, ?, ?, ?)", part)


def _pair(number: int) -> tuple[str, str]:
    return f"user-{number // PER_USER:07d}", f"item-{number % PER_USER:04d}"


def _latencies(
    look_up: Callable[[str, str], object], pairs: list[tuple[str, str]]
) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds, after a warm-up of 20 lookups."""
    laps: list[float] = []
    for user_id, item_id in [*pairs[:20], *pairs]:
        with stopwatch(laps):
            found = look_up(user_id, item_id)
        if found is None:
            raise LookupError(f"{user_id} / {item_id} was not found")
    median, p99 = np.quantile(laps[20:], [0.5, 0.99]) * 1000
    return float(median), float(p99)


def _batch(reader: AssetReader, pairs: list[tuple[str, str]]) -> float:
    laps: list[float] = []
    for _ in range(3):
        with stopwatch(laps):
            found = reader.get_many(pairs)
        if found.height != len(pairs):
            raise LookupError(f"{len(pairs) - found.height} assets were not found")
    return float(np.median(laps))


if __name__ == "__main__":
    main(measure)
