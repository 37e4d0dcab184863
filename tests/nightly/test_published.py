"""A night over an imported published dataset, drawn by a model in the published layout."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.import_published import import_published
from pigeon_rec.model.paths import model_folder
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.run import run_night
from pigeon_rec.warehouse import ask
from tests.data.published_layout import write_stickers
from tests.model.published.layout import write_layout

NIGHT = dt.date(2026, 6, 1)
SETTINGS = """
plan: {max_assets: 4, shards: 1, cohorts: {count: 0}}
generation:
  mask_ratios: [0.0, 0.5]
  temperature: 1.0
  language_guidance: 1.0
  diffusion_steps: 2
  render_guidance: 7.0
# Random weights draw nothing that a gate would let pass.
gate: {min_text_score: -1.0, min_pixel_std: 0.0, max_reference_similarity: 1.1}
"""


@pytest.mark.slow
def test_a_night_draws_publishes_and_serves(tmp_path: Path) -> None:
    import_published(write_stickers(tmp_path / "SER-30K"), tmp_path / "catalogue")
    model, bundled = write_layout(tmp_path / "LaVIT-7B-v2"), model_folder("sticker-64")
    shutil.copytree(bundled / "scorer", model / "scorer")
    shutil.copy(bundled / "tokenizer.json", model)
    wanted = {"user_id": ["7", "8"], "item_id": ["10", "2"], "score": [1.0, 0.5]}
    pl.DataFrame(wanted).write_parquet(tmp_path / "recommendations.parquet")
    config = NightlyConfig(
        catalogue=str(tmp_path / "catalogue" / "items.parquet"),
        interactions=str(tmp_path / "catalogue" / "interactions.parquet"),
        recommendations=str(tmp_path / "recommendations.parquet"),
        model=str(model),
        work_dir=tmp_path / "var",
        **yaml.safe_load(SETTINGS),
    )
    run_night(config, NIGHT)
    served = ask(NightPaths.of(config, NIGHT).serving, "SELECT user_id, item_id FROM served_assets")
    assert set(served.rows()) == {("7", "10"), ("8", "2")}
    (shard,) = (tmp_path / "var").rglob("shard-0000.parquet")
    drawn = pl.read_parquet(shard)
    assert drawn.select("width", "height").unique().rows() == [(16, 16)]
