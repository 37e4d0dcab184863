"""Simulates users over the bundled stickers: `python -m pigeon_rec.demo.users`.

No open data set has both interactions and images that may be shipped, so users are simulated, as
in the paper's sticker experiments. Each user has a seed of its own and

- one preferred style, or (15 %) two, the first taking 55 to 75 % of the choices;
- a taste: 70 % of the choices go to 3 to 6 favourite topics (emoji subgroups such as
  `animal-mammal`), mostly from the same two groups, 30 % to all topics;
- a noise rate of 5 to 30 %: that share of the choices follows popularity alone, in any style;
- 15 to 60 different stickers, at times uniform between a first day (in the first half of the
  180 days) and the end of 2026-05-31 UTC.

The popularity of a concept is a factor per group (high for faces, low for flags) times a Zipf
weight over a fixed random order. Held-out stickers are never chosen. The output is RecBole atomic
files; the user file holds the simulated preferences, which only evaluation may read.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.data.world import SimulatedUsers, load_world, topics

__all__ = [
    "SimulationConfig",
    "main",
    "noise_rate",
    "simulate",
    "simulate_test_users",
    "style_preference",
    "write_atomic",
]

Weights = npt.NDArray[np.float64]

_GROUP_FACTORS: Mapping[str, float] = MappingProxyType(
    {
        "smileys-emotion": 3.0,
        "animals-nature": 2.0,
        "food-drink": 2.0,
        "activities": 1.5,
        "travel-places": 1.0,
        "objects": 1.0,
        "people-body": 0.5,
        "symbols": 0.4,
        "flags": 0.3,
    }
)
_SECOND_STYLE_SHARE = 0.15
_FAVOURITE_ATTENTION = 0.7
_ZIPF_EXPONENT = 0.6


@dataclass(frozen=True)
class SimulationConfig:
    """Number of users, and the simulated time.

    Attributes:
        users: Number of users; user k does not depend on it.
        first_user: Number of the first user.
        seed: Root of all randomness.
        days: Length of the simulated time.
        end: Its end, exclusive.
    """

    users: int = 2000
    first_user: int = 1
    seed: int = 20260531
    days: int = 180
    end: datetime = datetime(2026, 6, 1, tzinfo=UTC)


class _Stickers:
    """The stickers that users choose from, as arrays, and their popularity."""

    def __init__(self, stickers: pl.DataFrame, seed: int) -> None:
        self.item_ids = stickers["item_id"].to_list()
        self.styles, self.style = _codes(stickers["style"])
        self.topics, self.topic = _codes(topics(stickers))
        concepts, concept = _codes(stickers["concept"])
        order = np.random.default_rng([seed, 0]).permutation(len(concepts))
        zipf = 1.0 / (1.0 + order) ** _ZIPF_EXPONENT
        factors = [_GROUP_FACTORS[group] for group in stickers["category"]]
        self.popularity: Weights = zipf[concept] * np.asarray(factors)
        size = len(self.topics)
        self.topic_popularity = np.bincount(self.topic, weights=self.popularity, minlength=size)
        groups = stickers.group_by(topics(stickers).alias("topic")).agg(pl.col("category").first())
        self.group_of_topic = groups.sort("topic")["category"].to_numpy()


def simulate(config: SimulationConfig, stickers: pl.DataFrame) -> SimulatedUsers:
    """Simulates users; the same config and catalogue rows always give the same choices."""
    arrays = _Stickers(stickers, config.seed)
    truths: list[dict[str, object]] = []
    chosen: list[pl.DataFrame] = []
    for number in range(config.first_user, config.first_user + config.users):
        # Seeded by the user's number, so that users do not depend on each other.
        rng = np.random.default_rng([config.seed, number])
        user_id = f"u{number:05d}"
        truth, items = _user(arrays, rng)
        truths.append({"user_id": user_id, **truth})
        times = _times(len(items), config, rng)
        ids = [arrays.item_ids[item] for item in items]
        chosen.append(
            pl.DataFrame({"item_id": ids, "timestamp": times}).select(
                pl.lit(user_id).alias("user_id"), "item_id", "timestamp"
            )
        )
    users = pl.DataFrame(truths, schema_overrides={"second_style": pl.String()})
    return SimulatedUsers(pl.concat(chosen), users, config.end)


def simulate_test_users() -> SimulatedUsers:
    """Users numbered after the bundled ones; no training step has seen them."""
    config = SimulationConfig(first_user=SimulationConfig.users + 1, users=400)
    return simulate(config, load_world("bundled").training_artwork())


def write_atomic(simulated: SimulatedUsers, stickers: pl.DataFrame, stem: Path) -> None:
    """Writes RecBole's atomic files `<stem>.inter`, `.item` and `.user`."""
    items = stickers.select(
        pl.col("item_id").alias("item_id:token"),
        pl.col("title").alias("title:token_seq"),
        pl.col("category").alias("category:token"),
        topics(stickers).alias("topic:token"),
        pl.col("style").alias("style:token"),
        pl.col("concept").alias("concept:token"),
    )
    types = {"user_id": "token", "item_id": "token", "timestamp": "float"}
    inter = simulated.interactions.rename({name: f"{name}:{kind}" for name, kind in types.items()})
    users = simulated.users.select(
        pl.col("user_id").alias("user_id:token"),
        pl.col("preferred_style").alias("preferred_style:token"),
        pl.col("second_style").alias("second_style:token"),
        pl.col("preferred_share").round(4).alias("preferred_share:float"),
        pl.col("noise_rate").round(4).alias("noise_rate:float"),
        pl.col("favourite_topics").list.join(" ").alias("favourite_topics:token_seq"),
    )
    for suffix, frame in ((".inter", inter), (".item", items), (".user", users)):
        frame.write_csv(stem.with_suffix(suffix), separator="\t", quote_style="never")


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the three atomic files (command line)."""
    config, world = SimulationConfig(), load_world("bundled")
    parser = argparse.ArgumentParser(description="Simulate users over the bundled stickers.")
    parser.add_argument("--users", type=int, default=config.users)
    parser.add_argument("--seed", type=int, default=config.seed)
    parser.add_argument("--out", type=Path, default=world.interactions.parent)
    options = parser.parse_args(arguments)
    stickers = world.training_artwork()
    simulated = simulate(SimulationConfig(users=options.users, seed=options.seed), stickers)
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomic(simulated, stickers, options.out / world.interactions.stem)
    users, interactions = simulated.users.height, simulated.interactions.height
    print(f"{users:,} users with {interactions:,} interactions: {options.out}")


def _user(
    stickers: _Stickers, rng: np.random.Generator
) -> tuple[dict[str, object], npt.NDArray[np.int64]]:
    styles, shares = style_preference(len(stickers.styles), rng)
    favourites = _favourite_topics(stickers, rng)
    noise = noise_rate(rng)
    count = int(np.clip(rng.lognormal(mean=3.4, sigma=0.4), 15, 60))

    by_topic = stickers.topic_popularity
    attention = (1.0 - _FAVOURITE_ATTENTION) * by_topic / by_topic.sum()
    attention[favourites] += _FAVOURITE_ATTENTION / len(favourites)
    taste = (attention / by_topic)[stickers.topic] * stickers.popularity
    style_weight = np.zeros(len(stickers.styles))
    style_weight[styles] = shares

    noisy = int(rng.binomial(count, noise))
    liked = _draw(taste * style_weight[stickers.style], count - noisy, rng)
    rest = stickers.popularity.copy()
    rest[liked] = 0.0
    items = rng.permutation(np.concatenate([liked, _draw(rest, noisy, rng)]))
    truth: dict[str, object] = {
        "preferred_style": stickers.styles[styles[0]],
        "second_style": stickers.styles[styles[1]] if len(styles) == 2 else None,
        "preferred_share": float(shares[0]),
        "noise_rate": noise,
        "favourite_topics": [stickers.topics[topic] for topic in favourites],
    }
    return truth, items


def style_preference(styles: int, rng: np.random.Generator) -> tuple[list[int], list[float]]:
    """Draws the one or two styles that a user prefers, of `styles`, and their shares."""
    if styles == 1:
        return [0], [1.0]
    first, second = rng.permutation(styles)[:2].tolist()
    if rng.random() >= _SECOND_STYLE_SHARE:
        return [first], [1.0]
    share = float(rng.uniform(0.55, 0.75))
    return [first, second], [share, 1.0 - share]


def noise_rate(rng: np.random.Generator) -> float:
    """Draws the share of a user's choices that follow no preference."""
    return float(rng.uniform(0.05, 0.30))


