"""Every user's items as a few arrays, in which the items of one user stand together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.errors import RetrievalError
from pigeon_rec.retrieval.embeddings import Vectors

__all__ = ["Codes", "Shelves", "check_embeddings", "codes_of", "make_shelves"]

Codes: TypeAlias = npt.NDArray[np.int64]

_ROWS = 1 << 16  # vectors that are looked at together
_DAY_US = 24 * 3600 * 1e6


@dataclass(frozen=True)
class Shelves:
    """The items of every user, by item id; one user's stand from `starts[u]` to `starts[u + 1]`.

    Attributes:
        users: `user_id` and its code `user`, sorted.
        starts: int64 `[n_users + 1]`.
        items: Embedding row of each item, int32 `[n_interactions]`.
        freshness: Half for every half-life between an item and the newest one of its user,
            float32 `[n_interactions]`.
    """

    users: pl.DataFrame
    starts: Codes
    items: npt.NDArray[np.int32]
    freshness: Vectors

    def user_codes(self, user_ids: pl.Series) -> Codes:
        """Code of each user, -1 for those without a shelf."""
        asked = user_ids.alias("user_id").to_frame()
        found = asked.join(self.users, on="user_id", how="left", maintain_order="left")["user"]
        return found.cast(pl.Int64()).fill_null(-1).to_numpy()

    def sizes(self, users: Codes) -> Codes:
        """How many items each of these users has; none for code -1."""
        sizes = np.append(np.diff(self.starts), 0)
        found: Codes = sizes[users]
        return found

    def padded(self, users: Codes) -> tuple[Codes, Vectors]:
        """Items and their freshness, each `[users, longest]`; -1 and 0 behind a user's last."""
        sizes = self.sizes(users)
        places = np.arange(max(1, int(sizes.max(initial=0))))
        filled = places < sizes[:, None]
        at = (self.starts[users, None] + places)[filled]
        items = np.full(filled.shape, -1, dtype=np.int64)
        freshness = np.zeros(filled.shape, dtype=np.float32)
        items[filled], freshness[filled] = self.items[at], self.freshness[at]
        return items, freshness


def make_shelves(interactions: pl.DataFrame, item_ids: pl.Series, half_life_days: float) -> Shelves:
    """Shelves of all users with an interaction; of a repeated one the latest counts.

    Ids become numbers first: sorting and grouping strings takes several times the memory.

    Args:
        interactions: Columns `user_id, item_id, timestamp`; those sorted by user take less time.
        item_ids: Item of each embedding row, unique.
        half_life_days: Of the freshness.

    Raises:
        RetrievalError: An item has no embedding row.
    """
    codes = codes_of(interactions["item_id"], item_ids, "interactions").astype(np.int32)
    users, owners = _users(interactions["user_id"])
    if not len(owners):
        return Shelves(users, np.zeros(1, np.int64), codes, np.zeros(0, np.float32))
    times = interactions["timestamp"].dt.epoch("us").to_numpy()
    if not pl.Series(owners).is_sorted():
        by_user = np.argsort(owners, kind="stable")
        codes, owners, times = codes[by_user], owners[by_user], times[by_user]
    order, rank = _by_id(item_ids)
    # Some users at a time: what is in between then takes no memory to speak of.
    parts = [
        _shelved(rank[codes[rows]], owners[rows], times[rows], half_life_days)
        for rows in _whole_users(owners)
    ]
    sizes, ranks, freshness = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Shelves(users, np.append(0, np.cumsum(sizes)), order[ranks], freshness)


def check_embeddings(embeddings: Vectors, item_ids: pl.Series) -> None:
    """Raises RetrievalError where embeddings and their item ids do not fit together."""
    if embeddings.ndim != 2 or len(embeddings) != len(item_ids):
        raise RetrievalError(
            f"embeddings of shape {embeddings.shape} do not fit {len(item_ids)} item ids",
            remedy="Give one row per item",
        )
    # In parts: a mask of a million vectors would take a quarter of their memory.
    for start in range(0, len(embeddings), _ROWS):
        finite = np.isfinite(embeddings[start : start + _ROWS]).all(axis=1)
        if not finite.all():
            item = item_ids[start + int(np.argmin(finite))]
            raise RetrievalError("an embedding is not finite", location=f"item {item}")
    # Numbers need less memory than strings, and different numbers have different ids.
    if item_ids.hash().n_unique() != len(item_ids) and item_ids.n_unique() != len(item_ids):
        raise RetrievalError("item ids of the embeddings are not unique")


