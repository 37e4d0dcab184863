"""The training loop in separate processes: killed by a signal, and several in parallel."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from pigeon_rec.training.loop import train
from tests.conftest import ROOT
from tests.training.toy import Toy, config, rows

pytestmark = pytest.mark.slow


def start(
    folder: Path, environment: dict[str, str] | None = None, **settings: object
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.toy", str(folder), json.dumps(settings)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
    )


def wait_for_step(folder: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (folder / "metrics.jsonl").is_file() and f'"step": {step},' in (
            folder / "metrics.jsonl"
        ).read_text("utf-8"):
            return
        time.sleep(0.02)
    raise AssertionError(f"step {step} was not reached")


def test_a_run_killed_by_a_signal_equals_an_unbroken_one(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 40, "validate_every": 4, "patience": 50}
    train(Toy(), config(**settings), tmp_path / "whole")
    for step in (6, 21):
        run = start(tmp_path / "killed", **settings, pause=0.1)
        wait_for_step(tmp_path / "killed", step)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        assert not (tmp_path / "killed" / "model.safetensors").exists()
    again = Toy()
    path = train(again, config(**settings), tmp_path / "killed")
    assert again.started[0] >= 20
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert path.read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


def test_two_processes_equal_one_with_two_passes(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 6, "validate_every": 3, "precision": "no"}
    train(Toy(), config(**settings, accumulate=2), tmp_path / "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    runs = [
        start(
            tmp_path / "two",
            {**world, "MASTER_PORT": port, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            **settings,
        )
        for rank in range(2)
    ]
    assert [run.wait(timeout=180) for run in runs] == [0, 0]
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, weight in one.items():
        assert two[name].sub(weight).abs().max() < 1e-6, name
    for single, double in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert double == pytest.approx(single, abs=2e-5)
