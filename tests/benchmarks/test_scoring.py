"""Batched scoring and scoring one by one."""

from __future__ import annotations

import numpy as np

from benchmarks import scoring


def test_both_ways_of_scoring_agree() -> None:
    sample = scoring.made_samples(8)
    together, alone = scoring.batched(sample), scoring.one_by_one(sample)
    assert together.keys() == alone.keys() == {"text", "history", "reference"}
    for name in together:
        assert together[name].shape == (8, 2)
        np.testing.assert_allclose(together[name], alone[name], atol=1e-4)
