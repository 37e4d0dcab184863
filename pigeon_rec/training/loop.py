"""The training loop of all recipes: any device, resumable, with averaged weights and metrics.

A recipe draws each batch from a generator derived from (seed, step, lane). Lanes number the batches
of one step, over processes and gradient accumulation. A resumed run therefore sees the same batches
as an unbroken one, and two processes give the same weights as one that accumulates two batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import Field
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.placing import set_threads
from pigeon_rec.runtime.settings import Count, Fraction, NotNegative, Positive, Settings
from pigeon_rec.training.checkpoint import (
    Stopping,
    TrainingState,
    export,
    resume,
    save_checkpoint,
)
from pigeon_rec.training.devices import Precision, autocast, average_gradients, new_accelerator
from pigeon_rec.training.metrics import Metrics, draw_curves
from pigeon_rec.training.recipe import Losses, Recipe

__all__ = ["LoopConfig", "learning_rate_factor", "train"]


class LoopConfig(Settings):
    """Length, optimiser and logging of one training run.

    Attributes:
        batch_size: Samples per forward pass of one process.
        accumulate: Forward passes of one process per step; a step uses
            `batch_size * accumulate * processes` samples.
        decay: Share of the steps, at the end, over which the learning rate falls linearly to 0.
        average: Decay of the exponential average of the weights, which is validated and saved.
        precision: `bf16` runs matrix products in bfloat16 under autocast if the device supports it.
        validate_every: Steps between two validations; 0 disables validation.
        validation_samples: Maximum samples of one validation.
        patience: Validations without a new best after which the run stops; 0 never stops. The
            weights of the best validation are saved in either case.
    """

    steps: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0.0)]
    accumulate: Positive = 1
    warmup: Count = 100
    decay: Fraction = 0.4
    weight_decay: NotNegative = 0.01
    gradient_clip: Annotated[float, Field(gt=0.0)] = 1.0
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.995
    precision: Precision = "bf16"
    seed: int = 0
    log_every: Positive = 20
    checkpoint_every: Positive = 500
    validate_every: Count = 0
    validation_samples: Positive = 96
    patience: Count = 0
    threads: Count = 0


def learning_rate_factor(step: int, config: LoopConfig) -> float:
    """Linear warm-up, plateau, linear decay to zero over the last `decay` share; in [0, 1]."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    tail = max(1.0, config.steps * config.decay)
    return rise * min(1.0, max(0.0, (config.steps - step) / tail))


def train(recipe: Recipe, config: LoopConfig, folder: Path, *, show_progress: bool = False) -> Path:
    """Trains a recipe; returns the path of the averaged weights (`model.safetensors`).

    Writes `metrics.jsonl` (step, losses, samples per second), `curves.png` and `checkpoint/`. An
    existing checkpoint in `folder` is resumed, and the metrics of repeated steps are replaced. Of
    several processes only the first one writes.

    Raises:
        TrainingError: Loss or gradient is not finite, the checkpoint belongs to another model, or
            `validate_every` is set and the recipe has no validation.
    """
    run = _begin(recipe, config)
    writes = run.accelerator.is_main_process
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
    first = resume(folder, run.state)
    with autocast(run.accelerator.device, config.precision):
        recipe.start(first)
    metrics = Metrics(
        folder / "metrics.jsonl" if writes else None,
        folder.name,
        first,
        config.steps,
        config.batch_size * config.accumulate * run.accelerator.num_processes,
        show=show_progress,
    )
    with closing(metrics):
        for step in range(first, config.steps):
            if run.exhausted:
                break
            _step(step, run, metrics, folder if writes else None)
    run.accelerator.wait_for_everyone()
    if writes:
        draw_curves(folder / "metrics.jsonl", folder / "curves.png")
        export(folder, run.state)
    run.accelerator.wait_for_everyone()
    return folder / "model.safetensors"


@dataclass(frozen=True)
class _Run:
    """The state of one call of `train`."""

    recipe: Recipe
    config: LoopConfig
    accelerator: Accelerator
    state: TrainingState
    trainable: Sequence[nn.Parameter]

    @property
    def exhausted(self) -> bool:
        """Whether validation has not improved for `patience` checks."""
        return 0 < self.config.patience <= self.state.stopping.checks


