"""Making a plan in a test, and reading its files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from pathlib import Path

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import PlanSummary, plan_night, recommend
from pigeon_rec.warehouse import NIGHT_SCHEMAS, NightRecords, open_warehouse, publish
from tests.small_world import NIGHT, PixelEncoder

ITEMS = [f"i{number:02d}" for number in range(16)]
USERS = ("ann", "bea", "cem", "dan")
HISTORIES = {user: ITEMS[place : place + 8] for place, user in enumerate(USERS)}
REFERENCES = ITEMS[12:]


def write_recommendations(path: Path, rows: list[tuple[str, str, float]]) -> str:
    pl.DataFrame(rows, ["user_id", "item_id", "score"], orient="row").write_parquet(path)
    return str(path)


def run(
    config: NightlyConfig, date: dt.date = NIGHT, version: str = "model-1", **kwargs: object
) -> PlanSummary:
    recommend(config, date)
    return plan_night(config, date, encoder=PixelEncoder(), model_version=version, **kwargs)  # type: ignore[arg-type]


def planned(config: NightlyConfig, date: dt.date = NIGHT) -> pl.DataFrame:
    return pl.read_parquet(NightPaths.of(config, date).plan)


def keys(config: NightlyConfig) -> dict[tuple[str, str], str]:
    columns = planned(config).select("user_id", "item_id", "asset_key").rows()
    return {(user, item): key for user, item, key in columns}


def skipped(config: NightlyConfig) -> list[tuple[str, ...]]:
    return pl.read_parquet(NightPaths.of(config, NIGHT).skipped).rows()


def problems(config: NightlyConfig) -> list[tuple[str, ...]]:
    frame = pl.read_parquet(NightPaths.of(config, NIGHT).problems)
    assert frame.schema == NIGHT_SCHEMAS["problems"]
    return frame.rows()


def with_recommendations(
    config: NightlyConfig, tmp_path: Path, rows: list[tuple[str, str, float]]
) -> NightlyConfig:
    path = write_recommendations(tmp_path / "other.parquet", rows)
    return config.model_copy(update={"recommendations": path})


def publish_rejections(
    config: NightlyConfig, date: dt.date, refused: Collection[tuple[str, str]], reason: str
) -> None:
    """Publishes a night that rejected some of its planned pairs; the others are left out."""
    plan = planned(config, date).filter(
        pl.struct("user_id", "item_id").map_elements(
            lambda pair: (pair["user_id"], pair["item_id"]) in refused, pl.Boolean
        )
    )
    rejections = plan.select(
        "user_id", "item_id", "asset_key", reason=pl.lit(reason), detail=pl.lit("why")
    )
    empty = {name: pl.DataFrame(schema=schema) for name, schema in NIGHT_SCHEMAS.items()}
    night = NightRecords(
        logical_date=date,
        model_version="model-1",
        settings_hash="settings",
        seed=0,
        config={},
        planned=rejections.height,
        skipped=0,
        **{**empty, "rejections": rejections},
    )
    with open_warehouse(NightPaths.of(config, date).warehouse) as connection:
        publish(connection, night)
