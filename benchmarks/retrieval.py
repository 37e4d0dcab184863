"""`python -m benchmarks.retrieval`: five of the own items for each of 100,000 users.

The same question, from the same tables to the same answer, is asked of three: of
`HistoryRetriever`, of a loop over users with numpy, and of scikit-learn's nearest neighbours, which
have to be fitted to the items of each user. The loops run on a sample of the users, as their time
is that of one user times users. Catalogues have 10,000, 100,000 and 1,000,000 items.
"""

from __future__ import annotations

import datetime as dt
import gc
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.neighbors import NearestNeighbors

from benchmarks.memory import peak_above
from benchmarks.result import Bar, Figure, Result, main, timed
from pigeon_rec.config import RetrievalConfig
from pigeon_rec.retrieval import HistoryRetriever

__all__ = ["World", "made_world", "measure"]

ITEMS = (10_000, 100_000, 1_000_000)
USERS = 100_000
OWN = 20  # items of each user
DIM = 128  # that of the bundled scorer
SAMPLE = 5_000  # users that the loops are timed on
SKLEARN_SAMPLE = 500
REPEATS = 3
FASTER = 10.0
MEMORY = 1.3

_NIGHT = dt.datetime(2026, 6, 2, tzinfo=dt.UTC)
_CONFIG = RetrievalConfig()
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """Item vectors, what users did, and one reference for each of them."""

    vectors: Vectors
    item_ids: pl.Series
    interactions: pl.DataFrame
    pairs: pl.DataFrame

    def first(self, users: int) -> World:
        """The same with fewer users."""
        some = self.pairs.head(users)
        own = self.interactions.join(some.select("user_id"), on="user_id", how="semi")
        return World(self.vectors, self.item_ids, own, some)


def measure(_: Path, scale: float) -> Result:
    """Compares at three sizes of catalogue, each in a process of its own."""
    users = max(200, int(USERS * scale))
    sizes = [max(500, int(items * scale)) for items in ITEMS]
    found = [_in_process(items, users) for items in sizes]
    figures = [
        figure for items, its in zip(sizes, found, strict=True) for figure in _told(items, its)
    ]
    largest = found[-1]
    return Result(
        f"history of {users:,} users among {OWN} items each",
        figures,
        [
            Bar("against numpy, whole", largest["numpy"] / largest["ours"], FASTER),
            Bar("against numpy, search", largest["numpy_search"] / largest["search"], FASTER),
            Bar("memory", largest["memory"], MEMORY, at_least=False),
        ],
    )


def made_world(items: int, users: int, own: int = OWN) -> World:
    """Unit vectors and interactions of half a year, by user; the same for the same numbers."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((items, DIM), dtype=np.float32)
    for part in np.array_split(vectors, max(1, items // 10_000)):
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    item_ids = pl.Series("item_id", [f"i{n:08d}" for n in range(items)])
    names = pl.Series("user_id", [f"u{n:08d}" for n in range(users)])
    seconds = random.integers(1, 180 * 86400, users * own)
    interactions = pl.DataFrame(
        [
            names.gather(np.repeat(np.arange(users), own)),
            item_ids.gather(random.integers(0, items, users * own)),
            pl.Series("seconds", seconds),
        ]
    ).select(
        "user_id",
        "item_id",
        timestamp=pl.lit(_NIGHT).dt.cast_time_unit("us") - pl.duration(seconds="seconds"),
    )
    references = item_ids.gather(random.integers(0, items, users))
    return World(vectors, item_ids, interactions, pl.DataFrame([names, references]))


def _told(items: int, its: dict[str, float]) -> list[Figure]:
    of = f"of {items:,} items"
    return [
        Figure(f"whole, {of}", its["ours"], "s", "from tables to histories"),
        Figure(f"search alone, {of}", its["search"], "s", "users' items grouped before"),
        Figure(
            f"numpy per user, {of}", its["numpy"] / its["ours"], "times", f"{its['numpy']:.1f} s"
        ),
        Figure(
            f"numpy search per user, {of}",
            its["numpy_search"] / its["search"],
            "times",
            f"{its['numpy_search']:.1f} s",
        ),
        Figure(
            f"scikit-learn per user, {of}",
            its["sklearn"] / its["search"],
            "times",
            f"{its['sklearn']:.1f} s",
        ),
        Figure(f"memory, {of}", its["memory"], "of vectors", "theirs and all that retrieval takes"),
    ]


def _in_process(items: int, users: int) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_compare, items, users).result()


def _compare(items: int, users: int) -> dict[str, float]:
    """Seconds for all users, and memory as a multiple of the vectors'."""
    few_rows = made_world(500, 200)  # what libraries take when first used is not the question
    _retriever(few_rows).retrieve(few_rows.pairs)
    world = made_world(items, users)
    gc.collect()
    with peak_above() as above:
        _retriever(world).retrieve(world.pairs)
    sample, small = world.first(SAMPLE), world.first(SKLEARN_SAMPLE)
    _check(world.first(200))
    ready, shelves = _retriever(world), _grouped(sample)
    few = _grouped(small)
    whole, search, numpy, numpy_search, sklearn = timed(
        REPEATS,
        lambda: _retriever(world).retrieve(world.pairs),
        lambda: ready.retrieve(world.pairs),
        lambda: list(_per_user(sample, _grouped(sample))),
        lambda: list(_per_user(sample, shelves)),
        lambda: list(_fitted_per_user(small, few)),
    )
    return {
        "ours": whole,
        "search": search,
        "numpy": numpy * users / sample.pairs.height,
        "numpy_search": numpy_search * users / sample.pairs.height,
        "sklearn": sklearn * users / small.pairs.height,
        "memory": 1.0 + above[0] / world.vectors.nbytes,
    }


