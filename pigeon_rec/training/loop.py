"""The one training loop: any recipe, resumable, with averaged weights, metrics and progress.

A recipe draws its batch from a generator derived of (seed, step). A run that was killed and
resumed therefore sees the same batches as an unbroken one.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Protocol, TextIO

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from pigeon_rec.errors import TrainingError

__all__ = ["LoopConfig", "Recipe", "learning_rate_factor", "train"]


class LoopConfig(BaseModel):
    """Length, optimiser and bookkeeping of one training run.

    Attributes:
        decay: Share of the steps, at the end, over which the rate falls to zero linearly.
        average: Decay of the exponential average of the weights; the average is what is saved.
        precision: `bf16` runs matrix products in bfloat16 under autocast.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0.0)]
    warmup: Annotated[int, Field(ge=0)] = 100
    decay: Annotated[float, Field(ge=0.0, le=1.0)] = 0.4
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    gradient_clip: Annotated[float, Field(gt=0.0)] = 1.0
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.995
    precision: Literal["no", "bf16"] = "bf16"
    seed: int = 0
    log_every: Annotated[int, Field(ge=1)] = 20
    checkpoint_every: Annotated[int, Field(ge=1)] = 500
    threads: Annotated[int, Field(ge=0)] = 0


class Recipe(Protocol):
    """What a training task tells the loop."""

    def module(self) -> nn.Module:
        """The module to train; parameters without `requires_grad` stay as they are."""

    def start(self, step: int) -> None:
        """Told once, before the first step: 0, or where a resumed run goes on."""

    def losses(self, batch_size: int, random: np.random.Generator) -> Mapping[str, Tensor]:
        """Named scalar losses of a fresh batch; the one named `loss` is minimised."""

    def after_step(self, step: int) -> None:
        """Work between steps that is no gradient step (a codebook update, for example)."""


def learning_rate_factor(step: int, config: LoopConfig) -> float:
    """Linear warm-up, plateau, linear decay to zero over the last `decay` share; in [0, 1]."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    tail = max(1.0, config.steps * config.decay)
    return rise * min(1.0, max(0.0, (config.steps - step) / tail))


def train(recipe: Recipe, config: LoopConfig, folder: Path, *, show_progress: bool = False) -> Path:
    """Trains and returns the path of the averaged weights (`model.safetensors`).

    Writes `metrics.jsonl` (step, losses, samples per second) and `checkpoint/`; an existing
    checkpoint in `folder` is resumed, and the metrics of steps that are done again are replaced.

    Raises:
        TrainingError: Loss or gradient are no longer finite, or the checkpoint is of another model.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    folder.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator()
    module = recipe.module().to(accelerator.device).train()
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
    )
    average = AveragedModel(
        module, multi_avg_fn=get_ema_multi_avg_fn(config.average), use_buffers=False
    )
    first = _resume(folder, module, average, optimizer)
    recipe.start(first)
    with _open_metrics(folder / "metrics.jsonl", first) as log:
        for step in tqdm(
            range(first, config.steps),
            initial=first,
            total=config.steps,
            disable=not show_progress,
        ):
            started = time.perf_counter()
            losses = _gradient_step(step, recipe, config, accelerator, parameters, optimizer)
            recipe.after_step(step)
            average.update_parameters(module)
            if step % config.log_every == 0 or step + 1 == config.steps:
                _log(log, step, losses, config.batch_size / (time.perf_counter() - started))
            if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
                _checkpoint(folder, step + 1, module, average, optimizer)
    return _export(folder, average)


def _gradient_step(
    step: int,
    recipe: Recipe,
    config: LoopConfig,
    accelerator: Accelerator,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.AdamW,
) -> Mapping[str, Tensor]:
    """One step; its batch, dropout and learning rate depend on the step's number alone."""
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * learning_rate_factor(step, config)
    torch.manual_seed(config.seed * 1_000_003 + step)
    random = np.random.default_rng((config.seed, step))
    # Not the accelerator's own: its precision is one for the whole process, once and for all.
    half = config.precision == "bf16"
    with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=half):
        losses = recipe.losses(config.batch_size, random)
    # Both checks come before the weights move, so that no checkpoint ever holds broken ones.
    _check_finite(step, _values(losses))
    accelerator.backward(losses["loss"])
    norm = accelerator.clip_grad_norm_(parameters, config.gradient_clip)
    _check_finite(step, {**_values(losses), "gradient": float(norm)})
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return losses


def _values(losses: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: round(float(value.detach()), 5) for name, value in losses.items()}


def _check_finite(step: int, values: Mapping[str, float]) -> None:
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise TrainingError(
            f"not finite: {', '.join(broken)}",
            where=f"step {step}: {dict(values)}",
            remedy="Lower the learning rate, or train with precision: no",
        )


def _open_metrics(path: Path, first: int) -> TextIO:
    """Opens the metrics to go on at step `first`: later rows, and a torn last one, are dropped."""
    kept = []
    if path.is_file():
        lines = path.read_text("utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("}\n")]
        kept = [line for line in whole if json.loads(line)["step"] < first]
    path.write_text("".join(kept), "utf-8")
    return path.open("a", encoding="utf-8")


def _log(log: TextIO, step: int, losses: Mapping[str, Tensor], rate: float) -> None:
    row = {"step": step, **_values(losses), "samples_per_second": round(rate, 1)}
    log.write(json.dumps(row) + "\n")
    log.flush()


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {
        name: value.detach().clone().contiguous() for name, value in module.state_dict().items()
    }


def _checkpoint(
    folder: Path, step: int, module: nn.Module, average: AveragedModel, optimizer: torch.optim.AdamW
) -> None:
    """Writes a new checkpoint beside the old one, then swaps, so a kill leaves one of the two."""
    fresh, current = folder / "checkpoint.new", folder / "checkpoint"
    fresh.mkdir(exist_ok=True)
    save_file(_state(module), fresh / "module.safetensors")
    save_file(_state(average.module), fresh / "average.safetensors")
    torch.save(
        {"optimizer": optimizer.state_dict(), "step": step, "averaged": int(average.n_averaged)},
        fresh / "optimizer.pt",
    )
    old = folder / "checkpoint.old"
    if current.exists():
        shutil.rmtree(old, ignore_errors=True)  # a kill may have left one behind
        current.replace(old)
    fresh.replace(current)
    shutil.rmtree(old, ignore_errors=True)


def _resume(
    folder: Path, module: nn.Module, average: AveragedModel, optimizer: torch.optim.AdamW
) -> int:
    """Loads the newest checkpoint, if any, and returns the next step."""
    found = next(
        (folder / n for n in ("checkpoint", "checkpoint.old") if (folder / n).exists()), None
    )
    if found is None:
        return 0
    try:
        module.load_state_dict(load_file(found / "module.safetensors"))
        average.module.load_state_dict(load_file(found / "average.safetensors"))
        rest = torch.load(found / "optimizer.pt", weights_only=True)
        optimizer.load_state_dict(rest["optimizer"])
    except (RuntimeError, ValueError, KeyError, OSError, SafetensorError) as error:
        raise TrainingError(
            "the checkpoint does not fit this model",
            where=str(found),
            remedy="Give another output folder, or remove this one to start again",
        ) from error
    average.n_averaged.fill_(rest["averaged"])
    return int(rest["step"])


def _export(folder: Path, average: AveragedModel) -> Path:
    path = folder / "model.safetensors"
    save_file(_state(average.module), path)
    return path
