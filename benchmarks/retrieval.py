"""`python -m benchmarks.retrieval`: a history of five items for each of 100,000 users.

Compares `HistoryRetriever`, a loop over users with numpy, and scikit-learn's nearest neighbours
fitted to the items of each user, on the same tables and with the same results. The loops run on a
sample of the users and are scaled up, because their time is linear in the number of users. The
catalogues have 10,000, 100,000 and 1,000,000 items.
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
from benchmarks.result import Bar, Figure, Result, timed
from benchmarks.runner import main
from pigeon_rec.config import RetrievalConfig
from pigeon_rec.retrieval import HistoryRetriever

__all__ = ["World", "made_world", "measure"]

ITEMS = (10_000, 100_000, 1_000_000)
USERS = 100_000
OWN = 20  # interactions per user
DIM = 128  # as of the bundled scorer
SAMPLE = 5_000  # users of the loop with numpy
SKLEARN_SAMPLE = 500
REPEATS = 3
FASTER = 10.0
MEMORY = 1.3

_NIGHT = dt.datetime(2026, 6, 2, tzinfo=dt.UTC)
_CONFIG = RetrievalConfig()
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """Item vectors, interactions, and one reference per user."""

    vectors: Vectors
    item_ids: pl.Series
    interactions: pl.DataFrame
    pairs: pl.DataFrame

    def first(self, users: int) -> World:
        """Returns the same data with only the first users."""
        pairs = self.pairs.head(users)
        own = self.interactions.join(pairs.select("user_id"), on="user_id", how="semi")
        return World(self.vectors, self.item_ids, own, pairs)


def measure(_: Path, scale: float) -> Result:
    """Compares at three sizes of the catalogue, each in a separate process."""
    users = max(200, int(USERS * scale))
    sizes = [max(500, int(items * scale)) for items in ITEMS]
    found = [_in_process(items, users) for items in sizes]
    figures = [
        figure
        for items, costs in zip(sizes, found, strict=True)
        for figure in _figures(items, costs)
    ]
    largest = found[-1]
    return Result(
        f"history of {users:,} users among {OWN} items each",
        figures,
        [
            Bar("against numpy, whole", largest["numpy"] / largest["whole"], FASTER),
            Bar("against numpy, search", largest["numpy_search"] / largest["search"], FASTER),
            Bar("memory", largest["memory"], MEMORY, at_least=False),
        ],
    )


def made_world(items: int, users: int, own: int = OWN) -> World:
    """Returns unit vectors and interactions of half a year, sorted by user; deterministic."""
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


def _figures(items: int, costs: dict[str, float]) -> list[Figure]:
    of = f"of {items:,} items"
    loops = (
        ("numpy per user", "numpy", "whole"),
        ("numpy search per user", "numpy_search", "search"),
        ("scikit-learn per user", "sklearn", "search"),
    )
    return [
        Figure(f"whole, {of}", costs["whole"], "s", "from tables to histories"),
        Figure(f"search alone, {of}", costs["search"], "s", "users' items already grouped"),
        *(
            Figure(f"{name}, {of}", costs[loop] / costs[part], "times", f"{costs[loop]:.1f} s")
            for name, loop, part in loops
        ),
        Figure(f"memory, {of}", costs["memory"], "of vectors", "vectors and retrieval"),
    ]


def _in_process(items: int, users: int) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_compare, items, users).result()


def _compare(items: int, users: int) -> dict[str, float]:
    """Seconds for all users, and memory as a multiple of the vectors' size."""
    warm_up = made_world(500, 200)  # the first use of libraries does not count
    _retriever(warm_up).retrieve(warm_up.pairs)
    world = made_world(items, users)
    gc.collect()
    with peak_above() as above:
        _retriever(world).retrieve(world.pairs)
    sample, small = world.first(SAMPLE), world.first(SKLEARN_SAMPLE)
    _check(world.first(200))
    ready, grouped = _retriever(world), _grouped(sample)
    small_grouped = _grouped(small)
    whole, search, numpy, numpy_search, sklearn = timed(
        REPEATS,
        lambda: _retriever(world).retrieve(world.pairs),
        lambda: ready.retrieve(world.pairs),
        lambda: list(_per_user(sample, _grouped(sample))),
        lambda: list(_per_user(sample, grouped)),
        lambda: list(_fitted_per_user(small, small_grouped)),
    )
    return {
        "whole": whole,
        "search": search,
        "numpy": numpy * users / sample.pairs.height,
        "numpy_search": numpy_search * users / sample.pairs.height,
        "sklearn": sklearn * users / small.pairs.height,
        "memory": 1.0 + above[0] / world.vectors.nbytes,
    }


def _retriever(world: World) -> HistoryRetriever:
    return HistoryRetriever(world.vectors, world.interactions, world.item_ids, _CONFIG, _NIGHT)


@dataclass(frozen=True)
class _Grouped:
    """Rows and ages of every user's items, and the row of every reference."""

    of_user: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]
    references: list[int]


def _grouped(world: World) -> _Grouped:
    """Groups the items of each user by plain joins, as the baseline."""
    rows = world.item_ids.to_frame().with_row_index("row")
    latest = world.interactions.group_by("user_id", "item_id").agg(pl.col("timestamp").max())
    known = latest.join(rows, on="item_id", how="left")
    ages = (pl.lit(_NIGHT) - pl.col("timestamp")).dt.total_seconds() / 86400
    users = (
        known.sort("item_id")
        .group_by("user_id")
        .agg(pl.col("row").cast(pl.Int64), ages.alias("age"))
    )
    references = world.pairs.join(rows, on="item_id", how="left", maintain_order="left")["row"]
    of_user = {
        user: (np.asarray(own), np.asarray(age))
        for user, own, age in zip(users["user_id"], users["row"], users["age"], strict=True)
    }
    return _Grouped(of_user, references.to_list())


def _per_user(world: World, grouped: _Grouped) -> Iterator[list[str]]:
    """The retriever's score in numpy, one user at a time."""
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
    """The nearest of each user's items by scikit-learn, without recency and taste."""
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
    """Raises LookupError if retriever and loop find different histories."""
    retrieved = _retriever(world).retrieve(world.pairs)["history_ids"].to_list()
    expected = list(_per_user(world, _grouped(world)))
    equal = sum(a == b for a, b in zip(retrieved, expected, strict=True))
    if equal < 0.99 * len(retrieved):  # rounding may swap two nearly equal scores
        raise LookupError(f"only {equal} of {len(retrieved)} histories equal those of the loop")


if __name__ == "__main__":
    main(measure)
