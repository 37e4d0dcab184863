"""The training loop: resuming, averaging, learning rate and errors."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from pigeon_rec.errors import TrainingError
from pigeon_rec.training import checkpoint
from pigeon_rec.training.loop import learning_rate_factor, train
from tests.training.toy import Killed, Toy, averaged, config, curve, rows


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    train(Toy(), config(), folder)
    return folder


@pytest.mark.parametrize("kill_at", [0, 3, 5, 8, 11])
def test_a_resumed_run_equals_an_unbroken_one(unbroken: Path, tmp_path: Path, kill_at: int) -> None:
    with pytest.raises(Killed):
        train(Toy(kill_at=kill_at), config(), tmp_path)
    again = Toy()
    train(again, config(), tmp_path)
    assert again.started == [kill_at // 4 * 4]
    assert curve(tmp_path) == curve(unbroken)
    weights = (tmp_path / "model.safetensors").read_bytes()
    assert weights == (unbroken / "model.safetensors").read_bytes()


def test_a_run_survives_several_kills(unbroken: Path, tmp_path: Path) -> None:
    for kill_at in (2, 5, 6, 9, 10):
        with pytest.raises(Killed):
            train(Toy(kill_at=kill_at), config(), tmp_path)
    train(Toy(), config(), tmp_path)
    assert curve(tmp_path) == curve(unbroken)


@pytest.mark.parametrize("call", range(1, 12))
def test_killed_while_a_checkpoint_is_written(
    unbroken: Path, tmp_path: Path, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any file operation, the old or the new checkpoint is left whole."""
    calls = 0

    def dying(name: str, whole: Any) -> Any:
        def step(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                raise Killed(name)
            return whole(*arguments, **named)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", dying("save_file", save_file))
        patch.setattr(torch, "save", dying("torch.save", torch.save))
        patch.setattr(Path, "replace", dying("replace", Path.replace))
        patch.setattr(shutil, "rmtree", dying("rmtree", shutil.rmtree))
        with pytest.raises(Killed):
            train(Toy(), config(), tmp_path)
    train(Toy(), config(), tmp_path)
    assert curve(tmp_path) == curve(unbroken)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint",
        "curves.png",
        "metrics.jsonl",
        "model.safetensors",
    ]


def test_a_finished_run_is_not_repeated(unbroken: Path) -> None:
    before = (unbroken / "model.safetensors").read_bytes(), curve(unbroken)
    again = Toy(kill_at=0)
    assert train(again, config(), unbroken) == unbroken / "model.safetensors"
    assert ((unbroken / "model.safetensors").read_bytes(), curve(unbroken)) == before


