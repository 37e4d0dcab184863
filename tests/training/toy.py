"""A recipe of a dozen weights; run as a module, it trains in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pigeon_rec.training.loop import LoopConfig, train
from pigeon_rec.training.recipe import Losses, Recipe
from tests.model.tiny import seeded

__all__ = ["Killed", "Toy", "averaged", "config", "curve", "rows"]


class Killed(BaseException):
    """Simulates a kill signal."""


class Toy(Recipe):
    """A regression with dropout, noise and a buffer.

    Args:
        width: Size of the hidden layer.
        kill_at: Step after which the process dies, before it can save anything.
        poison: Step, and the factor that spoils its loss.
        verdicts: Losses of the validations in order, then real ones.
        pause: Extra seconds per step.
    """

    validates = True

    def __init__(
        self,
        width: int = 4,
        kill_at: int = -1,
        poison: tuple[int, float] = (-1, 0.0),
        verdicts: tuple[float, ...] = (),
        pause: float = 0.0,
    ) -> None:
        with seeded():
            self.net = nn.Sequential(
                nn.Linear(3, width), nn.Dropout(0.5), nn.Linear(width, 1, bias=False)
            )
            self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.net.register_buffer("seen", torch.zeros(()))
        self.kill_at, self.poison, self.at, self.pause = kill_at, poison, -1, pause
        self.verdicts = iter(verdicts)
        self.validated: list[Tensor] = []
        self.started: list[int] = []
        self.path: list[Tensor] = []

    def module(self) -> nn.Module:
        return nn.ModuleDict({"net": self.net, "frozen": self.frozen})

    def start(self, step: int) -> None:
        self.started.append(step)
        self.at = step

    def losses(self, batch_size: int, random: torch.Generator) -> Losses:
        x = torch.randn(batch_size, 3, generator=random)
        target = x.sum(1, keepdim=True) + 0.1 * torch.randn(batch_size, 1)
        loss = (self.net(self.frozen(x)).float() - target).square().mean()
        if self.at == self.poison[0]:
            loss = loss * self.poison[1]
        return {"loss": loss, "seen": self.net.get_buffer("seen").clone()}

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:
        self.validated.append(self.net.get_parameter("0.weight").detach().clone())
        assert not self.net.training
        assert not torch.is_grad_enabled()
        for first in range(0, samples, batch_size):
            random = torch.Generator().manual_seed(first)
            loss = self.losses(min(batch_size, samples - first), random)["loss"]
            yield {"loss": torch.tensor(next(self.verdicts, float(loss)))}

    def after_step(self, step: int) -> None:
        self.at = step + 1
        self.net.get_buffer("seen").add_(1.0)
        self.path.append(self.net.get_parameter("0.weight").detach().clone())
        time.sleep(self.pause)
        if step == self.kill_at:
            raise Killed


def config(**settings: Any) -> LoopConfig:
    values = {"steps": 12, "batch_size": 8, "learning_rate": 0.01, "warmup": 3, "average": 0.7}
    return LoopConfig.model_validate({**values, "log_every": 1, "checkpoint_every": 4, **settings})


def averaged(toy: Toy, decay: float) -> Tensor:
    """The exponential average of the weights that a toy has had; it forgets the first ones."""
    mean = toy.path[0]
    for count, weight in enumerate(toy.path[1:], start=1):
        mean = mean.lerp(weight, 1 - min(decay, (1 + count) / (10 + count)))
    return mean


def rows(folder: Path) -> list[dict[str, float]]:
    """The metrics of a run, without the sample rate."""
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    parsed = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if k != "samples_per_second"} for row in parsed]


def curve(folder: Path) -> list[tuple[int, float, float]]:
    return [(int(row["step"]), row["loss"], row["seen"]) for row in rows(folder)]


if __name__ == "__main__":
    settings = json.loads(sys.argv[2])
    torch.set_num_threads(1)
    train(Toy(pause=settings.pop("pause", 0.0)), config(**settings), Path(sys.argv[1]))
