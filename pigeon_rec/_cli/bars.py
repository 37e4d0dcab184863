"""Progress on stderr: bars on a terminal, log lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from tqdm import tqdm

if TYPE_CHECKING:
    from pigeon_rec.runtime.progress import Progress

__all__ = ["Bars", "choose_progress"]


class Bars:
    """Progress as `tqdm` bars, one per label; a bar closes when it is full or the label changes."""

    def __init__(self) -> None:
        self._label: str | None = None
        self._bar: tqdm[NoReturn] | None = None

    def __call__(self, label: str, done: int, total: int, **fields: float) -> None:
        """Moves the bar of `label` to `done` of `total` and shows `fields` after it."""
        if label != self._label or self._bar is None:
            self.close()
            self._label, self._bar = label, _new_bar(label, total)
        self._bar.total = total
        if fields:
            self._bar.set_postfix({k: f"{v:.3g}" for k, v in fields.items()}, refresh=False)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Closes the current bar where it is and starts a new line."""
        if self._bar is not None:
            self._bar.close()
        self._label = self._bar = None


def choose_progress(*, quiet: bool) -> Progress:
    """Returns no progress if `quiet`, bars if stderr is a terminal, else log lines."""
    from pigeon_rec.runtime.progress import log_lines, log_progress, silent

    if quiet:
        return silent
    if sys.stderr.isatty():
        return Bars()
    log_lines(sys.stderr)
    return log_progress()


def _new_bar(label: str, total: int) -> tqdm[NoReturn]:
    # The unit is the last word before " of ": "assets of shard 3" is counted in assets.
    counted = label.partition(" of ")[0]
    unit = f" {counted.rsplit(maxsplit=1)[-1]}"
    bar: tqdm[NoReturn] = tqdm(
        total=total, desc=label, unit=unit, file=sys.stderr, dynamic_ncols=True
    )
    return bar
