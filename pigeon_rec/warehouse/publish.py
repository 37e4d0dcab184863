"""Publishing: a checked night is written in one transaction."""

from __future__ import annotations

import dataclasses
import datetime as dt
import glob
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.runtime.files import write_parquet
from pigeon_rec.runtime.reasons import FAILURES
from pigeon_rec.warehouse._checks import check_images, check_night
from pigeon_rec.warehouse._content import night_sha256
from pigeon_rec.warehouse._frames import fetch, registered, run_script, select
from pigeon_rec.warehouse._images import image_slices
from pigeon_rec.warehouse._owners import claim
from pigeon_rec.warehouse._resolve import resolved
from pigeon_rec.warehouse.connection import driver_errors, is_missing, open_reader, transaction
from pigeon_rec.warehouse.marking import Marker, marked
from pigeon_rec.warehouse.records import NIGHT_SCHEMAS, NightFacts, NightRecords
from pigeon_rec.warehouse.sql_files import sql_text
from pigeon_rec.warehouse.staging import StagedNight
from pigeon_rec.warehouse.stores import IN_TABLE, PictureStore

__all__ = ["PublishedNight", "known_assets", "publish"]

_KNOWN_SCHEMA = {
    "asset_key": pl.String,
    "verdict": pl.String,
    "reason": pl.String,
    "detail": pl.String,
}


@dataclass(frozen=True)
class PublishedNight:
    """Result of publishing one night.

    Attributes:
        content_sha256: Hash of the night's content, settings included.
        changed: False if the warehouse held the same content; then nothing was written.
        generated: Served pairs whose asset this night drew, now or when it ran before.
        reused: Served pairs whose asset another night drew.
    """

    run_id: str
    content_sha256: str
    changed: bool
    generated: int
    reused: int
    rejected: int

    @property
    def served(self) -> int:
        """Number of served pairs."""
        return self.generated + self.reused


def publish(
    connection: DuckDBPyConnection,
    night: NightRecords | StagedNight,
    *,
    images: str = IN_TABLE,
    marker: Marker | None = None,
    published_at: dt.datetime | None = None,
) -> PublishedNight:
    """Writes one night into the open warehouse, replacing an earlier publication of it.

    Equal content is not written again. Other nights never change: a picture that one of them serves
    keeps its bytes and scores. Pictures that no night refers to any more are removed in the same
    transaction. The tables of a staged night stay in its files, and its pictures pass through in
    frames of bounded size: memory does not grow with the night beyond the limit of the connection.

    Args:
        connection: From `open_warehouse`, outside any transaction.
        night: Frames as in `NIGHT_SCHEMAS`, or a night checked by `stage`.
        images: `table`, or the address of the folder or bucket for new pictures. They are written
            before the rows that refer to them; stored pictures stay where they are.
        marker: Marks new pictures; None stores them as they were drawn. Stored pictures keep the
            bytes that they have.
        published_at: Time to record; the current time by default.

    Raises:
        ConfigError: `images` is neither `table` nor a usable address.
        WarehouseBusyError: Another connection wrote at the same time.
        WarehouseError: The night is inconsistent, DuckDB refused it, another warehouse stores
            its pictures at `images`, or pictures cannot be written. The tables are unchanged after
            every error.
    """
    store = None if images == IN_TABLE else PictureStore(images)
    source = night if isinstance(night, StagedNight) else _InMemory.checked(night)
    facts = source.facts
    with (
        driver_errors(f"night {facts.run_id}"),
        source.opened(connection),
        transaction(connection),
        resolved(connection, facts),
    ):
        content = night_sha256(connection, facts)
        [counts] = fetch(connection, sql_text("publish/counts"))
        generated, reused, rejected = counts
        published = PublishedNight(facts.run_id, content, True, generated, reused, rejected)
        before = _published_content(connection, facts.run_id)
        if content == before:
            return dataclasses.replace(published, changed=False)
        at = published_at or dt.datetime.now(dt.UTC)
        row = _run_row(facts, published, at) | {"store": store and store.address}
        with _night_assets(connection, source, marker, store):
            # A night that is published for the first time replaces nothing.
            dropping = () if before is None else ("drop_unreferenced",)
            steps = ("remove_night", "insert_night", "list_generated", "replace_plan", *dropping)
            script = "".join(sql_text(f"publish/{step}") for step in (*steps, "settle"))
            run_script(connection, script, row)
    return published


