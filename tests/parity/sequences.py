"""Labels as the published code lays them out: beside the ids, one position after their logits."""

from __future__ import annotations

from torch import Tensor

from pigeon_rec.training.preference import IGNORED

__all__ = ["label_counts", "shifted"]


def shifted(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits `[B, L - 1, V]` and the labels `[B, L - 1]` that they predict."""
    return logits[:, :-1], labels[:, 1:]


def label_counts(labels: Tensor) -> Tensor:
    """Predicted labels of each row of `[B, L]`, int64 `[B]`."""
    return labels[:, 1:].ne(IGNORED).sum(1)
