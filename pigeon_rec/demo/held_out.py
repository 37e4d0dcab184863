"""Chooses the (style, concept) pairs of a world that are held out from every training step."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = ["HELD_OUT_SHARE", "MAX_HELD_OUT_STYLES", "choose_held_out"]

HELD_OUT_SHARE = 0.1
MAX_HELD_OUT_STYLES = 3


def choose_held_out(
    pairs: Sequence[tuple[str, str]],
    excluded: Iterable[tuple[str, str]] = (),
    *,
    share: float = HELD_OUT_SHARE,
) -> set[tuple[str, str]]:
    """Chooses the held-out pairs: a share of every style, at most three styles of a concept.

    Pairs are taken in the order of a hash of their names, so the choice depends on nothing else.

    Args:
        pairs: All (style, concept) pairs of the catalogue.
        excluded: Pairs that would test nothing, since another item has the same picture.
        share: Held-out pairs of a style over all its pairs.
    """
    quota = {s: round(share * n) for s, n in Counter(s for s, _ in pairs).items()}
    per_concept: Counter[str] = Counter()
    chosen: set[tuple[str, str]] = set()
    for style, key in sorted(set(pairs) - set(excluded), key=_draw):
        if quota[style] > 0 and per_concept[key] < MAX_HELD_OUT_STYLES:
            chosen.add((style, key))
            quota[style] -= 1
            per_concept[key] += 1
    return chosen


def _draw(pair: tuple[str, str]) -> str:
    return hashlib.sha256(f"held-out:{pair[0]}/{pair[1]}".encode()).hexdigest()
