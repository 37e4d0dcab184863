"""The metrics file, the progress bar and the loss curves."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pigeon_rec.training.metrics import Metrics, draw_curves


def write(path: Path, rows: list[dict[str, float]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def ink(image: Path) -> int:
    with Image.open(image) as opened:
        return int((np.asarray(opened.convert("L")) < 250).sum())


def test_every_loss_has_its_own_panel(tmp_path: Path) -> None:
    rows = [{"step": s, "loss": 1 / (s + 1), "samples_per_second": 9.0} for s in range(60)]
    one = draw_curves(write(tmp_path / "one.jsonl", rows), tmp_path / "one.png")
    two = draw_curves(
        write(tmp_path / "two.jsonl", [r | {"accuracy": 0.5} for r in rows]), tmp_path / "two.png"
    )
    with Image.open(one) as small, Image.open(two) as large:
        assert small.format == large.format == "PNG"
        assert large.width == small.width
        assert large.height == 2 * small.height


def test_curves_show_training_and_validation(tmp_path: Path) -> None:
    rows = [{"step": s, "loss": 1 / (s + 1)} for s in range(0, 60, 10)]
    plain = draw_curves(write(tmp_path / "a.jsonl", rows), tmp_path / "a.png")
    validated = [row | ({"validation_loss": 0.5} if row["step"] else {}) for row in rows]
    both = draw_curves(write(tmp_path / "b.jsonl", validated), tmp_path / "b.png")
    with Image.open(plain) as a, Image.open(both) as b:
        assert a.size == b.size
    assert ink(both) > ink(plain)


def test_plotting_changes_no_global_state(tmp_path: Path) -> None:
    from matplotlib import pyplot

    draw_curves(write(tmp_path / "a.jsonl", [{"step": 0, "loss": 1.0}]), tmp_path / "a.png")
    assert pyplot.get_fignums() == []


def test_the_sample_rate_covers_the_time_since_the_previous_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("pigeon_rec.training.metrics.time.perf_counter", lambda: now)
    with closing(Metrics(tmp_path / "m.jsonl", "toy", 0, 9, 16, show=False)) as metrics:
        for step in range(6):
            now += 0.5
            metrics.step_done(1.0)
            if step in (1, 5):
                metrics.write(step, {"loss": 1.0}, {})
    rows = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text("utf-8").splitlines()]
    assert [row["samples_per_second"] for row in rows] == [32.0, 32.0]


def test_the_bar_shows_loss_rate_and_time_left(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(Metrics(tmp_path / "m.jsonl", "toy", 2, 4, 16, show=True)) as metrics:
        metrics.step_done(0.5)
        metrics.write(2, {"loss": 0.25}, {})
        metrics.step_done(0.75)
    shown = capfd.readouterr().err
    assert "toy:" in shown
    assert "4/4" in shown
    assert "75%, loss 0.25" in shown
    assert "samples/s" in shown
    assert "<" in shown  # tqdm's elapsed<left


def test_without_a_path_nothing_is_written_or_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(Metrics(None, "toy", 0, 4, 16, show=True)) as metrics:
        metrics.step_done(0.5)
        metrics.write(0, {"loss": 0.5}, {})
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
