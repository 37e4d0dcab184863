"""The training loop of all recipes: any device, resumable, with averaged weights and metrics.

A run ends after a number of steps or of minutes. A recipe draws each batch from a generator derived
from (seed, step, lane). Lanes number the batches of one step, over processes and gradient
accumulation. A resumed run therefore sees the same batches as an unbroken one, and two processes
give the same weights as one that accumulates two batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from accelerate.utils import broadcast
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.placing import set_threads
from pigeon_rec.runtime.settings import Count, Fraction, NotNegative, Positive, Settings
from pigeon_rec.training.checkpoint import TrainingState, export, resume, save_checkpoint
from pigeon_rec.training.devices import Precision, autocast, average_gradients, new_accelerator
from pigeon_rec.training.metrics import Metrics, draw_curves
from pigeon_rec.training.recipe import Losses, Recipe
from pigeon_rec.training.tracking import Tracker, Tracking, new_trackers

__all__ = ["LoopConfig", "lane_seed", "learning_rate_factor", "train"]


class LoopConfig(Settings):
    """Length, optimiser and logging of one training run.

    Attributes:
        steps: Gradient steps of the run; either this or `minutes`.
        minutes: Length of the run in minutes of training, without pauses; the learning rate then
            falls with the time.
        share: This recipe's part of the minutes of `pigeon-rec train all --minutes`, by weight.
        batch_size: Samples per forward pass of one process.
        accumulate: Forward passes of one process per step; a step uses
            `batch_size * accumulate * processes` samples.
        decay: Share of the run, at the end, over which the learning rate falls linearly to 0.
        average: Decay of the exponential average of the weights, which is validated and saved;
            smaller in the first steps.
        precision: `bf16` runs matrix products in bfloat16 under autocast if the device supports it.
        validate_every: Steps between two validations; 0 disables validation.
        validation_samples: Maximum samples of one validation.
        patience: Validations without a new best after which the run stops; 0 never stops. The
            weights of the best validation are saved in either case.
    """

    steps: Positive | None = None
    minutes: Annotated[float, Field(gt=0.0)] | None = None
    share: Annotated[float, Field(gt=0.0)] = 1.0
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

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("a loop has either `steps` or `minutes`")
        return self

    def with_minutes(self, minutes: float) -> Self:
        """The same loop with another length."""
        return self.model_copy(update={"steps": None, "minutes": minutes})

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done before `step`, after `seconds` of training; in [0, 1]."""
        done = step / self.steps if self.steps else seconds / (60 * (self.minutes or 1))
        return min(1.0, done)


