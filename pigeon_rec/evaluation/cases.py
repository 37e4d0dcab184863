"""Evaluation cases: requests with a known truth, for users that no training step has seen.

The truth of a case is the artwork of a held-out (concept, style) pair. Its user is a simulated test
user who prefers that style. Its reference shows the concept in a style that the user does not like.
Its history is retrieved by FAISS from the user's interactions, as in a night.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from pigeon_rec.config import RetrievalConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.world import World, load_world
from pigeon_rec.errors import ConfigError
from pigeon_rec.retrieval import HistoryRetriever
from pigeon_rec.scoring.scorer import load_scorer

__all__ = ["CASE_SCHEMA", "LONG", "cases_with_histories", "held_out_cases"]

CASE_SCHEMA: Final = pl.Schema(
    {
        "case_id": pl.String(),
        "user_id": pl.String(),
        "history_ids": pl.List(pl.String()),
        "reference_id": pl.String(),
        "truth_id": pl.String(),
        "concept": pl.String(),
        "style": pl.String(),
    }
)

LONG: Final = 10
"""Length of the longest history."""

_OTHER_HISTORIES = ("retrieved_ids", "recent_ids", "random_ids", "noise_ids")


def held_out_cases(count: int, seed: int, *, scorer: str = "sticker-64") -> pl.DataFrame:
    """Returns the first `count` cases of a seed; a larger count adds cases at the end.

    Args:
        count: Number of cases; at most the number of held-out pairs (1,178).
        seed: Decides pairs, users and references.
        scorer: Model whose scorer embeds the items for history retrieval.

    Returns:
        `CASE_SCHEMA`; histories of five items, best first.

    Raises:
        ConfigError: `count` is out of range.
        ModelError: There is no such scorer.
    """
    return cases_with_histories(count, seed, scorer=scorer).select(CASE_SCHEMA.names())


def cases_with_histories(count: int, seed: int, *, scorer: str = "sticker-64") -> pl.DataFrame:
    """Returns `held_out_cases` with four more lists of item ids, for baselines and curves.

    Returns:
        `CASE_SCHEMA` and, each `LONG` items long, `retrieved_ids` (in FAISS order; the history is
        its head), `recent_ids` (the user's latest, newest first), `random_ids` (any of the user's)
        and `noise_ids` (any sticker in a style other than the truth's).
    """
    world, order = load_world("bundled"), _Order(seed)
    users = world.test_users()
    cases = _pairs(count, order, world, users.users)
    own = users.interactions.join(cases.select("user_id").unique(), on="user_id", how="semi")
    lists = [
        _retrieved(cases, own, users.end, scorer),
        _recent(cases, own),
        _random(cases, own, order),
        _noise(cases, order, world),
    ]
    for column in lists:
        cases = cases.join(column, on="case_id", validate="1:1", maintain_order="left")
    length = RetrievalConfig().history_length
    cases = cases.with_columns(history_ids=pl.col("retrieved_ids").list.head(length))
    return cases.select(*CASE_SCHEMA.names(), *_OTHER_HISTORIES)


@dataclass(frozen=True)
class _Order:
    """Random sort keys that depend on nothing but a seed and names."""

    seed: int

    def __call__(self, purpose: str, *names: str) -> str:
        text = "/".join((str(self.seed), purpose, *names))
        return hashlib.sha256(text.encode()).hexdigest()


def _pairs(count: int, order: _Order, world: World, users: pl.DataFrame) -> pl.DataFrame:
    """One row per case: the held-out pair, its user and its reference."""
    artwork = world.artwork().select("item_id", "style", "concept", "held_out")
    held_out = artwork.filter("held_out")
    if not 1 <= count <= held_out.height:
        raise ConfigError(
            f"the number of cases must be 1 to {held_out.height}, received {count}",
            location="cases",
        )
    pairs = sorted(held_out.iter_rows(), key=lambda pair: order("pair", pair[0]))
    by_style = _users_by_style(users)
    pictures = _pictures_by_concept(artwork.filter(~pl.col("held_out")))
    rows = []
    for truth, style, concept, _ in pairs[:count]:
        user, liked = min(by_style[style], key=lambda one: order("user", truth, one[0]))
        others = [item for item, other in pictures[concept] if other not in liked]
        reference = min(others, key=lambda item: order("reference", truth, item))
        rows.append((f"{user}/{truth}", user, reference, truth, concept, style))
    columns = ["case_id", "user_id", "reference_id", "truth_id", "concept", "style"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String()), orient="row")


def _users_by_style(users: pl.DataFrame) -> dict[str, list[tuple[str, set[str]]]]:
    """Style -> the users that prefer it, each with all the styles they like."""
    by_style: dict[str, list[tuple[str, set[str]]]] = {}
    columns = ("user_id", "preferred_style", "second_style")
    for user, first, second in users.select(columns).iter_rows():
        by_style.setdefault(first, []).append((user, {first, second}))
    return by_style


def _pictures_by_concept(artwork: pl.DataFrame) -> dict[str, list[tuple[str, str]]]:
    """Concept -> (item id, style) of each of its pictures."""
    pictures: dict[str, list[tuple[str, str]]] = {}
    for item, style, concept in artwork.select("item_id", "style", "concept").iter_rows():
        pictures.setdefault(concept, []).append((item, style))
    return pictures


def _retrieved(
    cases: pl.DataFrame, own: pl.DataFrame, until: datetime, scorer: str
) -> pl.DataFrame:
    item_ids = pl.concat([own["item_id"], cases["reference_id"]]).unique().sort().to_list()
    images, _ = load_catalogue("bundled").images(item_ids, size=64)
    config = RetrievalConfig(history_length=LONG)
    seconds = pl.from_epoch("timestamp", time_unit="s")
    timed = own.with_columns(seconds.dt.replace_time_zone("UTC").dt.cast_time_unit("us"))
    vectors = load_scorer(scorer).encode_images(images)
    retriever = HistoryRetriever(vectors, timed, item_ids, config, until)
    found = retriever.retrieve(cases.select("user_id", pl.col("reference_id").alias("item_id")))
    return cases.select("case_id").with_columns(found["history_ids"].alias("retrieved_ids"))


def _recent(cases: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    newest = pl.struct(-pl.col("timestamp"), "item_id")
    return _listed(cases, own, pl.col("item_id").sort_by(newest).head(LONG), "recent_ids")


def _random(cases: pl.DataFrame, own: pl.DataFrame, order: _Order) -> pl.DataFrame:
    names = own.select("user_id", "item_id").iter_rows()
    keys = pl.Series("key", [order("random", user, item) for user, item in names], pl.String())
    chosen = pl.col("item_id").sort_by("key").head(LONG)
    return _listed(cases, own.with_columns(keys), chosen, "random_ids")


def _listed(cases: pl.DataFrame, own: pl.DataFrame, chosen: pl.Expr, name: str) -> pl.DataFrame:
    """`case_id` and a list of the user's items, without the reference."""
    keys = cases.select("case_id", "user_id", "reference_id")
    items = keys.join(own, on="user_id").filter(pl.col("item_id") != pl.col("reference_id"))
    return items.group_by("case_id").agg(chosen.alias(name))


def _noise(cases: pl.DataFrame, order: _Order, world: World) -> pl.DataFrame:
    stickers = world.training_artwork().select("item_id", "style")
    rows = []
    for case, style in cases.select("case_id", "style").iter_rows():
        others = stickers.filter(pl.col("style") != style)["item_id"]
        seed = int(order("noise", case)[:8], 16)
        rows.append((case, others.sample(LONG, seed=seed).to_list()))
    schema = {"case_id": pl.String(), "noise_ids": pl.List(pl.String())}
    return pl.DataFrame(rows, schema=schema, orient="row")
