"""Metrics of a training run: the log file, the progress bar and the loss curves."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

__all__ = ["Metrics", "draw_curves"]

_VALIDATION = "validation_"
_NO_CURVE = {"step", "samples_per_second"}


class Metrics:
    """The file `metrics.jsonl` and the progress bar of one process.

    A row has `step`, the losses of that step, `samples_per_second` since the previous row, and
    `validation_...` losses if the step was validated. Rows from step `first` on, and an incomplete
    last row, are removed from an existing file.

    Args:
        path: The file; None writes nothing and shows no bar.
        label: Label of the bar.
        first: First step of a resumed run.
        steps: Steps of the whole run; None if the clock ends it.
        samples_per_step: Samples per step over all processes.
        show: Whether to show the bar.
    """

    def __init__(
        self,
        path: Path | None,
        label: str,
        first: int,
        steps: int | None,
        samples_per_step: int,
        *,
        show: bool,
    ) -> None:
        self._log = None if path is None else _open(path, first)
        self._samples_per_step = samples_per_step
        self._bar: tqdm[Any] = tqdm(
            desc=label,
            initial=first,
            total=steps,
            unit="step",
            file=sys.stderr,
            disable=not show or path is None,
            # Off a terminal, each update is a line in a log.
            mininterval=0.1 if sys.stderr.isatty() else 10.0,
        )
        self._since, self._steps, self._loss = time.perf_counter(), 0, math.nan

    def close(self) -> None:
        """Closes the bar and the file."""
        self._bar.close()
        if self._log is not None:
            self._log.close()

    def step_done(self, progress: float) -> None:
        """Advances the bar; `progress` is the share of the run that is done."""
        self._steps += 1
        loss = "" if math.isnan(self._loss) else f", loss {self._loss:.4g}"
        shown = f"{progress:.0%}{loss}, {self._rate():.1f} samples/s"
        self._bar.set_postfix_str(shown, refresh=False)
        self._bar.update()

    def write(
        self, step: int, losses: Mapping[str, float], validation: Mapping[str, float]
    ) -> dict[str, float]:
        """Writes and returns the row of a step, and resets the sample rate."""
        rate = {"samples_per_second": round(self._rate(), 1)}
        validated = {_VALIDATION + name: value for name, value in validation.items()}
        row = {"step": step, **losses, **rate, **validated}
        if self._log is not None:
            self._log.write(json.dumps(row) + "\n")
            self._log.flush()
        self._since, self._steps, self._loss = time.perf_counter(), 0, losses["loss"]
        return row

    def _rate(self) -> float:
        seconds = time.perf_counter() - self._since
        return self._steps * self._samples_per_step / max(seconds, 1e-9)


def _open(path: Path, first: int) -> TextIO:
    earlier = []
    if path.is_file():
        lines = path.read_text("utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("}\n")]
        earlier = [line for line in whole if json.loads(line)["step"] < first]
    path.write_text("".join(earlier), "utf-8")
    return path.open("a", encoding="utf-8")


def draw_curves(metrics: Path, image: Path) -> Path:
    """Plots every loss of a `metrics.jsonl` over the steps, training and validation together."""
    # Without pyplot: no window system and no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
    names = dict.fromkeys(name.removeprefix(_VALIDATION) for row in rows for name in row)
    shown = [name for name in names if name not in _NO_CURVE]
    figure = Figure(figsize=(6.0, 2.2 * max(1, len(shown))), layout="constrained")
    FigureCanvasAgg(figure)
    for place, name in enumerate(shown, start=1):
        axes = figure.add_subplot(len(shown), 1, place, title=name, xlabel="step")
        for key, label in ((name, "training"), (_VALIDATION + name, "validation")):
            points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), marker="." if len(points) < 40 else "",
                          label=label)  # fmt: skip
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(image, dpi=80)
    return image
