"""`python -m benchmarks.publish`: publishing a night of 200,000 assets.

Publishing a staged night (file hashes, references, reuse, content hash, serving table, commit) is
compared with DuckDB's bulk insert of the same rows from the same parquet files into the same
tables, also in one transaction, and with inserting them row by row. Publishing has checked that
keys are unique, so the bar is a bulk insert into tables with primary keys; that without keys is a
figure. Staging, which decodes every image, is measured separately.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from duckdb import DuckDBPyConnection

from benchmarks.made_assets import made_night
from benchmarks.result import Bar, Figure, Result, stopwatch, timed
from benchmarks.runner import main
from pigeon_rec.warehouse import (
    NIGHT_SCHEMAS,
    NightRecords,
    open_warehouse,
    publish,
    read_staged,
    stage,
)

__all__ = ["measure"]

ASSETS = 200_000
ROW_BY_ROW = 200
REPEATS = 3
BAR = 0.7

_BULK = {
    "assets": """
        INSERT INTO assets BY NAME
        SELECT *, octet_length(image) AS byte_size, '2026-06-01' AS first_run_id
        FROM read_parquet($path)""",
    "run_assets": """
        INSERT INTO run_assets BY NAME
        SELECT *, '2026-06-01' AS run_id FROM read_parquet($path)""",
    "scores": "INSERT INTO asset_scores BY NAME SELECT * FROM read_parquet($path)",
}
_KEYS = (
    "DROP INDEX assets_of_key",
    "ALTER TABLE assets ADD PRIMARY KEY (asset_key)",
    "ALTER TABLE run_assets ADD PRIMARY KEY (run_id, user_id, item_id)",
    "ALTER TABLE asset_scores ADD PRIMARY KEY (asset_key, metric)",
)
_ROWS = {
    "assets": """
        INSERT INTO assets BY NAME
        SELECT $asset_key AS asset_key, $user_id AS user_id, $item_id AS item_id, $image AS image,
               $image_uri AS image_uri, $image_sha256 AS image_sha256, $format AS format,
               $width AS width, $height AS height, $mask_ratio AS mask_ratio, $seed AS seed,
               $model_version AS model_version, $history_ids AS history_ids,
               octet_length($image) AS byte_size, '2026-06-01' AS first_run_id""",
    "run_assets": """
        INSERT INTO run_assets BY NAME
        SELECT $user_id AS user_id, $item_id AS item_id, $asset_key AS asset_key,
               $origin AS origin, $priority AS priority, '2026-06-01' AS run_id""",
    "scores": "INSERT INTO asset_scores VALUES ($asset_key, $metric, $value)",
}


def measure(folder: Path, scale: float) -> Result:
    """Publishes one night in several ways."""
    count = max(int(ASSETS * scale), 1000)
    night = made_night(count)
    staging: list[float] = []
    with stopwatch(staging):
        stage(night, folder / "staged")
    size = sum(map(len, night.assets["image"])) / count
    published, inserted, plain = timed(
        REPEATS,
        lambda: _publish(folder),
        lambda: _insert_bulk(folder / "staged", folder, _KEYS),
        lambda: _insert_bulk(folder / "staged", folder, ()),
    )
    one_by_one = _insert_rows(night, folder) * count / ROW_BY_ROW
    ratio = inserted / published
    return Result(
        f"publish {count:,} assets of {size:,.0f} bytes",
        [
            Figure("publish", published, "s", f"{count / published:,.0f} assets/s"),
            Figure("DuckDB's bulk insert", inserted, "s", f"{count / inserted:,.0f} assets/s"),
            Figure("the same without primary keys", plain, "s", f"{count / plain:,.0f} assets/s"),
            Figure("row by row", one_by_one, "s", f"from a sample of {ROW_BY_ROW:,} assets"),
            Figure("publish against row by row", one_by_one / published, "times"),
            Figure("staging, every image decoded", staging[0], "s", "before the transaction"),
            Figure(
                "staging and publish against bulk insert",
                inserted / (published + staging[0]),
                "of its speed",
            ),
        ],
        [Bar("publish against bulk insert, of its speed", ratio, BAR)],
    )


def _publish(folder: Path) -> None:
    with _fresh(folder / "published.duckdb") as connection:
        if not publish(connection, read_staged(folder / "staged")).changed:
            raise LookupError("nothing was written")


def _insert_bulk(staged: Path, folder: Path, keys: Sequence[str]) -> None:
    with _fresh(folder / "inserted.duckdb") as connection:
        for statement in keys:
            connection.execute(statement).fetchall()
        connection.begin()
        for name, statement in _BULK.items():
            connection.execute(statement, {"path": str(staged / name / "*.parquet")}).fetchall()
        connection.commit()


def _insert_rows(night: NightRecords, folder: Path) -> float:
    """Seconds to insert the rows of `ROW_BY_ROW` assets one by one, in one transaction."""
    keys = night.assets.select("asset_key").head(ROW_BY_ROW)
    laps: list[float] = []
    with _fresh(folder / "rows.duckdb") as connection, stopwatch(laps):
        connection.begin()
        for name, statement in _ROWS.items():
            frame = getattr(night, name).join(keys, on="asset_key", how="semi")
            for row in frame.select(list(NIGHT_SCHEMAS[name])).iter_rows(named=True):
                connection.execute(statement, row)
        connection.commit()
    return median(laps)


@contextmanager
def _fresh(path: Path) -> Iterator[DuckDBPyConnection]:
    """Opens a new warehouse and closes it, which flushes it to disk, within the measured time."""
    path.unlink(missing_ok=True)
    with open_warehouse(path) as connection:
        yield connection


if __name__ == "__main__":
    main(measure)
