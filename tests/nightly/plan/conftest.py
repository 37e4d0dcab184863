"""A small catalogue with four users, for the tests of planning."""

from __future__ import annotations

from pathlib import Path

import pytest

from pigeon_rec.config import NightlyConfig, PlanConfig
from tests.nightly.plan.plans import HISTORIES, ITEMS, REFERENCES, USERS, write_recommendations
from tests.small_world import write_catalogue, write_interactions


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    """Four users of eight items each; the same four unseen items are proposed to everybody."""
    rows = [(user, item, -float(r)) for user in USERS for r, item in enumerate(REFERENCES)]
    return NightlyConfig(
        catalogue=str(write_catalogue(tmp_path, len(ITEMS))),
        interactions=str(write_interactions(tmp_path / "interactions.parquet", HISTORIES)),
        recommendations=write_recommendations(tmp_path / "top.parquet", rows),
        work_dir=tmp_path / "var",
        plan=PlanConfig(max_assets=6, max_assets_per_user=2, shards=3),
    )