def test_an_incomplete_line_of_metrics_is_dropped(unbroken: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(Toy(kill_at=6), config(), tmp_path)
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"step": 7, "loss": 0.')
    train(Toy(), config(), tmp_path)
    assert curve(tmp_path) == curve(unbroken)


def test_different_seeds_give_different_runs(unbroken: Path, tmp_path: Path) -> None:
    train(Toy(), config(seed=1), tmp_path)
    assert curve(tmp_path) != curve(unbroken)


def test_a_checkpoint_of_another_model_is_refused_and_kept(tmp_path: Path) -> None:
    train(Toy(), config(), tmp_path)
    before = (tmp_path / "checkpoint" / "module.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="does not fit this model") as refused:
        train(Toy(width=5), config(steps=20), tmp_path)
    assert refused.value.location == str(tmp_path / "checkpoint")
    assert "output folder" in str(refused.value.remedy)
    assert (tmp_path / "checkpoint" / "module.safetensors").read_bytes() == before


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    train(Toy(), config(), tmp_path)
    path = tmp_path / "checkpoint" / "average.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="does not fit"):
        train(Toy(), config(steps=20), tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_before_the_update(
    tmp_path: Path, value: float
) -> None:
    with pytest.raises(TrainingError, match="not finite: loss") as stopped:
        train(Toy(poison=(6, value)), config(log_every=100), tmp_path)
    assert str(stopped.value.location).startswith("step 6")
    for name in ("module", "average"):
        kept = load_file(tmp_path / "checkpoint" / f"{name}.safetensors")
        assert all(torch.isfinite(weight).all() for weight in kept.values())


def test_the_moving_average_is_saved(tmp_path: Path) -> None:
    toy = Toy()
    path = train(toy, config(average=0.7), tmp_path)
    assert torch.allclose(load_file(path)["net.0.weight"], averaged(toy, 0.7), atol=1e-6)
    train(last := Toy(), config(average=0.0), tmp_path / "plain")
    plain = load_file(tmp_path / "plain" / "model.safetensors")
    assert torch.allclose(plain["net.0.weight"], last.path[-1], atol=1e-7)


def test_frozen_weights_stay_and_the_others_change(tmp_path: Path) -> None:
    toy, start = Toy(), Toy()
    weights = load_file(train(toy, config(), tmp_path))
    assert torch.equal(weights["frozen.weight"], start.frozen.weight)
    assert not torch.equal(weights["net.0.weight"], start.net.get_parameter("0.weight"))


def test_metrics_have_every_nth_step_and_the_last(tmp_path: Path) -> None:
    train(Toy(), config(log_every=5), tmp_path)
    assert [step for step, _, _ in curve(tmp_path)] == [0, 5, 10, 11]


def test_both_precisions_run_in_one_process(tmp_path: Path) -> None:
    for precision in ("bf16", "no", "bf16"):
        train(Toy(), config(precision=precision), tmp_path / precision)
    assert curve(tmp_path / "bf16") != curve(tmp_path / "no")


def test_progress_is_shown_on_request_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(Toy(), config(), tmp_path / "silent")
    assert capfd.readouterr() == ("", "")
    train(Toy(), config(), tmp_path / "shown", show_progress=True)
    assert "12/12" in capfd.readouterr().err


def test_the_learning_rate_rises_stays_and_falls() -> None:
    made = config(steps=100, warmup=10, decay=0.4)
    factors = [learning_rate_factor(step, step / 100, made) for step in range(101)]
    assert factors[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert factors[10:61] == [1.0] * 51
    assert factors[61:] == pytest.approx([(100 - step) / 40 for step in range(61, 101)])


def test_a_run_of_minutes_ends_by_the_clock_and_its_learning_rate_falls_with_it() -> None:
    made = config(steps=None, minutes=2.0, warmup=1, decay=0.5)
    done = [made.progress(step=1000, seconds=seconds) for seconds in (0, 60, 90, 120, 500)]
    assert done == [0.0, 0.5, 0.75, 1.0, 1.0]
    assert [learning_rate_factor(9, p, made) for p in done] == [1.0, 1.0, 0.5, 0.0, 0.0]


@pytest.mark.parametrize("both", [{"minutes": 1.0}, {"steps": None}])
def test_a_loop_has_steps_or_minutes(both: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either `steps` or `minutes`"):
        config(**both)


class Clock:
    """A clock that a test moves; every step takes six seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(checkpoint, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def toy(self, kill_at: int = -1) -> Toy:
        toy = Toy(kill_at=kill_at)
        after = toy.after_step

        def ticking(step: int) -> None:
            self.now += 6.0
            after(step)

        toy.after_step = ticking  # type: ignore[method-assign]
        return toy


def test_a_paused_run_keeps_its_time_and_wastes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, made = Clock(monkeypatch), config(steps=None, minutes=1.0, validate_every=4)
    train(clock.toy(), made, tmp_path / "whole")
    assert [row["step"] for row in rows(tmp_path / "whole")] == list(range(10))
    assert "validation_loss" in rows(tmp_path / "whole")[-1]
    with pytest.raises(Killed):
        train(clock.toy(kill_at=6), made, tmp_path / "killed")
    clock.now += 1e6  # a pause
    again = clock.toy()
    path = train(again, made, tmp_path / "killed")
    assert again.started == [4]
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert path.read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    train(clock.toy(kill_at=10), made, tmp_path / "killed")  # it is finished: no further step


@given(
    steps=st.integers(1, 500),
    warmup=st.integers(0, 200),
    decay=st.floats(0, 1),
)
def test_the_learning_rate_factor_is_in_0_to_1_and_never_0(
    steps: int, warmup: int, decay: float
) -> None:
    made = config(steps=steps, warmup=warmup, decay=decay)
    factors = [learning_rate_factor(step, step / steps, made) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)


def test_the_optimiser_uses_the_learning_rate(tmp_path: Path) -> None:
    """Adam's first step has the length of its learning rate, whatever the gradient."""
    toy = Toy()
    before = toy.net.get_parameter("0.weight").detach().clone()
    train(toy, config(steps=1, warmup=100, weight_decay=0.0), tmp_path)
    moved = (toy.path[0] - before).abs()
    assert float(moved.max()) == pytest.approx(0.01 / 100, rel=0.01)