def learning_rate_factor(step: int, progress: float, config: LoopConfig) -> float:
    """Linear warm-up, plateau, linear decay to zero over the last `decay` share; in [0, 1]."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    return rise * (min(1.0, (1.0 - progress) / config.decay) if config.decay else 1.0)


def train(
    recipe: Recipe,
    config: LoopConfig,
    folder: Path,
    *,
    trackers: Sequence[Tracker] = (),
    show_progress: bool = False,
) -> Path:
    """Trains a recipe; returns the path of the averaged weights (`model.safetensors`).

    Writes `metrics.jsonl` (step, losses, samples per second), `curves.png` and `checkpoint/`. An
    existing checkpoint in `folder` is resumed, and the metrics of repeated steps are replaced. Of
    several processes only the first one writes. `trackers` are told the same metrics and the
    learning rate, in a run that has the name of the folder.

    Raises:
        TrainingError: Loss or gradient is not finite, the checkpoint belongs to another model,
            `validate_every` is set and the recipe has no validation, or a tracker is not installed
            or cannot be started.
    """
    run = _begin(recipe, config, new_trackers(trackers, folder))
    writes = run.accelerator.is_main_process
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
    step = resume(folder, run.state)
    recipe.progress = run.progress(step)
    with autocast(run.accelerator.device, config.precision):
        recipe.start(step)
    metrics = Metrics(
        folder / "metrics.jsonl" if writes else None,
        folder.name,
        step,
        config.steps,
        config.batch_size * config.accumulate * run.accelerator.num_processes,
        show=show_progress,
    )
    with closing(metrics), closing(Tracking(run.accelerator, step)) as tracking:
        while recipe.progress < 1.0 and not run.exhausted:
            row = _step(step, run, metrics, folder if writes else None)
            if row:
                tracking.log({**row, "learning_rate": run.learning_rate})
            step += 1
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
    def learning_rate(self) -> float:
        """Learning rate of the last step."""
        return float(self.state.optimizer.param_groups[0]["lr"])

    @property
    def exhausted(self) -> bool:
        """Whether validation has not improved for `patience` checks."""
        return 0 < self.config.patience <= self.state.stopping.checks

    def progress(self, step: int) -> float:
        """Share of the run that is done before `step`, by the clock of the first process."""
        progress = self.config.progress(step, self.state.clock.seconds)
        if self.config.steps or self.accelerator.num_processes == 1:
            return progress
        return float(broadcast(torch.tensor(progress, device=self.accelerator.device)))

    def due(self, step: int, every: int) -> bool:
        """Whether something is done after this step that is done every so many steps, if at all."""
        return every > 0 and ((step + 1) % every == 0 or self.recipe.progress >= 1.0)


def _begin(recipe: Recipe, config: LoopConfig, trackers: Sequence[GeneralTracker]) -> _Run:
    if config.validate_every and not recipe.validates:
        raise TrainingError(
            f"{type(recipe).__name__} has no validation",
            location="validate_every",
            remedy="Set validate_every: 0 in this recipe's loop",
        )
    accelerator = new_accelerator(trackers)
    set_threads(config.threads)
    recipe.place(accelerator.device)
    recipe.set_training(True)
    module = recipe.module()
    trainable = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trainable,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        betas=(0.9, 0.98),
        fused=accelerator.device.type == "cuda",
    )
    average = AveragedModel(module, multi_avg_fn=_averaging(config.average), use_buffers=False)
    return _Run(recipe, config, accelerator, TrainingState(module, average, optimizer), trainable)


def _averaging(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """The exponential average; early it forgets faster, so that no random weight stays in it."""

    @torch.no_grad()
    def update(mean: Sequence[Tensor], own: Sequence[Tensor], count: Tensor | int) -> None:
        kept = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(list(mean), list(own), 1 - kept)

    return update


def _step(step: int, run: _Run, metrics: Metrics, folder: Path | None) -> dict[str, float]:
    """One gradient step, then validation, metrics and (if `folder` is given) checkpoint.

    Returns the row of the metrics; empty if the step has none.
    """
    config, recipe = run.config, run.recipe
    losses = _gradient_step(step, run)
    recipe.after_step(step)
    run.state.average.update_parameters(run.state.module)
    recipe.progress = run.progress(step + 1)
    metrics.step_done(recipe.progress)
    validated: Mapping[str, float] = {}
    if run.due(step, config.validate_every):
        validated = _validate(run)
        run.state.stopping.note(validated["loss"], run.state)
    row: dict[str, float] = {}
    if validated or step % config.log_every == 0 or recipe.progress >= 1.0:
        row = metrics.write(step, _values(step, losses, run), validated)
    if run.due(step, config.checkpoint_every) or run.exhausted:
        _values(step, losses, run)  # no checkpoint holds broken weights
        if folder:
            save_checkpoint(folder, step + 1, run.state)
    return row


def _gradient_step(step: int, run: _Run) -> dict[str, Tensor]:
    """Updates the weights; batches, dropout and learning rate depend only on step and progress.

    Returns the losses and the norm of the gradient, still on the device: only a step that is logged
    waits for it. On the CPU each step is checked before its update.
    """
    config, accelerator = run.config, run.accelerator
    for group in run.state.optimizer.param_groups:
        factor = learning_rate_factor(step, run.recipe.progress, config)
        group["lr"] = config.learning_rate * factor
    passes = []
    for pass_ in range(config.accumulate):
        losses = _lane(step, accelerator.process_index * config.accumulate + pass_, run)
        passes.append({name: value.detach() for name, value in losses.items()})
        accelerator.backward(losses["loss"] / config.accumulate)
    average_gradients(accelerator, run.trainable)
    norm = accelerator.clip_grad_norm_(run.trainable, config.gradient_clip)
    means = {name: torch.stack([row[name] for row in passes]).mean(0) for name in passes[0]}
    means["gradient"] = torch.as_tensor(norm)
    if accelerator.device.type == "cpu":
        _values(step, means, run)
    run.state.optimizer.step()
    run.state.optimizer.zero_grad(set_to_none=True)
    return means


def _lane(step: int, lane: int, run: _Run) -> Losses:
    """Losses of one batch of the step."""
    config, device = run.config, run.accelerator.device
    key = lane_seed(config.seed, step, lane)
    torch.manual_seed(key)  # for dropout
    random = torch.Generator(device).manual_seed(key)
    with autocast(device, config.precision):
        return run.recipe.losses(config.batch_size, random)


def lane_seed(seed: int, step: int, lane: int) -> int:
    """Seed of one batch; mixed, since a CPU generator takes its lower 32 bits only."""
    return int(np.random.SeedSequence((seed, step, lane)).generate_state(1)[0])


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
        batches = list(recipe.validation(config.batch_size, config.validation_samples))
        means = {name: torch.stack([row[name] for row in batches]).mean() for name in batches[0]}
    recipe.set_training(True)
    return {name: round(float(value), 5) for name, value in means.items()}


def _values(step: int, losses: Mapping[str, Tensor], run: _Run) -> dict[str, float]:
    """Means over all processes as numbers, without the gradient.

    Raises:
        TrainingError: One is not finite.
    """
    row = torch.stack([value.float() for value in losses.values()])
    if run.accelerator.num_processes > 1:
        row = torch.as_tensor(run.accelerator.reduce(row, reduction="mean"))
    values = dict(zip(losses, (round(value, 5) for value in row.tolist()), strict=True))
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise TrainingError(
            f"not finite: {', '.join(broken)}",
            location=f"step {step}: {values}",
            remedy="Lower the learning rate, or train with precision: no",
        )
    del values["gradient"]
    return values
