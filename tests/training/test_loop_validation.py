"""The training loop: validation, early stopping and gradient accumulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pigeon_rec.errors import TrainingError
from pigeon_rec.training.loop import lane_seed, train
from pigeon_rec.training.recipe import Losses, Recipe
from tests.training.toy import Killed, Toy, averaged, config, rows

WEIGHT = "net.0.weight"


class Unvalidated(Recipe):
    def module(self) -> nn.Module:
        return nn.Linear(1, 1)

    def losses(self, batch_size: int, random: torch.Generator) -> Losses:
        raise AssertionError("no step may be made")


def validations(folder: Path) -> list[tuple[float, float]]:
    return [(r["step"], r["validation_loss"]) for r in rows(folder) if "validation_loss" in r]


def test_validation_runs_every_n_steps_and_at_the_end(tmp_path: Path) -> None:
    train(Toy(), config(validate_every=5), tmp_path)
    assert [step for step, _ in validations(tmp_path)] == [4, 9, 11]


def test_a_validated_step_is_always_logged(tmp_path: Path) -> None:
    train(Toy(), config(validate_every=5, log_every=100), tmp_path)
    assert [row["step"] for row in rows(tmp_path)] == [0, 4, 9, 11]


def test_validation_uses_the_averaged_weights_and_restores_the_current_ones(tmp_path: Path) -> None:
    toy = Toy()
    train(toy, config(validate_every=6), tmp_path / "validated")
    assert torch.allclose(toy.validated[-1], averaged(toy, 0.7), atol=1e-6)
    train(plain := Toy(), config(), tmp_path / "plain")
    assert all(torch.equal(a, b) for a, b in zip(toy.path, plain.path, strict=True))


def test_the_validation_loss_is_the_mean_over_its_batches(tmp_path: Path) -> None:
    toy = Toy(verdicts=(1.0, 2.0, 6.0))
    train(toy, config(steps=4, validate_every=4, validation_samples=20), tmp_path)
    assert validations(tmp_path) == [(3, 3.0)]


@pytest.mark.parametrize(
    ("verdicts", "patience", "last", "best"),
    [
        ((5.0, 4.0, 3.0, 2.0, 1.0, 0.5), 2, 11, 5),
        ((5.0, 4.0, 4.5, 4.5, 1.0, 0.5), 2, 7, 1),
        ((5.0, 4.0, 4.5, 3.0, 3.5, 3.5), 2, 11, 3),
        ((5.0, 5.0, 5.0, 1.0, 1.0, 1.0), 2, 5, 0),
        ((5.0, 4.0, 4.5, 4.5, 4.5, 4.5), 0, 11, 1),
        ((float("nan"), 4.0, float("nan"), float("nan"), 1.0, 1.0), 2, 7, 1),
    ],
)
def test_a_run_stops_when_validation_stops_improving_and_keeps_the_best(
    tmp_path: Path, verdicts: tuple[float, ...], patience: int, last: int, best: int
) -> None:
    toy = Toy(verdicts=verdicts)
    settings = config(
        validate_every=2, validation_samples=8, patience=patience, checkpoint_every=100
    )
    path = train(toy, settings, tmp_path)
    assert rows(tmp_path)[-1]["step"] == last
    assert torch.equal(load_file(path)[WEIGHT], toy.validated[best])


def test_a_run_that_stopped_stays_stopped(tmp_path: Path) -> None:
    settings = config(validate_every=2, validation_samples=8, patience=1, checkpoint_every=100)
    path = train(Toy(verdicts=(1.0, 2.0)), settings, tmp_path)
    before, metrics = path.read_bytes(), rows(tmp_path)
    assert metrics[-1]["step"] == 3
    train(Toy(kill_at=4), settings, tmp_path)
    assert path.read_bytes() == before
    assert rows(tmp_path) == metrics


@pytest.mark.parametrize("kill_at", [0, 5, 8, 10])
def test_a_killed_run_remembers_the_best_validation(tmp_path: Path, kill_at: int) -> None:
    settings = config(validate_every=2, patience=3, learning_rate=0.3, decay=0.0, seed=4)
    whole = train(Toy(), settings, tmp_path / "whole")
    losses = [loss for _, loss in validations(tmp_path / "whole")]
    assert np.argmin(losses) not in (0, len(losses) - 1)  # the best comes after some kills
    with pytest.raises(Killed):
        train(Toy(kill_at=kill_at), settings, tmp_path / "killed")
    again = train(Toy(), settings, tmp_path / "killed")
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert again.read_bytes() == whole.read_bytes()


def test_a_recipe_without_validation_is_refused_before_any_step(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Unvalidated has no validation"):
        train(Unvalidated(), config(validate_every=5), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_accumulated_gradients_are_the_mean_over_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    real = torch.optim.AdamW.step

    def step(optimizer: torch.optim.AdamW) -> None:
        seen.append(optimizer.param_groups[0]["params"][0].grad.clone())
        real(optimizer)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    settings = config(steps=1, accumulate=3, precision="no", gradient_clip=1e9, seed=2)
    train(Toy(), settings, tmp_path)

    toy, wanted, losses = Toy(), [], []
    toy.start(0)
    for lane in range(3):
        torch.manual_seed(lane_seed(2, 0, lane))
        random = torch.Generator().manual_seed(lane_seed(2, 0, lane))
        loss = toy.losses(8, random)["loss"]
        wanted.append(torch.autograd.grad(loss, toy.net.get_parameter("0.weight"))[0])
        losses.append(float(loss.detach()))
    assert len(set(losses)) == 3
    assert torch.allclose(seen[0], torch.stack(wanted).mean(0), atol=1e-6)
    assert rows(tmp_path)[0]["loss"] == pytest.approx(np.mean(losses), abs=2e-5)


def test_a_killed_run_with_accumulation_resumes_exactly(tmp_path: Path) -> None:
    whole = train(Toy(), config(accumulate=3), tmp_path / "whole")
    with pytest.raises(Killed):
        train(Toy(kill_at=6), config(accumulate=3), tmp_path / "killed")
    assert (
        train(Toy(), config(accumulate=3), tmp_path / "killed").read_bytes() == whole.read_bytes()
    )
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
