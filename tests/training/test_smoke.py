"""Every training command, one after another, as a user types them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pigeon_rec.config import GenerationConfig
from pigeon_rec.demo import stickers as catalogue
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.scoring.scorer import load_scorer
from pigeon_rec.training.configuration import load_training_config
from pigeon_rec.training.pair_table import read_pairs
from pigeon_rec.training.recipes import training_artwork
from tests.training.toy import rows

Pigeon = Callable[..., Any]

BACKBONE = ("tokenizer", "autoencoder", "scorer", "renderer", "language-model")
STAGES = ("reconstruct", "pairs", "align")


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Held-out artwork cannot be decoded here: a stage that reads it fails. Counts the loads."""
    loads: list[int] = []
    whole = catalogue.load_artwork()
    hidden = whole.with_columns(
        pl.when("held_out").then(pl.lit(b"held out")).otherwise("image").alias("image")
    )

    def load() -> pl.DataFrame:
        loads.append(hidden.height)
        return hidden

    monkeypatch.setattr(catalogue, "load_artwork", load)
    return loads


@pytest.mark.slow
def test_the_whole_chain_runs_from_the_command_line(
    pigeon: Pigeon, tmp_path: Path, poisoned: list[int]
) -> None:
    config, out = load_training_config("smoke"), tmp_path / "run"
    for command in (*BACKBONE, *STAGES):
        told = pigeon("train", command, "--plan", "smoke", "--out", out, "--json")
        assert told.code == 0, told.err
        assert Path(json.loads(told.out)["path"]).is_file()
    assert len(poisoned) == len(BACKBONE) + len(STAGES)  # each decoded what may be trained on

    stage_one, stage_two = rows(out / "reconstruct"), rows(out / "align")
    losses = [row["validation_loss"] for row in stage_one if "validation_loss" in row]
    assert min(losses) < losses[0]
    assert stage_two[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    # One batch of eight pairs says little: the later half of the run has to prefer what was chosen.
    margins = [row["margin"] for row in stage_two[len(stage_two) // 2 :]]
    assert len(margins) >= 5
    assert np.mean(margins) > 0.01
    for name in ("reconstruct", "align"):
        with Image.open(out / name / "curves.png") as curves:
            assert curves.format == "PNG"
    before, after = (
        load_file(out / name / "model.safetensors") for name in ("reconstruct", "align")
    )
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed
    assert all("lora_" in name for name in changed)

    held_out = {f"{style}/{concept}" for style, concept in catalogue.held_out_pairs()}
    pairs = read_pairs(out)
    assert not held_out & set(pairs["history_ids"].explode())
    assert not held_out & {*pairs["target_id"], *pairs["reference_id"]}

    told = pigeon("train", "bundle", tmp_path / "model", "--plan", "smoke", "--out", out, "--quiet")
    assert told.code == 0, told.err
    pipeline, artwork = PigeonPipeline.from_pretrained(tmp_path / "model"), training_artwork(config)
    images = artwork.images
    drawn = pipeline(
        images[None, :5],
        images[5:6],
        [str(artwork.rows["semantics"][5])],
        keys=["one"],
        settings=GenerationConfig(mask_ratios=(0.0,), diffusion_steps=2),
    ).images
    assert drawn.shape == (1, 1, 64, 64, 3)
    assert np.isfinite(load_scorer(tmp_path / "model").encode_images(drawn[0])).all()
