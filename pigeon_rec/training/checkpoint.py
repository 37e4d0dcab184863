"""Checkpoints: the state of a training run, so that a resumed run equals an unbroken one."""

from __future__ import annotations

import math
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pigeon_rec.errors import TrainingError
from pigeon_rec.runtime.files import current_folder, replacing, replacing_folder

__all__ = ["Clock", "Stopping", "TrainingState", "export", "resume", "save_checkpoint"]


@dataclass
class Clock:
    """Training time, without the pauses between the runs.

    Attributes:
        before: Seconds of the earlier runs.
        since: When this run began, as `time.perf_counter` counts.
    """

    before: float = 0.0
    since: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds of all runs so far."""
        return self.before + time.perf_counter() - self.since

    def start(self, before: float) -> None:
        """Begins a run after `before` seconds of training."""
        self.before, self.since = before, time.perf_counter()


@dataclass
class Stopping:
    """Early stopping: the best validation so far.

    Attributes:
        best: Smallest validation loss.
        checks: Validations since the best one.
        weights: Weights to export of the best validation, by name; empty before the first one.
    """

    best: float = math.inf
    checks: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def note(self, loss: float, state: TrainingState) -> None:
        """Records one validation; keeps the weights if its loss is the smallest."""
        self.checks += 1
        if loss < self.best or not self.weights:
            self.best = loss if math.isfinite(loss) else math.inf
            self.checks = 0
            self.weights = state.learned()


@dataclass(frozen=True)
class TrainingState:
    """All that changes while a recipe is trained.

    Attributes:
        module: The recipe's module.
        average: The exponential average of its weights: what is validated and saved.
        optimizer: Optimiser of the trainable weights.
        stopping: Early stopping.
        clock: Training time.
    """

    module: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    stopping: Stopping = field(default_factory=Stopping)
    clock: Clock = field(default_factory=Clock)

    def learned(self) -> dict[str, Tensor]:
        """The averaged weights; those that no gradient changes, such as a codebook, as they are."""
        frozen = {n for n, p in self.module.named_parameters(remove_duplicate=False)
                  if not p.requires_grad}  # fmt: skip
        return _state(self.average.module) | _state(self.module, frozen)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Gives the module its averaged weights inside the block."""
        learned = [p for p in self.module.parameters() if p.requires_grad]
        mean = [p for p in self.average.module.parameters() if p.requires_grad]
        own = [p.detach().clone() for p in learned]
        _copy(mean, learned)
        try:
            yield
        finally:
            _copy(own, learned)


@torch.no_grad()
def _copy(source: list[Tensor] | list[nn.Parameter], target: list[nn.Parameter]) -> None:
    for new, weight in zip(source, target, strict=True):
        weight.copy_(new)


def save_checkpoint(folder: Path, step: int, state: TrainingState) -> None:
    """Writes a new checkpoint in place of the old one; a kill leaves one of the two."""
    stopping = state.stopping
    rest = {
        "optimizer": state.optimizer.state_dict(),
        "step": step,
        "averaged": int(state.average.n_averaged),
        "seconds": state.clock.seconds,
        "stopping": {"best": stopping.best, "checks": stopping.checks},
    }
    with replacing_folder(folder / "checkpoint") as fresh:
        save_file(_state(state.module), fresh / "module.safetensors")
        save_file(_state(state.average.module), fresh / "average.safetensors")
        if stopping.weights:
            save_file(stopping.weights, fresh / "best.safetensors")
        torch.save(rest, fresh / "optimizer.pt")


def resume(folder: Path, state: TrainingState) -> int:
    """Loads the newest checkpoint, if any, starts the clock, and returns the next step.

    Raises:
        TrainingError: The checkpoint is damaged, or of another model.
    """
    found = current_folder(folder / "checkpoint")
    if found is None:
        state.clock.start(0.0)
        return 0
    try:
        return _load(found, state)
    except (RuntimeError, ValueError, KeyError, OSError, SafetensorError) as error:
        raise TrainingError(
            "the checkpoint does not fit this model",
            location=str(found),
            remedy="Give another output folder, or remove this one to start again",
        ) from error


def _load(found: Path, state: TrainingState) -> int:
    state.module.load_state_dict(load_file(found / "module.safetensors"))
    state.average.module.load_state_dict(load_file(found / "average.safetensors"))
    rest = torch.load(found / "optimizer.pt", weights_only=True, map_location="cpu")
    state.optimizer.load_state_dict(rest["optimizer"])
    state.average.n_averaged.fill_(rest["averaged"])
    state.stopping.best = float(rest["stopping"]["best"])
    state.stopping.checks = int(rest["stopping"]["checks"])
    state.clock.start(float(rest["seconds"]))
    best = found / "best.safetensors"
    state.stopping.weights = load_file(best) if best.is_file() else {}
    return int(rest["step"])


def export(folder: Path, state: TrainingState) -> Path:
    """Writes `model.safetensors`: the averaged weights, of the best validation if there was one."""
    path = folder / "model.safetensors"
    with replacing(path) as fresh:
        save_file(state.stopping.weights or state.learned(), fresh)
    return path


def _state(module: nn.Module, names: Container[str] | None = None) -> dict[str, Tensor]:
    """Copies of the weights and buffers, or of those with these names, on the CPU."""
    return {
        name: value.detach().cpu().clone().contiguous()
        for name, value in module.state_dict().items()
        if names is None or name in names
    }
