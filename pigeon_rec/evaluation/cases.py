"""Evaluation cases: requests about something that no training step has read.

Where concepts come in several styles, the *truth* of a case is the held-out picture of a concept in
the style that the user prefers; the reference shows the concept in a style that the user does not
like. Of other held-out items no truth is known: the reference is the item's own picture, for a user
who has chosen it (and, if there are styles, prefers another one). Histories are retrieved by FAISS
from the user's interactions, as in a night, and hold nothing held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.config import PlanConfig, RetrievalConfig
from pigeon_rec.data.dataset import CaseUsers, Dataset, load_dataset
from pigeon_rec.errors import ConfigError
from pigeon_rec.retrieval import HistoryRetriever, shared_pictures
from pigeon_rec.scoring.scorer import Scorer, load_scorer

__all__ = ["CASE_SCHEMA", "LONG", "cases_of", "cases_with_histories", "held_out_cases"]

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
"""`truth_id`, `concept` and `style` (the user's) are null where they are not known."""

LONG: Final = 10
"""Length of the longest history, unless users have fewer items."""

_OWN_ITEMS = ("retrieved_ids", "recent_ids", "random_ids")
_OTHER_HISTORIES = (*_OWN_ITEMS, "noise_ids")
_SIDE: Final = 64
_ENOUGH_USERS: Final = 20
_RANKED: Final = 1000
_EMBEDDED: Final = 1024


def held_out_cases(count: int, seed: int, *, scorer: str = "sticker-64") -> pl.DataFrame:
    """Returns the first `count` cases of the bundled stickers; a larger count adds cases.

    Args:
        count: Number of cases; there are as many as held-out pairs (1,178).
        seed: Decides pairs, users and references.
        scorer: Model whose scorer embeds the items for history retrieval.

    Returns:
        `CASE_SCHEMA`; histories of five items, best first.

    Raises:
        ConfigError: `count` is below 1.
        ModelError: There is no such scorer.
    """
    return cases_with_histories(count, seed, scorer=scorer).select(CASE_SCHEMA.names())


def cases_with_histories(count: int, seed: int, *, scorer: str = "sticker-64") -> pl.DataFrame:
    """Returns `held_out_cases` with the further lists of `cases_of`."""
    return cases_of(load_dataset(), count, seed, load_scorer(scorer))


def cases_of(
    data: Dataset, count: int, seed: int, scorer: Scorer, side: int = _SIDE
) -> pl.DataFrame:
    """Returns at most `count` cases of a catalogue.

    Args:
        data: The catalogue with its users.
        count: Number of cases; fewer if there are fewer held-out items with a user.
        seed: Decides pairs, users and references.
        scorer: Embeds the items for history retrieval.
        side: Side of the pictures in pixels, as the evaluated model sees them.

    Returns:
        `CASE_SCHEMA` and four more lists of item ids, for baselines and curves, of one length
        (`LONG`, unless users have fewer items): `retrieved_ids` (in FAISS order; the history is its
        head), `recent_ids` (the user's latest, newest first), `random_ids` (any of the user's) and
        `noise_ids` (any item in another style than the case's, or without styles of other users;
        there may be fewer).

    Raises:
        ConfigError: `count` is below 1, or the catalogue has no case.
    """
    if count < 1:
        raise ConfigError(f"the number of cases must be 1 or more, received {count}",
                          location="cases")  # fmt: skip
    order, users = _Order(seed), data.case_users()
    hidden = shared_pictures(data.catalogue, PlanConfig().placeholder_share).placeholders
    own = users.interactions.filter(~pl.col("item_id").is_in(list(hidden)))
    cases = _Cases(data, replace(users, interactions=own), order).first(count)
    own = own.join(cases.select("user_id").unique(), on="user_id", how="semi")
    vectors = _Vectors.of(data, [own["item_id"], cases["reference_id"], cases["truth_id"]],
                          scorer, side)  # fmt: skip
    own = own.filter(~pl.col("item_id").is_in(vectors.broken))
    cases = _drawable(cases, own, vectors)
    if cases.is_empty():
        raise ConfigError(
            "there is no case: no held-out item has a user with five other items whose pictures "
            "can be used",
            location=data.name,
            remedy="Give more items and interactions",
        )
    lists = [
        _retrieved(cases, own, users.end, vectors),
        _recent(cases, own),
        _random(cases, own, order),
        _noise(cases, own, data, order),
    ]
    for column in lists:
        cases = cases.join(column, on="case_id", validate="1:1", maintain_order="left")
    lengths = [cases.select(pl.col(name).list.len().min()).item() for name in _OWN_ITEMS]
    cases = cases.with_columns(pl.col(name).list.head(min(lengths)) for name in _OTHER_HISTORIES)
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

    def first(self, candidates: Sequence[str], purpose: str, *names: str) -> str:
        """One of many candidates, which must be sorted."""
        if len(candidates) <= _RANKED:
            return min(candidates, key=lambda one: self(purpose, *names, one))
        return candidates[int(self(purpose, *names)[:12], 16) % len(candidates)]


class _Cases:
    """Finds users and references for held-out items."""

    def __init__(self, data: Dataset, users: CaseUsers, order: _Order) -> None:
        self._order = order
        self._held_out = data.held_out_items()
        counts = users.interactions.group_by("user_id").agg(pl.col("item_id").n_unique())
        patient = set(counts.filter(pl.col("item_id") > LONG)["user_id"])
        few = set(counts.filter(pl.col("item_id") > RetrievalConfig().history_length)["user_id"])
        self._users = sorted(patient if len(patient) >= _ENOUGH_USERS else few)
        known = set(self._users)
        self._liked: dict[str, tuple[str, str | None]] = {}
        self._by_style: dict[str, list[str]] = {}
        columns = ("user_id", "preferred_style", "second_style")
        for user, first, second in users.tastes.select(columns).iter_rows():
            if user in known:
                self._liked[user] = (first, second)
                self._by_style.setdefault(first, []).append(user)
        self._pictures: dict[str, list[tuple[str, str]]] = {}
        labelled = data.training_items().drop_nulls(["style", "concept"])
        for item, style, concept in labelled.select("item_id", "style", "concept").iter_rows():
            self._pictures.setdefault(concept, []).append((item, style))
        self._choosers: dict[str, list[str]] = {}
        for user, item in users.chosen.sort("user_id", "item_id").iter_rows():
            if user in known:
                self._choosers.setdefault(item, []).append(user)

    def first(self, count: int) -> pl.DataFrame:
        """One row per case, without histories, in an order that depends on the seed alone."""
        rows: list[tuple[str | None, ...]] = []
        wanted = self._held_out.select("item_id", "style", "concept").rows()
        for item, style, concept in sorted(wanted, key=lambda row: self._order("pair", row[0])):
            found = self._pair(item, style, concept) or self._single(item, style, concept)
            if found is not None:
                rows.append((f"{found[0]}/{item}", *found))
            if len(rows) == count:
                break
        columns = ["case_id", "user_id", "reference_id", "truth_id", "concept", "style"]
        return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String()), orient="row")

    def _pair(
        self, truth: str, style: str | None, concept: str | None
    ) -> tuple[str, str, str, str, str] | None:
        """User, reference, truth, concept and style; None if nobody prefers the style."""
        users = self._by_style.get(style or "")
        if style is None or concept is None or not users or concept not in self._pictures:
            return None
        user = self._order.first(users, "user", truth)
        others = [item for item, other in self._pictures[concept] if other not in self._liked[user]]
        if not others:
            return None
        reference = min(others, key=lambda item: self._order("reference", truth, item))
        return user, reference, truth, concept, style

    def _single(
        self, item: str, style: str | None, concept: str | None
    ) -> tuple[str, str, None, str | None, str | None] | None:
        """User, reference, no truth, concept, and the style that the user prefers."""
        for users in (self._choosers.get(item, []), self._users):
            apart = [user for user in users if self._liked.get(user, (style,))[0] != style]
            if apart:
                user = self._order.first(apart, "user", item)
                return user, item, None, concept, self._liked[user][0]
        for users in (self._choosers.get(item, []), self._users):
            if users:
                return self._order.first(users, "user", item), item, None, concept, None
        return None


