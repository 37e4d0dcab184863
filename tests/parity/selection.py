"""Which mask ratio wins, and which two make a preference pair."""

from __future__ import annotations

import numpy as np
import torch

from pigeon_rec.scoring.selection import (
    Choice,
    choose_candidates,
    choose_preference_pairs,
    strip_padding,
)
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["selection"]


def selection(golden: Golden, checks: Checks) -> None:
    """The best ratio by both scores; the liked and the disliked one by history alone."""
    options = golden.settings
    target, history = golden["in.tgt_score"].numpy(), golden["in.hist_score"].numpy()
    checks.same_setting("ratios", history.shape[1], len(options["ratios"]))
    chosen = choose_candidates(target, history, options["target_weight"])
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
        rows = [torch.from_numpy(row) for row in strip_padding(sequences, options["pad_token_id"])]
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
