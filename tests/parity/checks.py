"""Comparisons of our numbers with recorded ones, collected over a file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["GRADIENT", "LOGITS", "Checks"]

USUAL, LOGITS, GRADIENT = 1e-4, 5e-4, 1e-3
"""Allowed `|a - b| / (1 + |b|)`: in general, after a language model, of gradients and losses."""


@dataclass(frozen=True)
class _Check:
    name: str
    error: float
    passed: bool


@dataclass
class Checks:
    """What was compared, and how far apart it was."""

    done: list[_Check] = field(default_factory=list)

    def close(self, name: str, ours: Tensor, theirs: Tensor, tolerance: float = USUAL) -> None:
        """Floats of one shape: `|a - b| <= tolerance * (1 + |b|)` everywhere."""
        if ours.shape != theirs.shape or not theirs.is_floating_point():
            self._add(f"{name} {list(ours.shape)} for {list(theirs.shape)}", math.inf, False)
            return
        apart = (ours.detach() - theirs).abs() / (1 + theirs.abs())
        error = float(apart.max()) if apart.numel() else 0.0
        self._add(name, error, error <= tolerance)  # NaN is not

    def equal(self, name: str, ours: Tensor, theirs: Tensor) -> None:
        """Whole numbers or truth values of one shape, all the same."""
        if ours.shape != theirs.shape or theirs.is_floating_point():
            self._add(f"{name} {list(ours.shape)} for {list(theirs.shape)}", math.inf, False)
            return
        wrong = int((ours.long() != theirs.long()).sum())
        self._add(name, float(wrong), wrong == 0)

    def same_setting(self, name: str, ours: object, theirs: object) -> None:
        """A setting that our modules fix, or read elsewhere."""
        self._add(f"{name}: settings", 0.0 if ours == theirs else math.inf, ours == theirs)

    def ragged(self, name: str, ours: list[Tensor], theirs: Tensor, counts: Tensor) -> None:
        """Rows of whole numbers of different lengths; theirs padded right."""
        self.equal(f"{name} lengths", torch.tensor([len(row) for row in ours]), counts)
        rows = [row[:count] for row, count in zip(theirs, counts.tolist(), strict=True)]
        same = [torch.equal(a, b) for a, b in zip(ours, rows, strict=True)]
        self._add(name, float(same.count(False)), all(same))

    @property
    def passed(self) -> bool:
        """Whether there was anything to compare, and all of it agreed."""
        return bool(self.done) and all(check.passed for check in self.done)

    def summary(self) -> str:
        """What was compared and the largest error; of a failure, what differs and by how much."""
        wrong = [f"{check.name} ({check.error:.2g})" for check in self.done if not check.passed]
        if wrong:
            return f"{len(wrong)} of {len(self.done)} differ: {', '.join(wrong[:6])}"
        names = sorted({check.name.split(":")[-1].strip() for check in self.done})
        worst = max((check.error for check in self.done), default=0.0)
        return f"{', '.join(names)}; {len(self.done)} comparisons, largest error {worst:.1e}"

    def _add(self, name: str, error: float, passed: bool) -> None:
        self.done.append(_Check(name, error, passed))
