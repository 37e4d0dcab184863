"""Which mask ratio wins, and which two make a preference pair."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pigeon_rec.scoring import Choice, choose_preference_pairs, combine_scores
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["selection"]


def selection(golden: Golden, checks: Checks) -> None:
    """The best ratio by both scores; the liked and the disliked one by history alone."""
    options = golden.settings
    target, history = golden["in.tgt_score"].numpy(), golden["in.hist_score"].numpy()
    checks.same_setting("ratios", history.shape[1], len(options["ratios"]))
    # The paper's choice at inference is the chosen side of a pair by the combined score.
    combined = combine_scores(target, history, options["target_weight"])
    chosen = choose_preference_pairs(combined).chosen
    pair = choose_preference_pairs(history)
    for name, choice in (
        ("selected", chosen),
        ("chosen", pair.chosen),
        ("rejected", pair.rejected),
    ):
        _compare(golden, checks, name, choice)
    for name, choice in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        tokens = golden["in.tokens"].numpy()
        sequences = tokens[np.arange(len(tokens)), choice.ratio, choice.sequence]
        rows = [_without_padding(row, options["pad_token_id"]) for row in sequences]
        counts = golden[f"out.{name}.token_count"]
        checks.ragged(f"{name}: tokens", rows, golden[f"out.{name}.tokens"], counts)


def _without_padding(tokens: NDArray[np.int64], pad_id: int) -> torch.Tensor:
    """Cuts the trailing padding; the padding id may also stand inside."""
    kept = np.flatnonzero(tokens != pad_id)
    return torch.from_numpy(tokens[: kept[-1] + 1 if kept.size else 0])


def _compare(golden: Golden, checks: Checks, name: str, choice: Choice) -> None:
    for field, ours in (
        ("ratio_index", choice.ratio),
        ("seq", choice.sequence),
        ("image", choice.image),
    ):
        checks.equal(f"{name}: {field}", torch.from_numpy(ours), golden[f"out.{name}.{field}"])
    score = torch.from_numpy(np.asarray(choice.score))
    checks.close(f"{name}: score", score, golden[f"out.{name}.score"])
