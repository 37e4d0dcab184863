"""Which mask ratio wins, and which two make a preference pair."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pigeon_rec.scoring.selection import Choice, choose_preference_pairs, combine_scores
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["selection", "strip_padding"]


def selection(golden: Golden, checks: Checks) -> None:
    """The best ratio by both scores; the liked and the disliked one by history alone."""
    told = golden.settings
    target, history = golden["in.tgt_score"].numpy(), golden["in.hist_score"].numpy()
    checks.same_setting("ratios", history.shape[1], len(told["ratios"]))
    combined = combine_scores(target, history, told["target_weight"])
    selected = choose_preference_pairs(combined).chosen
    pair = choose_preference_pairs(history)
    for name, choice in (
        ("selected", selected),
        ("chosen", pair.chosen),
        ("rejected", pair.rejected),
    ):
        _compare(golden, checks, name, choice)
    for name, choice in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        tokens = golden["in.tokens"].numpy()
        sequences = tokens[np.arange(len(tokens)), choice.ratio, choice.sequence]
        rows = [torch.from_numpy(row) for row in strip_padding(sequences, told["pad_token_id"])]
        counts = golden[f"out.{name}.token_count"]
        checks.ragged(f"{name}: tokens", rows, golden[f"out.{name}.tokens"], counts)


def _compare(golden: Golden, checks: Checks, name: str, choice: Choice) -> None:
    for field, ours in (
        ("ratio_index", choice.ratio),
        ("seq", choice.sequence),
        ("image", choice.image),
    ):
        checks.equal(f"{name}: {field}", torch.from_numpy(ours), golden[f"out.{name}.{field}"])
    score = torch.from_numpy(np.asarray(choice.score))
    checks.close(f"{name}: score", score, golden[f"out.{name}.score"])


def strip_padding(tokens: ArrayLike, pad_id: int) -> list[NDArray[np.int64]]:
    """Cuts the trailing padding of every token row.

    Args:
        tokens: `int64 [n, length]`, padded on the right; `pad_id` may also occur inside a row.
        pad_id: Padding id (the published code pads with the end-of-sequence id, 2).

    Returns:
        `n` rows `int64 [length_i]`; empty for a row of padding only.
    """
    rows = np.asarray(tokens, np.int64)
    trailing = np.cumprod(rows[:, ::-1] == pad_id, axis=1).sum(axis=1)
    return [row[: len(row) - cut] for row, cut in zip(rows, trailing, strict=True)]
