"""Recommendations from a saved wrapper, and a night that loads one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, RecommenderConfig
from pigeon_rec.data.recommendations import RECOMMENDATION_SCHEMA
from pigeon_rec.nightly.plan import recommend
from pigeon_rec.recbole_plugin import export_model_top_k
from tests.recbole_plugin.conftest import Build
from tests.recbole_plugin.world import LENGTH, LOOKS, N_ITEMS, N_USERS


def saved(build: Build, base: str) -> Path:
    built = build(base, pigeon_visual_weight=5.0)
    built.trainer.fit(built.train, built.valid, verbose=False)
    return Path(built.trainer.saved_model_file)


@pytest.mark.parametrize("base", ["BPR", "SASRec"])
def test_users_get_the_unseen_item_of_their_look_first(
    base: str, build: Build, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "recommendations.parquet"
    top = export_model_top_k(saved(build, base), out, 3)
    assert pl.read_parquet(out).equals(top)
    assert top.schema == RECOMMENDATION_SCHEMA
    assert top.height == 3 * N_USERS
    assert top["rank"].to_list() == [1, 2, 3] * N_USERS
    seen = pl.read_csv(tmp_path / "dataset" / "looks" / "looks.inter", separator="\t")
    seen = seen.rename({name: name.split(":")[0] for name in seen.columns})
    assert top.join(seen, on=["user_id", "item_id"], how="semi").is_empty()
    # Nine of the ten items of the user's look are seen; the remaining one has rank 1.
    assert N_ITEMS // LOOKS - LENGTH == 1
    number = pl.col("user_id", "item_id").str.slice(1).cast(pl.Int64()) % LOOKS
    first = top.filter(pl.col("rank") == 1).select(number)
    assert (first["user_id"] == first["item_id"]).mean() > 0.9  # type: ignore[operator]


def test_a_night_loads_a_saved_recommender(build: Build, tmp_path: Path) -> None:
    config = NightlyConfig(
        recommendations=str(saved(build, "BPR")),
        work_dir=tmp_path / "var",
        recommender=RecommenderConfig(top_k=2),
    )
    summary = recommend(config, dt.date(2026, 6, 1))
    assert (summary.users, summary.recommendations, summary.problems) == (N_USERS, 2 * N_USERS, 0)
