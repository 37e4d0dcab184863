"""The rows of a night's assets: what was drawn or is reused, and the verdict on every request."""

from __future__ import annotations

from typing import Final

import polars as pl

from pigeon_rec.errors import PlanError
from pigeon_rec.warehouse._images import image_faults
from pigeon_rec.warehouse.records import NIGHT_SCHEMAS

__all__ = ["asset_tables"]

_UNDECODABLE: Final = "undecodable"
_EXAMPLES: Final = 3


def asset_tables(
    plan: pl.DataFrame, drawn: pl.DataFrame, known: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Returns the warehouse rows of the night's assets.

    Args:
        plan: Requests of the night.
        drawn: Its pictures, from `read_shards`.
        known: Verdicts on the planned keys, as `known_assets` gives them, and `earlier`: whether a
            night before this date had the key already. Keys first seen on this date or later count
            as generated, so that a backfilled night has the rows it had on its date.
    """
    drawn = _checked(drawn)
    verdicts = _verdicts(plan, drawn, known)
    rejected = pl.col("reason").is_not_null()
    return {
        "assets": _assets(plan, drawn),
        "run_assets": verdicts.filter(~rejected),
        "scores": _scores(drawn),
        "rejections": verdicts.filter(rejected),
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
