"""Trackers of experiments: what TensorBoard reads back, and what happens without one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from accelerate.tracking import GeneralTracker
from accelerate.utils import is_mlflow_available
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pigeon_rec.errors import ConfigError, TrainingError
from pigeon_rec.training import tracking
from pigeon_rec.training.configuration import load_training_config
from pigeon_rec.training.loop import learning_rate_factor, train
from pigeon_rec.training.recipes import run_recipe
from tests.training.toy import Killed, Toy, config, rows

Curves = dict[str, list[tuple[int, float]]]

VALIDATED = {"validate_every": 4, "validation_samples": 8}


def curves(folder: Path) -> Curves:
    """Every scalar of a TensorBoard folder as TensorBoard shows it: step and value."""
    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def of_file(folder: Path) -> Curves:
    """The same of `metrics.jsonl`."""
    written = rows(folder)
    names = dict.fromkeys(name for row in written for name in row if name != "step")
    return {
        name: [(int(row["step"]), row[name]) for row in written if name in row] for name in names
    }


def close_to(expected: Curves) -> dict[str, list[tuple[int, Any]]]:
    """TensorBoard keeps 32 bits."""
    return {
        name: [(step, pytest.approx(value, rel=1e-6)) for step, value in curve]
        for name, curve in expected.items()
    }


def test_tensorboard_shows_losses_validation_and_learning_rate(tmp_path: Path) -> None:
    settings = config(**VALIDATED)
    train(Toy(), settings, tmp_path / "reconstruct", trackers=["tensorboard"])
    shown = curves(tmp_path / "tensorboard" / "reconstruct")
    assert len(shown.pop("samples_per_second")) == 12
    rates = [
        (step, settings.learning_rate * learning_rate_factor(step, step / 12, settings))
        for step in range(12)
    ]
    of_run = of_file(tmp_path / "reconstruct")
    assert shown == close_to({**of_run, "learning_rate": rates})
    assert [step for step, _ in shown["validation_loss"]] == [3, 7, 11]


def test_a_resumed_run_shows_every_step_once(tmp_path: Path) -> None:
    folder = tmp_path / "reconstruct"
    for kill_at in (6, 9, -1):
        try:
            train(Toy(kill_at=kill_at), config(), folder, trackers=["tensorboard"])
        except Killed:
            continue
    shown = curves(tmp_path / "tensorboard" / "reconstruct")
    assert [step for step, _ in shown["loss"]] == list(range(12))
    assert shown["loss"] == close_to(of_file(folder))["loss"]


def test_trackers_change_nothing_of_the_weights(tmp_path: Path) -> None:
    plain = train(Toy(), config(), tmp_path / "plain")
    told = train(Toy(), config(), tmp_path / "told", trackers=["tensorboard"])
    assert plain.read_bytes() == told.read_bytes()
    assert not (tmp_path / "tensorboard" / "plain").exists()


def test_a_tracker_that_is_not_installed_stops_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tracking._INSTALLED, "mlflow", lambda: False)
    settings = load_training_config("smoke").model_copy(update={"trackers": ("mlflow",)})
    with pytest.raises(TrainingError, match="not installed: mlflow") as found:
        run_recipe("tokenizer", settings, tmp_path / "out")
    assert "pip install mlflow" in str(found.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_tracker_is_refused_with_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "training.yaml"
    file.write_text("trackers: [tensorbord]\nloops: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"trackers\.0"):
        load_training_config(file)


class Recorder(GeneralTracker):  # type: ignore[misc]
    """A tracker whose server is away at some moments."""

    name = "recorder"
    requires_logging_directory = False
    tracker = None

    def __init__(self, *, broken: str = "") -> None:
        super().__init__()
        self.broken = broken
        self.told: list[int] = []
        self.finished = False

    def start(self) -> None:
        if self.broken == "start":
            raise ConnectionError("no server")

    def log(self, values: dict[str, Any], step: int | None, **_: Any) -> None:
        if self.broken == "log" and step == 5:
            raise ConnectionError("no server")
        self.told.append(step or 0)

    def finish(self) -> None:
        self.finished = True
        if self.broken == "finish":
            raise ConnectionError("no server")


def trained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *trackers: Recorder
) -> tuple[Recorder, ...]:
    monkeypatch.setattr("pigeon_rec.training.loop.new_trackers", lambda _, __: list(trackers))
    train(Toy(), config(), folder)
    return trackers


def test_a_tracker_that_fails_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = trained(tmp_path, monkeypatch, Recorder(broken="log"), Recorder())
    assert broken.told == list(range(5))
    assert (sound.told, sound.finished) == (list(range(12)), True)
    assert "the tracker recorder failed at step 5 and is told nothing more" in caplog.text
    assert (tmp_path / "model.safetensors").is_file()


def test_a_tracker_that_cannot_end_its_run_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, sound = trained(tmp_path, monkeypatch, Recorder(broken="finish"), Recorder())
    assert sound.finished
    assert "the tracker recorder could not end its run" in caplog.text


def test_a_tracker_that_cannot_start_is_our_error_and_worth_a_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainingError, match="no server") as found:
        trained(tmp_path, monkeypatch, Recorder(broken="start"))
    assert found.value.retryable


@pytest.mark.skipif(is_mlflow_available(), reason="tested with the real one")
def test_mlflow_gets_a_run_with_the_name_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow is in none of our lists: its three functions that accelerate calls stand in for it."""
    calls: list[tuple[str, dict[str, Any]]] = []
    module = ModuleType("mlflow")
    module.search_experiments = lambda **_: [SimpleNamespace(experiment_id="7")]  # type: ignore[attr-defined]
    module.start_run = lambda **named: calls.append(("start", named))  # type: ignore[attr-defined]
    module.log_metrics = lambda values, step: calls.append(("log", {"step": step, **values}))  # type: ignore[attr-defined]
    module.end_run = lambda: calls.append(("end", {}))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(tracking._INSTALLED, "mlflow", lambda: True)
    train(Toy(), config(), tmp_path / "align", trackers=["mlflow"])
    (first, started), *logged, (last, _) = calls
    assert (first, started["run_name"], started["experiment_id"], last) == (
        "start",
        "align",
        "7",
        "end",
    )
    written = of_file(tmp_path / "align")["loss"]
    assert [(row["step"], row["loss"]) for _, row in logged] == written
    assert {"learning_rate", "samples_per_second"} <= logged[0][1].keys()