def _begin(recipe: Recipe, config: LoopConfig) -> _Run:
    if config.validate_every and not recipe.validates:
        raise TrainingError(
            f"{type(recipe).__name__} has no validation",
            location="validate_every",
            remedy="Set validate_every: 0 in this recipe's loop",
        )
    accelerator = new_accelerator()
    set_threads(config.threads)
    recipe.place(accelerator.device)
    recipe.set_training(True)
    module = recipe.module()
    trainable = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trainable, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
    )
    average = AveragedModel(
        module, multi_avg_fn=get_ema_multi_avg_fn(config.average), use_buffers=False
    )
    state = TrainingState(module, average, optimizer, Stopping())
    return _Run(recipe, config, accelerator, state, trainable)


def _step(step: int, run: _Run, metrics: Metrics, folder: Path | None) -> None:
    """One gradient step, then validation, metrics and (if `folder` is given) checkpoint."""
    config = run.config
    losses = _gradient_step(step, run)
    run.recipe.after_step(step)
    run.state.average.update_parameters(run.state.module)
    metrics.step_done(losses["loss"])
    last = step + 1 == config.steps
    validated: Mapping[str, float] = {}
    if config.validate_every and ((step + 1) % config.validate_every == 0 or last):
        validated = _validate(run)
        run.state.stopping.note(validated["loss"], run.state.average.module)
    if validated or step % config.log_every == 0 or last:
        metrics.write(step, losses, validated)
    if folder and ((step + 1) % config.checkpoint_every == 0 or last or run.exhausted):
        save_checkpoint(folder, step + 1, run.state)


def _gradient_step(step: int, run: _Run) -> dict[str, float]:
    """Updates the weights; batches, dropout and learning rate depend only on the step number."""
    config, accelerator = run.config, run.accelerator
    for group in run.state.optimizer.param_groups:
        group["lr"] = config.learning_rate * learning_rate_factor(step, config)
    passes = []
    for pass_ in range(config.accumulate):
        losses = _lane(step, accelerator.process_index * config.accumulate + pass_, run)
        passes.append(_values(losses))
        # Both checks run before the update, so that no checkpoint holds broken weights.
        _check_finite(step, passes[-1])
        accelerator.backward(losses["loss"] / config.accumulate)
    average_gradients(accelerator, run.trainable)
    norm = accelerator.clip_grad_norm_(run.trainable, config.gradient_clip)
    values = _means(passes, accelerator)
    _check_finite(step, {**values, "gradient": float(norm)})
    run.state.optimizer.step()
    run.state.optimizer.zero_grad(set_to_none=True)
    return values


def _lane(step: int, lane: int, run: _Run) -> Losses:
    """Losses of one batch of the step."""
    config = run.config
    torch.manual_seed(config.seed * 1_000_003 + step + (lane << 40))
    random = np.random.default_rng((config.seed, step, lane) if lane else (config.seed, step))
    with autocast(run.accelerator.device, config.precision):
        return run.recipe.losses(config.batch_size, random)


def _validate(run: _Run) -> dict[str, float]:
    """Mean losses of the averaged weights; computed by every process, so that all stop together."""
    config, recipe = run.config, run.recipe
    torch.manual_seed(config.seed)
    recipe.set_training(False)
    with (
        run.state.averaged(),
        torch.no_grad(),
        autocast(run.accelerator.device, config.precision),
    ):
        batches = [
            _values(x) for x in recipe.validation(config.batch_size, config.validation_samples)
        ]
    recipe.set_training(True)
    return {name: round(float(np.mean([row[name] for row in batches])), 5) for name in batches[0]}


def _values(losses: Losses) -> dict[str, float]:
    return {name: round(float(value.detach()), 5) for name, value in losses.items()}


def _means(passes: list[dict[str, float]], accelerator: Accelerator) -> dict[str, float]:
    """Means over the passes of all processes."""
    if len(passes) == accelerator.num_processes == 1:
        return passes[0]
    rows = torch.tensor([list(row.values()) for row in passes], dtype=torch.float32)
    mean = accelerator.reduce(rows.mean(0).to(accelerator.device), reduction="mean").tolist()
    return {name: round(value, 5) for name, value in zip(passes[0], mean, strict=True)}


def _check_finite(step: int, values: Mapping[str, float]) -> None:
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise TrainingError(
            f"not finite: {', '.join(broken)}",
            location=f"step {step}: {dict(values)}",
            remedy="Lower the learning rate, or train with precision: no",
        )
