"""The rows of a night's assets: what was drawn or is reused, and the verdict on every request.

A night is read shard by shard: all requests of an `asset_key` are in one shard.
"""

from __future__ import annotations

import datetime as dt
import glob
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import PlanError
from pigeon_rec.runtime.reasons import FAILURES
from pigeon_rec.warehouse._frames import fetch, run_script, select
from pigeon_rec.warehouse._images import image_faults
from pigeon_rec.warehouse.connection import driver_errors
from pigeon_rec.warehouse.records import NIGHT_SCHEMAS
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["drawn_parts", "not_drawn"]

_UNDECODABLE: Final = "undecodable"
_EXAMPLES: Final = 3
_NO_PICTURES: Final = {
    **NIGHT_SCHEMAS["assets"],
    "rejected_reason": pl.String(),
    "rejected_detail": pl.String(),
}


def drawn_parts(
    connection: DuckDBPyConnection,
    plan: Path,
    shards: Mapping[int, Path],
    read: Callable[[Path], pl.DataFrame],
    date: dt.date,
) -> Iterator[dict[str, pl.DataFrame]]:
    """Yields the warehouse rows of the night's assets, shard by shard, in `NIGHT_SCHEMAS`.

    Keys first seen on `date` or later count as generated, so that a backfilled night has the rows
    it had on its date.

    Args:
        connection: The open warehouse.
        plan: The file of the plan.
        shards: The files of the shards with drawn pictures, by number.
        read: Reads such a file.
        date: Logical date of the night.

    Raises:
        PlanError: A planned picture is in no shard, or a request reuses a picture that the
            warehouse does not hold.
        WarehouseError: DuckDB cannot read a file.
    """
    # The names of folders may hold characters of patterns.
    facts = {"plan": glob.escape(str(plan)), "before": date, "failures": sorted(FAILURES)}
    with driver_errors(plan):
        run_script(connection, sql_text("publish/open_plan"), facts)
        files = [glob.escape(str(file)) for file in shards.values()]
        lacking = (
            fetch(connection, sql_text("publish/not_drawn"), {"files": files}) if files else []
        )
        if lacking:
            raise not_drawn(dict(lacking), shards, plan.parent)
        for (shard,) in fetch(connection, sql_text("publish/plan_shards")):
            of_shard = {"shard": shard}
            requests = select(connection, sql_text("publish/plan_of_shard"), of_shard)
            known = select(connection, sql_text("publish/verdicts_of_shard"), of_shard)
            drawn = read(shards[shard]) if shard in shards else pl.DataFrame(schema=_NO_PICTURES)
            yield _asset_tables(requests, drawn, known)
        run_script(connection, sql_text("publish/close_plan"), {})


def not_drawn(lacking: Mapping[int, int], shards: Mapping[int, Path], folder: Path) -> PlanError:
    """Returns the error of a night with planned pictures that were not drawn.

    Args:
        lacking: Number of such pictures by shard.
        shards: The files of the shards, by number; a file may be missing.
        folder: Where the shards should be.
    """
    named = [
        f"{shards[shard].name} ({count} requests"
        f"{'' if shards[shard].is_file() else ', no such file'})"
        for shard, count in lacking.items()
    ]
    more = f" and {len(named) - _EXAMPLES} more shards" if len(named) > _EXAMPLES else ""
    return PlanError(
        f"{sum(lacking.values())} planned pictures were not drawn: "
        f"{', '.join(named[:_EXAMPLES])}{more}",
        location=str(folder),
        remedy="Run `pigeon-rec nightly generate` for the missing shards, then publish again",
    )


def _asset_tables(
    plan: pl.DataFrame, drawn: pl.DataFrame, known: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Returns the rows of one shard.

    Args:
        plan: Requests of the shard.
        drawn: The pictures in its file; those of an older plan are left out.
        known: Verdicts of earlier publications on the planned keys.
    """
    to_draw = plan.filter(pl.col("status") == "generate")
    drawn = drawn.join(to_draw, on="asset_key", how="semi", maintain_order="left")
    drawn = _checked(drawn.unique("asset_key", keep="first", maintain_order=True))
    verdicts = _verdicts(plan, drawn, known)
    rejected = pl.col("reason").is_not_null()
    tables = {
        "assets": _assets(plan, drawn),
        "run_assets": verdicts.filter(~rejected),
        "scores": _scores(drawn),
        "rejections": verdicts.filter(rejected),
    }
    return {
        name: table.select(column for column in NIGHT_SCHEMAS[name] if column in table.columns)
        for name, table in tables.items()
    }


def _checked(drawn: pl.DataFrame) -> pl.DataFrame:
    """Returns the drawn pictures, with those that do not decode marked as rejected."""
    faults = image_faults(drawn.filter(pl.col("rejected_reason").is_null()))
    faulty = pl.col("detail").is_not_null()
    return (
        drawn.join(faults, on="asset_key", how="left", maintain_order="left")
        .with_columns(
            rejected_reason=pl.when(faulty)
            .then(pl.lit(_UNDECODABLE))
            .otherwise(pl.col("rejected_reason")),
            rejected_detail=pl.coalesce("detail", "rejected_detail"),
        )
        .drop("detail")
    )


def _verdicts(plan: pl.DataFrame, drawn: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Returns the requests with `origin`, and `reason` and `detail` where rejected.

    Raises:
        PlanError: A request reuses a picture that the warehouse does not hold.
    """
    made = drawn.select(
        "asset_key",
        pl.lit("generated").alias("origin"),
        pl.col("rejected_reason").alias("reason"),
        pl.col("rejected_detail").alias("detail"),
    )
    origin = pl.when("earlier").then(pl.lit("reused")).otherwise(pl.lit("generated"))
    found = known.select("asset_key", origin.alias("origin"), "reason", "detail")
    verdicts = pl.concat([made, found.join(made, on="asset_key", how="anti")])
    lost = plan.join(verdicts, on="asset_key", how="anti")
    if lost.height:
        pairs = [f"{user} / {item}" for user, item in lost.select("user_id", "item_id").iter_rows()]
        raise PlanError(
            f"{len(pairs)} requests reuse a picture that the warehouse does not hold",
            location=", ".join(pairs[:_EXAMPLES]) + (", ..." if len(pairs) > _EXAMPLES else ""),
            remedy="The plan is older than the warehouse: plan the night again",
        )
    return plan.select("user_id", "item_id", "asset_key", "priority").join(
        verdicts, on="asset_key", how="inner", maintain_order="left"
    )


def _assets(plan: pl.DataFrame, drawn: pl.DataFrame) -> pl.DataFrame:
    """Returns the pictures to store: drawn this night and not rejected."""
    planned = plan.select("asset_key", "model_version", "history_ids").unique(
        "asset_key", keep="first", maintain_order=True
    )
    return drawn.filter(pl.col("rejected_reason").is_null()).join(
        planned, on="asset_key", maintain_order="left"
    )


def _scores(drawn: pl.DataFrame) -> pl.DataFrame:
    """Returns every finite value of the `*_score` columns in long form."""
    metrics = [name for name in drawn.columns if name.endswith("_score")]
    if not metrics:
        return pl.DataFrame(schema=NIGHT_SCHEMAS["scores"])
    return (
        drawn.select("asset_key", pl.col(metrics).cast(pl.Float64))
        .unpivot(metrics, index="asset_key", variable_name="metric", value_name="value")
        .filter(pl.col("value").is_finite())
    )