@dataclass(frozen=True)
class _Vectors:
    """Embeddings of items, and the items whose pictures cannot be used."""

    item_ids: list[str]
    vectors: NDArray[np.float32]
    broken: list[str]

    @classmethod
    def of(cls, data: Dataset, named: Sequence[pl.Series], scorer: Scorer, side: int) -> _Vectors:
        wanted = pl.concat(named).drop_nulls().unique().sort().to_list()
        parts, broken = [], set()
        for start in range(0, len(wanted), _EMBEDDED):
            images, problems = data.catalogue.images(wanted[start : start + _EMBEDDED], side)
            parts.append(scorer.encode_images(images))
            broken |= {problem.subject for problem in problems}
        vectors = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
        kept = [row for row, item in enumerate(wanted) if item not in broken]
        return cls([wanted[row] for row in kept], vectors[kept], sorted(broken))


def _drawable(cases: pl.DataFrame, own: pl.DataFrame, vectors: _Vectors) -> pl.DataFrame:
    """Cases whose pictures can be used, of users with enough other items."""
    keys = cases.select("case_id", "user_id", "reference_id")
    others = keys.join(own, on="user_id").filter(pl.col("item_id") != pl.col("reference_id"))
    counts = others.group_by("case_id").agg(pl.col("item_id").n_unique().alias("others"))
    rich = counts.filter(pl.col("others") >= RetrievalConfig().history_length)
    broken = pl.any_horizontal(
        pl.col(name).is_in(vectors.broken).fill_null(value=False)
        for name in ("reference_id", "truth_id")
    )
    return cases.filter(~broken).join(rich, on="case_id", how="semi", maintain_order="left")


def _retrieved(
    cases: pl.DataFrame, own: pl.DataFrame, until: datetime, vectors: _Vectors
) -> pl.DataFrame:
    config = RetrievalConfig(history_length=LONG)
    retriever = HistoryRetriever(vectors.vectors, own, vectors.item_ids, config, until)
    found = retriever.retrieve(cases.select("user_id", pl.col("reference_id").alias("item_id")))
    return cases.select("case_id").with_columns(found["history_ids"].alias("retrieved_ids"))


def _recent(cases: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    newest = pl.struct(-pl.col("timestamp").dt.epoch("us"), "item_id")
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


def _noise(cases: pl.DataFrame, own: pl.DataFrame, data: Dataset, order: _Order) -> pl.DataFrame:
    """Any items in another style; where the user's style is not known, none of the user's."""
    items = data.training_items()
    if "style" not in data.lacking:
        items = items.drop_nulls("style")
    of_user: Mapping[str, list[str]] = dict(own.group_by("user_id").agg("item_id").iter_rows())
    rows = []
    for case, user, style in cases.select("case_id", "user_id", "style").iter_rows():
        own_items = pl.col("item_id").is_in(of_user[user])
        strange = ~own_items if style is None else pl.col("style") != style
        others = items.filter(strange)["item_id"]
        seed = int(order("noise", case)[:8], 16)
        rows.append((case, others.sample(min(LONG, len(others)), seed=seed).to_list()))
    schema = {"case_id": pl.String(), "noise_ids": pl.List(pl.String())}
    return pl.DataFrame(rows, schema=schema, orient="row")
