"""Chooses what a catalogue holds out from every training step.

A picture of something held out cannot have been recalled from training. Where items of one group
(such as a concept) come in several styles, (group, style) pairs are held out: the group is known
from its other styles, and the style from other groups. All other items are held out one by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import polars as pl

__all__ = ["MOST", "SHARE", "choose_held_out"]

SHARE = 0.1
"""Share of the pairs, and of the items outside pairs, that is held out."""
MOST = 2000
"""Most pairs, and most single items, that are held out."""
_LEAST = 20
_MOST_STYLES = 3


def choose_held_out(items: pl.DataFrame) -> pl.Series:
    """Chooses by hashes of ids and names, so that the choice hardly changes as a catalogue grows.

    Whatever has a picture that another item has too is not held out: training would see it there.
    Of a concept, one item stays, so that a judge may know it.
    Of small catalogues up to a quarter is held out, so that there is something to evaluate.

    Args:
        items: `item_id`, `style` and `concept` (both may be null), `image_sha256`, and `chosen`:
            whether a user has chosen the item, without which a single item makes no case.

    Returns:
        Bool `[n]`, named `held_out`.
    """
    styles = pl.col("style").drop_nulls().n_unique().over("concept")
    paired = pl.col("concept").is_not_null() & pl.col("style").is_not_null() & (styles > 1)
    alone = pl.len().over("image_sha256") == 1
    known = items.with_columns(paired=paired.fill_null(value=False), alone=alone)
    pairs = _pairs(known.filter("paired"))
    single = known.filter(~pl.col("paired") & pl.col("alone") & pl.col("chosen"))
    singles = _drawn(single["item_id"])
    singles -= _last_of_concepts(known, singles)
    names = pl.concat_str("style", "concept", separator="/")
    of_pair = (pl.col("paired") & names.is_in(list(pairs))).fill_null(value=False)
    held_out = of_pair | pl.col("item_id").is_in(list(singles))
    return known.select(held_out.alias("held_out"))["held_out"]


def _pairs(items: pl.DataFrame) -> set[str]:
    """Held-out `style/concept` names: at most three styles of a concept, and never all of them."""
    cells = (
        items.group_by("concept", "style")
        .agg(pl.col("alone").all())
        .with_columns(name=pl.concat_str("style", "concept", separator="/"))
    )
    room = {
        concept: min(_MOST_STYLES, count - 1)
        for concept, count in cells.group_by("concept").len().iter_rows()
    }
    concept_of = dict(cells.select("name", "concept").iter_rows())
    chosen: set[str] = set()
    wanted = _drawn(cells.filter("alone")["name"])
    for name in sorted(wanted, key=_draw):
        if room[concept_of[name]] > 0:
            room[concept_of[name]] -= 1
            chosen.add(name)
    return chosen


def _last_of_concepts(items: pl.DataFrame, drawn: set[str]) -> set[str]:
    """Of concepts all of whose items are drawn, the item that is drawn last."""
    concepts = items.drop_nulls("concept").group_by("concept").agg("item_id")
    whole = [ids for ids in concepts["item_id"].to_list() if drawn.issuperset(ids)]
    return {max(ids, key=_draw) for ids in whole}


def _drawn(names: Iterable[str]) -> set[str]:
    """Names whose hash lies in the share; a few of a small number, at most `MOST`."""
    drawn = sorted((_draw(name), name) for name in set(names))
    inside = sum(value < SHARE for value, _ in drawn)
    return {name for _, name in drawn[: min(MOST, len(drawn) // 4, max(inside, _LEAST))]}


def _draw(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(f"held-out:{name}".encode()).digest()[:8], "big") / 2**64
