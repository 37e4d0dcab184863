"""What a rule for rendering candidates reaches."""

from __future__ import annotations

import numpy as np

from benchmarks.ratios import fitted_three, reached


def test_a_rule_reaches_the_best_candidate_that_it_renders() -> None:
    scores = np.array([[0.1, 0.3, 0.2], [0.5, 0.1, 0.6]])
    assert reached(scores, (0, 2)).tolist() == [0.2, 0.6]
    assert reached(scores, np.array([[1], [0]])).tolist() == [0.3, 0.5]
    many = np.random.default_rng(0).normal(size=(60, 11))
    many[:, 7] += 1.0
    three = fitted_three(many)
    assert 7 in three
    assert all(
        reached(many, three).mean() >= reached(many, (7, *other)).mean()
        for other in ((0, 1), (9, 10), (3, 5))
    )
