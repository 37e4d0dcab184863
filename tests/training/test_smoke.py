"""The whole chain of recipes, from the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pigeon_rec.config import GenerationConfig
from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.dataset import load_dataset
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.scoring.scorer import load_scorer
from pigeon_rec.training.configuration import load_training_config
from pigeon_rec.training.pair_table import read_pairs
from pigeon_rec.training.recipes import training_artwork
from tests.training.toy import rows

Pigeon = Callable[..., Any]


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A world whose held-out images cannot be read; returns the ids of all images that are."""
    read: list[str] = []
    held_out = set(load_dataset().held_out_items()["item_id"])
    images = Catalogue.images

    def guarded(catalogue: Catalogue, item_ids: Sequence[str], *size: Any, **named: Any) -> Any:
        assert not held_out & {*item_ids}
        read.extend(item_ids)
        return images(catalogue, item_ids, *size, **named)

    monkeypatch.setattr(Catalogue, "images", guarded)
    return read


@pytest.mark.slow
def test_the_whole_chain_runs_from_the_command_line(
    pigeon: Pigeon, tmp_path: Path, poisoned: list[str]
) -> None:
    config, out = load_training_config("smoke"), tmp_path / "run"
    outcome = pigeon("train", "all", "--config", "smoke", "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out) == {"recipe": "all", "path": str(out / "model")}
    assert poisoned

    stage_one, stage_two = rows(out / "reconstruct"), rows(out / "align")
    losses = [row["validation_loss"] for row in stage_one if "validation_loss" in row]
    assert min(losses) < losses[0]
    assert stage_two[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    # Single batches of eight pairs vary: the mean over the second half has to be positive.
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

    held_out = set(load_dataset().held_out_items()["item_id"])
    pairs = read_pairs(out)
    assert not held_out & set(pairs["history_ids"].explode())
    assert not held_out & {*pairs["target_id"], *pairs["reference_id"]}

    pipeline = PigeonPipeline.from_pretrained(out / "model")
    training = training_artwork(config, load_dataset())
    images = training.images
    drawn = pipeline(
        images[None, :5],
        images[5:6],
        [str(training.rows["semantics"][5])],
        keys=["one"],
        settings=GenerationConfig(mask_ratios=(0.0,), diffusion_steps=2),
    ).images
    assert drawn.shape == (1, 1, 64, 64, 3)
    assert np.isfinite(load_scorer(out / "model").encode_images(drawn[0])).all()