def codes_of(asked: pl.Series, item_ids: pl.Series, location: str) -> Codes:
    """Embedding row of each asked item.

    Raises:
        RetrievalError: An item has none; the message names the first few.
    """
    found = _places(asked, item_ids)
    unknown = asked.filter(found.is_null()).unique().sort()
    if len(unknown):
        raise RetrievalError(
            f"{len(unknown)} item ids have no embedding, among them {unknown[:3].to_list()}",
            location=location,
            remedy="Leave unknown items out before retrieval",
        )
    return _int64(found)


def _places(asked: pl.Series, item_ids: pl.Series) -> pl.Series:
    """Place of each asked id among the item ids, null where it is none of them.

    Joining hashes takes half the memory and time of joining a million strings. That two ids have
    one hash is next to impossible, and would be found: then the strings themselves are joined.
    """
    found = _joined(asked.hash(), item_ids.hash())
    if len(found) != len(asked):  # two items for one hash
        found = _joined(asked, item_ids)
    same = [
        item_ids.gather(found.slice(start, _ROWS)) == asked.slice(start, _ROWS)
        for start in range(0, len(asked), _ROWS)
    ]
    if not same:
        return found
    return found.zip_with(pl.concat(same), pl.Series([None], dtype=found.dtype))


def _joined(asked: pl.Series, known: pl.Series) -> pl.Series:
    """Place of each asked value among the known ones; more rows where those are not unique."""
    wanted = asked.alias("id").to_frame()
    places = known.alias("id").to_frame().with_row_index("item")
    if len(wanted) < len(places):
        places = places.join(wanted, on="id", how="semi")
    return wanted.join(places, on="id", how="left", maintain_order="left")["item"]


def _by_id(item_ids: pl.Series) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The items' rows in the order of their ids, which decides ties, and each row's place in it."""
    if item_ids.is_sorted():
        order = np.arange(len(item_ids), dtype=np.int32)
        return order, order
    order = item_ids.arg_sort().to_numpy().astype(np.int32)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return order, rank


def _users(user_ids: pl.Series) -> tuple[pl.DataFrame, Codes]:
    """The users, sorted, and the place among them of each row's user."""
    if user_ids.is_sorted():  # as `load_interactions` gives them
        codes = user_ids.rle_id()
        starts = codes.search_sorted(pl.int_range(codes.n_unique(), dtype=pl.UInt32, eager=True))
        return user_ids.gather(starts).to_frame().with_row_index("user"), _int64(codes)
    users = user_ids.unique().sort().to_frame().with_row_index("user")
    asked = user_ids.to_frame()
    found = asked.join(users, on="user_id", how="left", maintain_order="left")
    return users, _int64(found["user"])


def _int64(codes: pl.Series) -> Codes:
    return codes.cast(pl.Int64()).to_numpy()


def _whole_users(owners: Codes) -> Iterator[slice]:
    """Slices of sorted rows, of some ten thousand each, that part no user."""
    start = 0
    while start < len(owners):
        last = min(start + _ROWS, len(owners)) - 1
        end = int(np.searchsorted(owners, owners[last], side="right"))
        yield slice(start, end)
        start = end


def _shelved(
    ranks: npt.NDArray[np.int32], owners: Codes, times: Codes, half_life_days: float
) -> tuple[Codes, npt.NDArray[np.int32], Vectors]:
    """How many items each user has, the items in order, and their freshness.

    Args:
        ranks: Place of each item among all.
        owners: Of all rows of one user or more, sorted.
        times: In microseconds.
        half_life_days: Of the freshness.
    """
    # One number for user and item sorts several times as fast as two.
    by_item = np.argsort((owners - owners[0]) * (int(ranks.max()) + 1) + ranks)
    ranks, times = ranks[by_item], times[by_item]  # users stand where they stood
    new_user = np.diff(owners, prepend=-1) != 0
    first = np.flatnonzero(new_user | (np.diff(ranks, prepend=-1) != 0))
    latest = np.maximum.reduceat(times, first)
    starts = np.flatnonzero(new_user[first])
    sizes = np.diff(starts, append=len(first))
    newest = np.repeat(np.maximum.reduceat(latest, starts), sizes)
    days = (newest - latest) / _DAY_US
    return sizes, ranks[first], np.exp2(-days / half_life_days).astype(np.float32)
