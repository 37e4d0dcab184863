"""`python -m benchmarks.ratios`: how few mask ratios find what all eleven find.

Every held-out case is drawn once at all eleven mask ratios with the night's other settings; what a
rule would have drawn and chosen is then read off. Rules that are fitted (which three ratios, how
much is enough) are fitted on the first half of the cases, and told for the second.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.generation import ALL, World, draw, pipeline_for, selection_scores
from benchmarks.result import Bar, Figure, Result, run
from pigeon_rec.config import GenerationConfig
from pigeon_rec.evaluation.bootstrap import mean_interval
from pigeon_rec.evaluation.cases import held_out_cases
from pigeon_rec.evaluation.methods import RATIOS

__all__ = ["Rule", "fitted_rule", "fitted_three", "fixed", "measure"]

CASES: Final = 200
BUDGET: Final = 3.0  # generations per asset
SHARE: Final = 0.99

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """Draws candidates in this order, until one is better than the reference by `enough`."""

    order: tuple[int, ...]
    enough: float = float("inf")

    def drawn(self, gains: Scores) -> NDArray[np.int64]:
        """Candidates drawn of each case, from gains `[cases, ratios]` over the reference."""
        reached = gains[:, list(self.order)] >= self.enough
        first = np.where(reached.any(axis=1), reached.argmax(axis=1), len(self.order) - 1)
        return first.astype(np.int64) + 1

    def best(self, gains: Scores) -> Scores:
        """The best gain among those drawn, `[cases]`."""
        seen = np.maximum.accumulate(gains[:, list(self.order)], axis=1)
        return np.take_along_axis(seen, self.drawn(gains)[:, None] - 1, axis=1)[:, 0]


def fixed(ratios: Sequence[float]) -> Rule:
    """Always these ratios."""
    return Rule(tuple(RATIOS.index(round(ratio, 1)) for ratio in ratios))


def fitted_three(gains: Scores) -> Rule:
    """The three ratios whose best is best on average."""
    threes = itertools.combinations(range(gains.shape[1]), 3)
    return max(map(Rule, threes), key=lambda rule: float(rule.best(gains).mean()))


def fitted_rule(gains: Scores, budget: float = BUDGET) -> Rule:
    """The most demanding rule that draws at most `budget` candidates a case on average.

    The order is greedy: next comes the ratio that adds most to the best so far.
    """
    order: list[int] = []
    best = np.full(len(gains), -np.inf)
    while len(order) < gains.shape[1]:
        rest = [place for place in range(gains.shape[1]) if place not in order]
        after = [float(np.maximum(best, gains[:, place]).mean()) for place in rest]
        order.append(rest[int(np.argmax(after))])
        best = np.maximum(best, gains[:, order[-1]])
    rules = [Rule(tuple(order), float(enough)) for enough in np.unique(gains)]
    return max(
        (rule for rule in rules if rule.drawn(gains).mean() <= budget), key=lambda r: r.enough
    )


def measure(folder: Path, scale: float) -> Result:
    """Draws cases at all ratios and reads the rules off; `scale` is that of their number."""
    cases = max(4, round(CASES * scale))
    ask = World(held_out_cases(cases, 0), folder).ask
    settings = GenerationConfig(mask_ratios=RATIOS)
    drawn = draw(pipeline_for(ALL), ask, ALL, settings)
    scores = selection_scores(drawn, ask, kept=True)
    unchanged = selection_scores(ask.unchanged(), ask, kept=True)
    gains = scores - unchanged
    fit, told = gains[: cases // 2], gains[cases // 2 :]
    rules = {
        "default": fixed(GenerationConfig().mask_ratios),
        "three": fitted_three(fit),
        "adaptive": fitted_rule(fit),
    }
    whole = scores[cases // 2 :].max(axis=1)
    shares = {
        name: (rule.best(told) + unchanged[cases // 2 :, 0]) / whole for name, rule in rules.items()
    }
    figures = [Figure("score of all 11", float(whole.mean()), "", f"{len(told)} cases")]
    for name, rule in rules.items():
        doubt = mean_interval(shares[name])
        figures += [
            Figure(
                f"{name}, share of it",
                doubt.mean,
                "",
                f"95 % interval {doubt.low:.4f} to {doubt.high:.4f}; {_words(rule)}",
            ),
            Figure(f"{name}, drawn", float(rule.drawn(told).mean()), "", "per case"),
        ]
    return Result(
        f"mask ratios: {cases} held-out cases, half to fit and half to tell",
        figures,
        [
            Bar("adaptive, share", float(shares["adaptive"].mean()), SHARE),
            Bar("adaptive, drawn", float(rules["adaptive"].drawn(told).mean()), BUDGET, False),
        ],
    )


def _words(rule: Rule) -> str:
    ratios = ", ".join(str(RATIOS[place]) for place in rule.order)
    return f"mask_ratios [{ratios}]" + (
        f", enough {rule.enough:.4f}" if np.isfinite(rule.enough) else ""
    )


def _command() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    run([measure], scale=options.cases / CASES, as_json=options.json)


if __name__ == "__main__":
    _command()