def _retriever(world: World) -> HistoryRetriever:
    return HistoryRetriever(world.vectors, world.interactions, world.item_ids, _CONFIG, _NIGHT)


_Shelf = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class _Grouped:
    """Row and age of every user's items, and the row of every reference."""

    of_user: dict[str, _Shelf]
    references: list[int]


def _grouped(world: World) -> _Grouped:
    """As one would: item ids by a join, then one group per user."""
    rows = world.item_ids.to_frame().with_row_index("row")
    latest = world.interactions.group_by("user_id", "item_id").agg(pl.col("timestamp").max())
    known = latest.join(rows, on="item_id", how="left")
    ages = (pl.lit(_NIGHT) - pl.col("timestamp")).dt.total_seconds() / 86400
    shelves = (
        known.sort("item_id")
        .group_by("user_id")
        .agg(pl.col("row").cast(pl.Int64), ages.alias("age"))
    )
    references = world.pairs.join(rows, on="item_id", how="left", maintain_order="left")["row"]
    of_user = {
        user: (np.asarray(own), np.asarray(age))
        for user, own, age in zip(shelves["user_id"], shelves["row"], shelves["age"], strict=True)
    }
    return _Grouped(of_user, references.to_list())


def _per_user(world: World, grouped: _Grouped) -> Iterator[list[str]]:
    """The formula of the retriever in numpy, one user after the other."""
    users = world.pairs["user_id"].to_list()
    for user, reference in zip(users, grouped.references, strict=True):
        rows, ages = grouped.of_user[user]
        own = world.vectors[rows]
        mean = own.sum(axis=0)
        mean /= np.linalg.norm(mean)
        scores = (
            _CONFIG.relevance_weight * (own @ world.vectors[reference])
            + _CONFIG.recency_weight * 0.5 ** ((ages - ages.min()) / _CONFIG.half_life_days)
            + _CONFIG.taste_weight * (own @ mean)
        )
        scores[rows == reference] = -np.inf
        best = np.argsort(-scores, kind="stable")[: _CONFIG.history_length]
        yield world.item_ids.gather(rows[best]).to_list()


def _fitted_per_user(world: World, grouped: _Grouped) -> Iterator[list[str]]:
    """The nearest of each user's items by scikit-learn; without recency and taste."""
    users = world.pairs["user_id"].to_list()
    for user, reference in zip(users, grouped.references, strict=True):
        rows, _ = grouped.of_user[user]
        fitted = NearestNeighbors(
            n_neighbors=_CONFIG.history_length, algorithm="brute", metric="cosine"
        )
        fitted.fit(world.vectors[rows])
        best = fitted.kneighbors(
            world.vectors[reference][None], _CONFIG.history_length, return_distance=False
        )[0]
        yield world.item_ids.gather(rows[best]).to_list()


def _check(world: World) -> None:
    """Both find the same histories, or there is nothing to compare."""
    ours = _retriever(world).retrieve(world.pairs)["history_ids"].to_list()
    theirs = list(_per_user(world, _grouped(world)))
    alike = sum(a == b for a, b in zip(ours, theirs, strict=True))
    if alike < 0.99 * len(ours):  # arithmetic noise may swap two that are nearly equal
        raise LookupError(f"only {alike} of {len(ours)} histories are those of the plain loop")


if __name__ == "__main__":
    main(measure)
