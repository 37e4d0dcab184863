"""Synthetic nights."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmarks.made_assets import SIDE, made_night
from pigeon_rec.warehouse import image_faults, stage


def test_synthetic_nights_pass_every_check(tmp_path: Path) -> None:
    night = made_night(500)
    assert image_faults(night.assets).rows() == []
    assert night.assets["image_sha256"].n_unique() == 500
    assert night.assets.select("width", "height").unique().rows() == [(SIDE, SIDE)]
    staged = stage(night, tmp_path / "staged")
    assert pl.read_parquet(staged.files("run_assets")).height == 500