def known_assets(source: DuckDBPyConnection | Path, asset_keys: Sequence[str]) -> pl.DataFrame:
    """Looks up which keys were published or rejected already, so that they are not drawn again.

    A rejection for one of `FAILURES` is not known: the request is tried again.

    Returns:
        One row `asset_key, verdict, reason, detail` per known key; the verdict is `asset`, or
        `rejection` with its reason. If nights disagree, the newest one counts. A missing file
        gives no rows.

    Raises:
        WarehouseError: The file cannot be read.
    """
    if isinstance(source, Path):
        if is_missing(source):
            return pl.DataFrame(schema=_KNOWN_SCHEMA)
        with open_reader(source) as connection:
            return known_assets(connection, asset_keys)
    wanted = pl.DataFrame({"asset_key": asset_keys}, schema={"asset_key": pl.String}).unique()
    with driver_errors("known assets"), registered(source, wanted_keys=wanted):
        return select(source, sql_text("internal/known_assets"), {"failures": sorted(FAILURES)})


def _published_content(connection: DuckDBPyConnection, run_id: str) -> str | None:
    rows = fetch(connection, sql_text("publish/published_content"), {"run_id": run_id})
    return str(rows[0][0]) if rows else None


@contextmanager
def _night_assets(
    connection: DuckDBPyConnection,
    source: StagedNight | _InMemory,
    marker: Marker | None,
    store: PictureStore | None,
) -> Iterator[None]:
    """Makes the new rows of `assets` readable as `night_assets`, within the block.

    Pictures that are marked or stored elsewhere go through in frames of bounded size, into files:
    one insertion of all of them needs less memory than many small ones.
    """
    if marker is None and store is None:
        run_script(connection, sql_text("publish/plain_assets"), {})
        yield
        return
    with source.scratch() as folder:
        files, claimed = list[str](), False
        for pictures in source.pictures():
            with registered(connection, staged_part=pictures):
                new = select(connection, sql_text("publish/new_pictures"))
            if store and new.height and not claimed:
                claim(connection, store)
                claimed = True
            if new.height or not files:  # one file at least, whose columns can be read
                file = folder / f"part-{len(files):05d}.parquet"
                write_parquet(_placed(marked(new, marker), store), file)
                files.append(glob.escape(str(file)))
        run_script(connection, sql_text("publish/made_assets"), {"files": files})
        yield


def _placed(pictures: pl.DataFrame, store: PictureStore | None) -> pl.DataFrame:
    """Returns rows of `assets`: with the bytes, or written to the store, with the addresses."""
    sized = pictures.with_columns(byte_size=pl.col("image").bin.size("b").cast(pl.Int64))
    if store is None:
        return sized.with_columns(image_uri=pl.lit(None, pl.String))
    return sized.with_columns(image=pl.lit(None, pl.Binary), image_uri=store.put(pictures))


def _run_row(night: NightFacts, published: PublishedNight, at: dt.datetime) -> dict[str, object]:
    return {
        "run_id": night.run_id,
        "logical_date": night.logical_date,
        "model_version": night.model_version,
        "settings_hash": night.settings_hash,
        "seed": night.seed,
        "config": night.config_json(),
        "planned": night.planned,
        "generated": published.generated,
        "reused": published.reused,
        "rejected": published.rejected,
        "skipped": night.skipped,
        "content_sha256": published.content_sha256,
        "published_at": at,
    }


@dataclass(frozen=True)
class _InMemory:
    """A checked night in memory, to be read as `StagedNight`."""

    facts: NightRecords

    @classmethod
    def checked(cls, night: NightRecords) -> _InMemory:
        checked = check_night(night)
        check_images(checked)
        return cls(checked)

    def pictures(self) -> Iterator[pl.DataFrame]:
        return image_slices(self.facts.assets)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    @contextmanager
    def opened(self, connection: DuckDBPyConnection) -> Iterator[None]:
        frames = {f"staged_{name}": getattr(self.facts, name) for name in NIGHT_SCHEMAS}
        with registered(connection, **frames):
            yield