def _favourite_topics(stickers: _Stickers, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    # Favourites are mostly from two groups, so that a taste is recognisable.
    groups = np.unique(stickers.group_of_topic)
    factors = np.asarray([_GROUP_FACTORS[group] for group in groups])
    liked = rng.choice(groups, size=min(2, len(groups)), replace=False, p=factors / factors.sum())
    closeness = np.where(np.isin(stickers.group_of_topic, liked), 8.0, 1.0)
    return _draw(np.sqrt(stickers.topic_popularity) * closeness, int(rng.integers(3, 7)), rng)


def _times(count: int, config: SimulationConfig, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    joined = config.end - timedelta(days=config.days * (1.0 - 0.5 * rng.random()))
    first, end = int(joined.timestamp()), int(config.end.timestamp())
    return np.sort(rng.integers(first, end, size=count))


def _draw(weights: Weights, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Weighted sampling without replacement (exponential races)."""
    count = min(count, int(np.count_nonzero(weights)))
    with np.errstate(divide="ignore"):
        arrivals = rng.exponential(size=len(weights)) / weights
    return np.argsort(arrivals, kind="stable")[:count]


def _codes(values: pl.Series) -> tuple[list[str], npt.NDArray[np.int64]]:
    names, codes = np.unique(values.to_numpy().astype(str), return_inverse=True)
    return names.tolist(), codes.astype(np.int64)


if __name__ == "__main__":
    main()
