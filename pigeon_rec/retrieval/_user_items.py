"""Interactions grouped by user, as a few flat arrays (the layout of a CSR matrix)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.errors import RetrievalError
from pigeon_rec.retrieval.embeddings import Vectors

__all__ = ["Codes", "UserItems", "check_embeddings", "codes_of", "group_by_user", "whole_groups"]

Codes: TypeAlias = npt.NDArray[np.int64]

_ROWS = 1 << 16  # rows processed at once
_DAY_US = 24 * 3600 * 1e6


@dataclass(frozen=True)
class UserItems:
    """The distinct items of every user; those of user `u` are rows `starts[u]:starts[u + 1]`.

    Attributes:
        users: `user_id` and its code `user`, sorted.
        starts: int64 `[n_users + 1]`.
        items: Embedding row of each item, int32 `[n_rows]`, in the order of item ids.
        recency: `0.5 ** (age / half_life)`, float32 `[n_rows]`; ages count back from the user's
            newest interaction.
    """

    users: pl.DataFrame
    starts: Codes
    items: npt.NDArray[np.int32]
    recency: Vectors

    def user_codes(self, user_ids: pl.Series) -> Codes:
        """Code of each user, -1 for users without items."""
        keys = user_ids.alias("user_id").to_frame()
        found = keys.join(self.users, on="user_id", how="left", maintain_order="left")["user"]
        return found.cast(pl.Int64()).fill_null(-1).to_numpy()

    def sizes(self, users: Codes) -> Codes:
        """Number of items of each user; 0 for code -1."""
        sizes = np.append(np.diff(self.starts), 0)
        found: Codes = sizes[users]
        return found

    def padded(self, users: Codes) -> tuple[Codes, Vectors]:
        """Items and their recency, each `[users, longest]`, padded with -1 and 0."""
        sizes = self.sizes(users)
        columns = np.arange(max(1, int(sizes.max(initial=0))))
        filled = columns < sizes[:, None]
        rows = (self.starts[users, None] + columns)[filled]
        items = np.full(filled.shape, -1, dtype=np.int64)
        recency = np.zeros(filled.shape, dtype=np.float32)
        items[filled], recency[filled] = self.items[rows], self.recency[rows]
        return items, recency


def group_by_user(
    interactions: pl.DataFrame, item_ids: pl.Series, half_life_days: float
) -> UserItems:
    """Groups interactions by user; of repeated ones only the latest is kept.

    Ids become integers first: sorting and grouping strings takes several times the memory.

    Args:
        interactions: Columns `user_id, item_id, timestamp`; faster if sorted by user.
        item_ids: Item of each embedding row, unique.
        half_life_days: Half-life of the recency.

    Raises:
        RetrievalError: An item has no embedding row.
    """
    codes = codes_of(interactions["item_id"], item_ids, "interactions").astype(np.int32)
    users, owners = _users(interactions["user_id"])
    if not len(owners):
        return UserItems(users, np.zeros(1, np.int64), codes, np.zeros(0, np.float32))
    times = interactions["timestamp"].dt.epoch("us").to_numpy()
    if not pl.Series(owners).is_sorted():
        by_user = np.argsort(owners, kind="stable")
        codes, owners, times = codes[by_user], owners[by_user], times[by_user]
    order, rank = _by_id(item_ids)
    # A few users at a time, so that intermediate arrays stay small.
    parts = [
        _group(rank[codes[rows]], owners[rows], times[rows], half_life_days)
        for rows in whole_groups(owners, _ROWS)
    ]
    sizes, ranks, recency = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return UserItems(users, np.append(0, np.cumsum(sizes)), order[ranks], recency)


def check_embeddings(embeddings: Vectors, item_ids: pl.Series) -> None:
    """Raises RetrievalError if the embeddings do not match their item ids or are not finite."""
    if embeddings.ndim != 2 or len(embeddings) != len(item_ids):
        raise RetrievalError(
            f"embeddings of shape {embeddings.shape} do not match {len(item_ids)} item ids",
            remedy="Give one row per item",
        )
    # In chunks: a mask of a million vectors would take a quarter of their memory.
    for start in range(0, len(embeddings), _ROWS):
        finite = np.isfinite(embeddings[start : start + _ROWS]).all(axis=1)
        if not finite.all():
            item = item_ids[start + int(np.argmin(finite))]
            raise RetrievalError("an embedding is not finite", location=f"item {item}")
    # Hashes need less memory than strings, and distinct hashes mean distinct ids.
    if item_ids.hash().n_unique() != len(item_ids) and item_ids.n_unique() != len(item_ids):
        raise RetrievalError("item ids of the embeddings are not unique")


def codes_of(ids: pl.Series, item_ids: pl.Series, location: str) -> Codes:
    """Embedding row of each id.

    Raises:
        RetrievalError: An id has no row; the message names the first few.
    """
    found = _positions(ids, item_ids)
    unknown = ids.filter(found.is_null()).unique().sort()
    if len(unknown):
        raise RetrievalError(
            f"{len(unknown)} item ids have no embedding, among them {unknown[:3].to_list()}",
            location=location,
            remedy="Leave unknown items out before retrieval",
        )
    return _int64(found)


def _positions(ids: pl.Series, item_ids: pl.Series) -> pl.Series:
    """Position of each id in `item_ids`, null if it is not there.

    Joining hashes takes half the memory and time of joining a million strings. A collision of two
    ids is detected; the strings themselves are joined then.
    """
    found = _joined(ids.hash(), item_ids.hash())
    if len(found) != len(ids):  # two items share a hash
        found = _joined(ids, item_ids)
    same = [
        item_ids.gather(found.slice(start, _ROWS)) == ids.slice(start, _ROWS)
        for start in range(0, len(ids), _ROWS)
    ]
    if not same:
        return found
    return found.zip_with(pl.concat(same), pl.Series([None], dtype=found.dtype))


def _joined(keys: pl.Series, known: pl.Series) -> pl.Series:
    """Position of each key in `known`; more rows than keys if `known` has duplicates."""
    left = keys.alias("id").to_frame()
    right = known.alias("id").to_frame().with_row_index("item")
    if len(left) < len(right):
        right = right.join(left, on="id", how="semi")
    return left.join(right, on="id", how="left", maintain_order="left")["item"]


def _by_id(item_ids: pl.Series) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Rows sorted by item id, which breaks ties, and the rank of each row in that order."""
    if item_ids.is_sorted():
        order = np.arange(len(item_ids), dtype=np.int32)
        return order, order
    order = item_ids.arg_sort().to_numpy().astype(np.int32)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return order, rank


