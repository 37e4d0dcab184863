"""Progress on stderr: a bar with rate and time left on a terminal, log lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from tqdm import tqdm

if TYPE_CHECKING:
    from pigeon_rec.runtime.progress import Progress

__all__ = ["Bars", "choose_progress"]


class Bars:
    """One `tqdm` bar per label; the bar of a label closes when the label is done or changes."""

    def __init__(self) -> None:
        self._label: str | None = None
        self._bar: tqdm[NoReturn] | None = None

    def __call__(self, label: str, done: int, total: int, **fields: float) -> None:
        """Moves the bar of `label` to `done` of `total`; `fields` are shown behind it."""
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
        """Leaves the current bar as it stands and starts a new line."""
        if self._bar is not None:
            self._bar.close()
        self._label = self._bar = None


def choose_progress(*, quiet: bool) -> Progress:
    """Returns silence, bars or log lines, by the wish of the caller and the kind of stderr."""
    from pigeon_rec.runtime.progress import log_lines, log_progress, silent

    if quiet:
        return silent
    if sys.stderr.isatty():
        return Bars()
    log_lines(sys.stderr)
    return log_progress()


def _new_bar(label: str, total: int) -> tqdm[NoReturn]:
    # A label names what is counted ("item images", "assets of shard 3"): "... 4.2 assets/s".
    counted = label.partition(" of ")[0]
    unit = f" {counted.rsplit(maxsplit=1)[-1]}"
    bar: tqdm[NoReturn] = tqdm(
        total=total, desc=label, unit=unit, file=sys.stderr, dynamic_ncols=True
    )
    return bar
