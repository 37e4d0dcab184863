"""A night against what the warehouse already holds: what is new, what stays, what it amounts to.

A night that is run again reuses the pictures it made the first time. Resolved against the
warehouse both runs are the same night, so both have the same content hash.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse._content import night_sha256
from pigeon_rec.warehouse._frames import registered, select
from pigeon_rec.warehouse.records import NightRecords
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["ResolvedNight", "resolve"]

_SHOWN = 3


@dataclass(frozen=True)
class ResolvedNight:
    """A checked night, with its pictures and scores looked up.

    Attributes:
        night: The night; a pair that an earlier publication of it generated stays `generated`.
        new_assets: Pictures to write: those that no other night serves already.
        new_scores: Scores to write, likewise.
        pictures: Every served picture, new or stored, without its bytes.
        scores: Every score of a served or refused picture, new or stored.
    """

    night: NightRecords
    new_assets: pl.DataFrame
    new_scores: pl.DataFrame
    pictures: pl.DataFrame
    scores: pl.DataFrame

    def count(self, origin: str) -> int:
        """How many served pairs are of this origin."""
        return int((self.night.run_assets["origin"] == origin).sum())

    def content_sha256(self) -> str:
        """Hash over everything the night says, in canonical order; no clock, no row order."""
        return night_sha256(self.night, self.pictures, self.scores)


def resolve(connection: DuckDBPyConnection, night: NightRecords) -> ResolvedNight:
    """Looks the night's keys up in the warehouse.

    Args:
        connection: Open warehouse, inside the transaction that will write.
        night: A night that passed `check_night`.

    Raises:
        WarehouseError: A served pair refers to a picture that is nowhere.
    """
    judged = pl.concat([night.run_assets["asset_key"], night.rejections["asset_key"]])
    of_run = {"run_id": night.run_id}
    with registered(connection, night_keys=judged.unique().to_frame()):
        stored_assets = select(connection, sql_text("publish/stored_assets"), of_run)
        stored_scores = select(connection, sql_text("publish/stored_scores"), of_run)
    made_before = select(connection, sql_text("publish/generated_before"), of_run)

    # In the order of their keys: an index that is filled in its own order takes half the time.
    new_assets = _not_held(night.assets, stored_assets).sort("asset_key")
    new_scores = _not_held(night.scores, stored_scores).sort("asset_key", maintain_order=True)
    resolved = ResolvedNight(
        night=dataclasses.replace(night, run_assets=_origins(night.run_assets, made_before)),
        new_assets=new_assets,
        new_scores=new_scores,
        pictures=_merged(new_assets.drop("image"), stored_assets, night.run_assets["asset_key"]),
        scores=_merged(new_scores, stored_scores, judged),
    )
    _check_all_found(resolved)
    return resolved


def _not_held(new: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    held = stored.filter("held")
    if held.is_empty():
        return new
    return new.join(held, on="asset_key", how="anti", maintain_order="left")


def _merged(new: pl.DataFrame, stored: pl.DataFrame, keys: pl.Series) -> pl.DataFrame:
    """New rows, and the stored rows of wanted keys that have none."""
    if stored.is_empty():
        return new
    kept = stored.join(new, on="asset_key", how="anti").select(new.columns)
    wanted = keys.unique().to_frame()
    return pl.concat([new, kept.join(wanted, on="asset_key", how="semi")])


def _origins(run_assets: pl.DataFrame, made_before: pl.DataFrame) -> pl.DataFrame:
    made = pl.col("asset_key").is_in(made_before["asset_key"].implode())
    return run_assets.with_columns(
        origin=pl.when(made).then(pl.lit("generated")).otherwise(pl.col("origin"))
    )


def _check_all_found(resolved: ResolvedNight) -> None:
    run_assets = resolved.night.run_assets
    lost = run_assets.join(resolved.pictures, on="asset_key", how="anti")["asset_key"].unique()
    if lost.len():
        named = ", ".join(lost.sort().to_list()[:_SHOWN])
        raise WarehouseError(
            f"{lost.len()} served pictures are neither in this night nor in the warehouse: {named}",
            location=f"night {resolved.night.run_id}, run_assets.asset_key",
            remedy="Plan and generate the night again; nothing was written",
        )
