"""The reuse of assets: a night after which one user in a hundred was active, and the next night.

Both nights are planned, drawn, published and promoted, with the bundled model. The budget covers
half of the users, so that changed histories also move requests across its limit. An asset has one
candidate instead of two, which halves its cost and doubles the share of loading the model.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl

from benchmarks.result import Bar, Figure, Result, stopwatch
from benchmarks.runner import main
from pigeon_rec.config import CohortConfig, GenerationConfig, NightlyConfig, PlanConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.nightly.files import shards_to_draw
from pigeon_rec.nightly.generate import generate_shard
from pigeon_rec.nightly.plan import PlanSummary, plan_night, recommend
from pigeon_rec.nightly.publish import promote_night, publish_night

__all__ = ["measure"]

_USERS = 1440
_CHANGED = 100  # one user in this many is active
_RECOMMENDATIONS = 10
_FIRST = dt.date(2026, 6, 1)
_SECOND = dt.date(2026, 6, 2)


def measure(folder: Path, scale: float) -> Result:
    """Draws the two nights; `scale` multiplies the number of users."""
    users = max(_CHANGED, int(_USERS * scale))
    config, more = _world(folder, users)
    full, full_seconds = _night(config, _FIRST)
    known = pl.read_parquet(config.interactions)
    pl.concat([known, more]).write_parquet(config.interactions)
    next_night, seconds = _night(config, _SECOND)
    changed = more["user_id"].n_unique()
    return Result(
        f"reuse: {changed} of {users} users were active",
        [
            Figure("full night", full_seconds, "s", f"to draw {full.generate} assets"),
            Figure("next night", seconds, "s", f"to draw {next_night.generate} assets"),
            Figure("per asset", full_seconds / max(1, full.generate), "s"),
            Figure("reused", next_night.reuse, "pairs", f"of {next_night.planned} planned"),
        ],
        [Bar("time of the next night", seconds / full_seconds, 0.03, at_least=False)],
    )


def _night(config: NightlyConfig, date: dt.date) -> tuple[PlanSummary, float]:
    """Runs a night; returns its plan and the seconds of drawing, loading the model included."""
    recommend(config, date)
    summary = plan_night(config, date)
    laps: list[float] = []
    with stopwatch(laps):
        for shard in shards_to_draw(config, date):
            generate_shard(config, date, shard)
    publish_night(config, date)
    promote_night(config)
    return summary, laps[0]


def _world(folder: Path, users: int) -> tuple[NightlyConfig, pl.DataFrame]:
    """Bundled users with recommendations, and the interactions of the active ones the day after."""
    catalogue = load_catalogue("bundled")
    until = dt.datetime.combine(_SECOND, dt.time(), dt.UTC)
    interactions, _ = load_interactions("bundled", catalogue, until=until)
    people = interactions["user_id"].unique().sort().head(users)
    known = interactions.filter(pl.col("user_id").is_in(people.implode()))
    known.write_parquet(folder / "interactions.parquet")
    items = catalogue.items["item_id"].gather_every(len(catalogue) // _RECOMMENDATIONS)
    recommendations = people.to_frame().join(items.head(_RECOMMENDATIONS).to_frame(), how="cross")
    place = pl.int_range(pl.len()).over("user_id")
    recommendations.with_columns(score=-place).write_parquet(folder / "recommendations.parquet")
    # Each active user interacts with five new items.
    active = people.gather_every(_CHANGED)
    others = catalogue.items["item_id"].gather_every(37).head(5)
    more = active.to_frame().join(others.to_frame(), how="cross")
    noon = until + dt.timedelta(hours=12)
    more = more.with_columns(timestamp=pl.lit(noon).cast(known.schema["timestamp"]))
    config = NightlyConfig(
        interactions=str(folder / "interactions.parquet"),
        recommendations=str(folder / "recommendations.parquet"),
        work_dir=folder / "var",
        plan=PlanConfig(
            max_assets=users // 2,
            max_assets_per_user=1,
            cohorts=CohortConfig(max_share=0.1),
        ),
        generation=GenerationConfig(mask_ratios=(0.0,)),
    )
    return config, more.select(known.columns)


if __name__ == "__main__":
    main(measure)
