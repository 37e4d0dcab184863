"""Keys of a plan change with what determines a picture, and with nothing else."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from pigeon_rec.config import GenerationConfig, NightlyConfig, NightlyGateConfig, PlanConfig
from tests.nightly.plan.plans import (
    USERS,
    keys,
    planned,
    run,
)
from tests.small_world import NIGHT


def test_an_idle_user_keeps_the_keys_on_the_next_night(config: NightlyConfig) -> None:
    run(config)
    before = keys(config)
    later = NIGHT + dt.timedelta(days=30)
    run(config, later)
    after = planned(config, later).select("user_id", "item_id", "asset_key").rows()
    assert {(user, item): key for user, item, key in after} == before


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"generation": GenerationConfig(diffusion_steps=9)},
        {"generation": GenerationConfig(rendered=1)},
        {"gate": NightlyGateConfig(min_pixel_std=7.0)},
    ],
)
def test_what_decides_a_picture_changes_every_key(
    config: NightlyConfig, change: dict[str, object]
) -> None:
    run(config)
    before = keys(config)
    run(config.model_copy(update=change))
    after = keys(config)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


def test_a_new_model_changes_every_key_and_speed_settings_none(config: NightlyConfig) -> None:
    run(config)
    before = keys(config)
    run(config.model_copy(update={"batch_size": 3, "threads": 1}))
    assert keys(config) == before
    run(config, version="model-2")
    assert not set(before.values()) & set(keys(config).values())


def test_a_new_title_or_picture_of_the_reference_changes_its_keys_only(
    config: NightlyConfig,
) -> None:
    everything = PlanConfig(max_assets=100, max_assets_per_user=9)
    config = config.model_copy(update={"plan": everything})
    run(config)
    before = keys(config)
    items = pl.read_parquet(config.catalogue)
    changed = pl.when(pl.col("item_id") == "i12").then(pl.lit("new")).otherwise("semantics")
    items.with_columns(changed.alias("semantics")).write_parquet(config.catalogue)
    run(config)
    after = keys(config)
    assert {pair for pair in before if before[pair] != after[pair]} == {(u, "i12") for u in USERS}
