"""A small night: its settings, drawing it in one process, and its published result."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from pigeon_rec.nightly.paths import NightPaths
from tests.conftest import ROOT
from tests.dags.few_users import write_first_users

__all__ = ["ASSETS", "SHARDS", "Pair", "Published", "draw_alone", "published", "write_settings"]

USERS: Final = 10
ASSETS: Final = 20
SHARDS: Final = 4

Pair = tuple[str, str]
"""A user and an item."""


@dataclass(frozen=True)
class Published:
    """The published result of one night.

    Attributes:
        planned: Every pair of the plan.
        answered: Every pair that has an asset or a rejection.
        assets: File bytes by `asset_key`.
        nights: Nights in the warehouse.
    """

    planned: list[Pair]
    answered: list[Pair]
    assets: dict[str, bytes]
    nights: list[str]


def write_settings(
    folder: Path,
    exchange: str = "disk",
    *,
    users: int = USERS,
    assets: int = ASSETS,
    shards: int = SHARDS,
) -> Path:
    """Writes the settings of a night with few assets."""
    settings = {
        "interactions": str(write_first_users(folder / "few.inter", users)),
        "exchange": exchange,
        "threads": 1,
        "batch_size": 1,  # slow, so that drawing takes longer than loading
        "recommender": {"epochs": 1, "embedding_size": 8, "top_k": 5},
        "plan": {"max_assets": assets, "max_assets_per_user": 2, "shards": shards},
        "generation": {"mask_ratios": [0.0, 0.3], "diffusion_steps": 2},
        "gate": {"min_text_score": -1.0},
    }
    path = folder / "night.yaml"
    path.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    return path


def draw_alone(folder: Path, date: dt.date) -> NightPaths:
    """Runs the whole night in one process."""
    folder.mkdir()
    paths = NightPaths(folder / "var", date)
    command = [sys.executable, "-m", "pigeon_rec.cli", "nightly", "run", "--date", date.isoformat()]
    options = ["--config", str(write_settings(folder)), "--work-dir", str(paths.work_dir)]
    subprocess.run([*command, *options], check=True, capture_output=True, cwd=ROOT)
    return paths


def published(paths: NightPaths) -> Published:
    """Reads the plan and the warehouse of a finished night."""
    plan = pl.read_parquet(paths.plan).select("user_id", "item_id")
    with duckdb.connect(str(paths.warehouse), read_only=True) as warehouse:
        answered = warehouse.execute(
            "SELECT user_id, item_id FROM run_assets UNION ALL "
            "SELECT user_id, item_id FROM rejections"
        ).fetchall()
        assets = warehouse.execute("SELECT asset_key, image FROM assets").fetchall()
        nights = warehouse.execute("SELECT run_id FROM runs").fetchall()
    return Published(
        planned=sorted(plan.rows()),
        answered=sorted(answered),
        assets=dict(assets),
        nights=[night for (night,) in nights],
    )