def _users(user_ids: pl.Series) -> tuple[pl.DataFrame, Codes]:
    """The sorted users with their codes, and the code of each row's user."""
    if user_ids.is_sorted():  # as `load_interactions` gives them
        codes = user_ids.rle_id()
        starts = codes.search_sorted(pl.int_range(codes.n_unique(), dtype=pl.UInt32, eager=True))
        return user_ids.gather(starts).to_frame().with_row_index("user"), _int64(codes)
    users = user_ids.unique().sort().to_frame().with_row_index("user")
    found = user_ids.to_frame().join(users, on="user_id", how="left", maintain_order="left")
    return users, _int64(found["user"])


def _int64(codes: pl.Series) -> Codes:
    return codes.cast(pl.Int64()).to_numpy()


def whole_groups(owners: npt.NDArray[Any], rows: int) -> Iterator[slice]:
    """Yields slices of about `rows` sorted owners; all rows of an owner are in one slice."""
    start = 0
    while start < len(owners):
        last = min(start + rows, len(owners)) - 1
        end = int(np.searchsorted(owners, owners[last], side="right"))
        yield slice(start, end)
        start = end


def _group(
    ranks: npt.NDArray[np.int32], owners: Codes, times: Codes, half_life_days: float
) -> tuple[Codes, npt.NDArray[np.int32], Vectors]:
    """Number of items of each user, the distinct items in order, and their recency.

    Args:
        ranks: Rank of each item by id.
        owners: User code of each row, sorted; all rows of each user that occurs.
        times: Microseconds since the epoch.
        half_life_days: Half-life of the recency.
    """
    # One integer key for user and item sorts several times as fast as two keys.
    by_item = np.argsort((owners - owners[0]) * (int(ranks.max()) + 1) + ranks)
    ranks, times = ranks[by_item], times[by_item]  # `owners` is unchanged by this order
    new_user = np.diff(owners, prepend=-1) != 0
    first = np.flatnonzero(new_user | (np.diff(ranks, prepend=-1) != 0))
    latest = np.maximum.reduceat(times, first)
    starts = np.flatnonzero(new_user[first])
    sizes = np.diff(starts, append=len(first))
    newest = np.repeat(np.maximum.reduceat(latest, starts), sizes)
    days = (newest - latest) / _DAY_US
    return sizes, ranks[first], np.exp2(-days / half_life_days).astype(np.float32)
