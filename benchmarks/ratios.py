"""`python -m benchmarks.ratios`: how few rendered candidates find what all eleven find.

Every held-out case is drawn once at all eleven mask ratios with the night's other settings; what a
rule would have rendered and chosen is then read off. A rule renders the same ratios for all, or
those whose previews score best. The three ratios that are best on average are fitted on the first
half of the cases, and all rules are told for the second. So is a night: three renderings, of the
best previews among all that it writes.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.generation import World
from benchmarks.result import Bar, Figure, Result
from benchmarks.runner import run
from benchmarks.techniques import ALL, draw, drawer_for, selection_scores, write
from pigeon_rec.evaluation.cases import held_out_cases
from pigeon_rec.evaluation.methods import RATIOS
from pigeon_rec.runtime.bootstrap import mean_interval
from pigeon_rec.scoring import shortlist

__all__ = ["fitted_three", "measure", "reached"]

CASES: Final = 200
BUDGET: Final = 3  # rendered candidates per asset
SHARE: Final = 0.99

Scores = NDArray[np.float64]
Places = NDArray[np.int64]


def reached(scores: Scores, places: Places | Sequence[int]) -> Scores:
    """The best score `[cases]` among the rendered candidates.

    Args:
        scores: Of all candidates, `[cases, ratios]`.
        places: Those that are rendered, of each case `[cases, n]` or of all alike `[n]`.
    """
    chosen = np.broadcast_to(places, (len(scores), np.shape(places)[-1]))
    best: Scores = np.take_along_axis(scores, chosen, axis=1).max(axis=1)
    return best


def fitted_three(scores: Scores) -> tuple[int, ...]:
    """The three ratios whose best is best on average."""
    threes = itertools.combinations(range(scores.shape[1]), BUDGET)
    return max(threes, key=lambda three: float(reached(scores, three).mean()))


def measure(folder: Path, scale: float) -> Result:
    """Draws cases at all ratios and reads the rules off; `scale` is that of their number."""
    cases = max(4, round(CASES * scale))
    requests = World(held_out_cases(cases, 0), folder).requests
    night = drawer_for(ALL)
    every = night.with_generation(mask_ratios=RATIOS, rendered=None)
    codes = write(every, requests, ALL)
    rendered = every.render(codes, requests)
    scores = selection_scores(every, requests, rendered, keep_scorer=True)
    previews = every.pipeline.preview(codes)
    seen = selection_scores(every, requests, previews, keep_scorer=True)
    night = night.with_generation(rendered=BUDGET)
    served = draw(night, requests, ALL)
    ours = selection_scores(night, requests, served, keep_scorer=True).max(axis=1)
    half = cases // 2
    three = fitted_three(scores[:half])
    scores, seen, ours = scores[half:], seen[half:], ours[half:]
    whole = scores.max(axis=1)
    rules: dict[str, Places | Sequence[int]] = {
        f"the best three on average ({', '.join(str(RATIOS[place]) for place in three)})": three,
        **{
            f"the best {_NUMBERS[count]} previews": shortlist(seen, count)
            for count in (1, 2, BUDGET)
        },
    }
    told = {name: mean_interval(reached(scores, places) / whole) for name, places in rules.items()}
    name = f"a night's three of {len(night.generation.mask_ratios)} written"
    told[name] = mean_interval(ours / whole)
    return Result(
        f"mask ratios: {cases} held-out cases, half to fit and half to tell",
        [
            Figure("all eleven, score", float(whole.mean()), "", f"{len(whole)} cases"),
            *(
                Figure(
                    f"{name}, share of it",
                    share.mean,
                    "",
                    f"95 % interval {share.low:.4f} to {share.high:.4f}",
                )
                for name, share in told.items()
            ),
        ],
        [Bar("three renderings of a night, share", told[name].mean, SHARE)],
    )


_NUMBERS: Final = {1: "one", 2: "two", BUDGET: "three"}


def _command() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    run([measure], scale=options.cases / CASES, as_json=options.json)


if __name__ == "__main__":
    _command()
