"""Trains the judges and bundles them: `pigeon-rec evaluate train-judges`.

Resumable, on one thread; about 10 minutes of one core in all. What a judge is worth is measured
afterwards on the real held-out artwork, which no training step reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import torch
from safetensors.torch import load_file, save_file

from pigeon_rec.evaluation.judge_recipes import JudgeKind, JudgeRecipe, judge_stickers
from pigeon_rec.evaluation.networks import JudgeNetwork
from pigeon_rec.training.loop import LoopConfig, train

__all__ = ["JUDGE_LOOPS", "bundle_judge", "train_judge", "train_judges"]

JUDGE_LOOPS: dict[JudgeKind, LoopConfig] = {
    "style": LoopConfig(
        steps=1200, batch_size=96, learning_rate=2e-3, decay=0.6, average=0.99,
        seed=9201, validate_every=600, validation_samples=480, checkpoint_every=100, threads=1,
    ),
    "concept": LoopConfig(
        steps=2000, batch_size=96, learning_rate=2e-3, decay=0.6, average=0.99,
        seed=9202, validate_every=500, validation_samples=480, checkpoint_every=100, threads=1,
    ),
}  # fmt: skip
"""Seeds apart from each other and from those of the model's own training plans."""


def train_judges(folder: Path, destination: Path, *, show_progress: bool = False) -> Path:
    """Trains both judges in `folder` and writes them to `destination`, which it returns."""
    for kind in get_args(JudgeKind):
        train_judge(kind, folder, destination, show_progress=show_progress)
    return destination


def train_judge(
    kind: JudgeKind,
    folder: Path,
    destination: Path,
    *,
    loop: LoopConfig | None = None,
    show_progress: bool = False,
) -> Path:
    """Trains one judge and writes `<destination>/<kind>`; a run that was killed goes on.

    Args:
        kind: What it tells apart.
        folder: Of checkpoints and metrics, one folder for each judge.
        destination: Where the finished weights go.
        loop: Length and optimiser; by default the one of `JUDGE_LOOPS`.
        show_progress: Whether to draw a progress bar.
    """
    loop = loop or JUDGE_LOOPS[kind]
    torch.manual_seed(loop.seed)
    recipe = JudgeRecipe(kind, judge_stickers())
    weights = train(recipe, loop, folder / kind, show_progress=show_progress)
    return bundle_judge(recipe.network, weights, destination / kind)


def bundle_judge(network: JudgeNetwork, weights: Path, destination: Path) -> Path:
    """Writes `config.json` and the weights in half precision."""
    destination.mkdir(parents=True, exist_ok=True)
    text = network.config.model_dump_json()
    (destination / "config.json").write_text(text + "\n", encoding="utf-8")
    halves = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in load_file(weights).items()
    }
    save_file(halves, destination / "model.safetensors")
    return destination
