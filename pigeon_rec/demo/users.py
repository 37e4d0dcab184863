"""Simulates users over the bundled stickers: `python -m pigeon_rec.demo.users`.

No package holds real interactions together with pictures, so users are made up, as in the paper's
sticker experiments. Each user, drawn from a seed of its own, has

- one preferred style, or (15 %) two, the first taking 55 to 75 % of the choices;
- a taste: 70 % of the attention goes to 3 to 6 favourite topics (emoji subgroups such as
  `animal-mammal`), favourites from the same two groups being likelier, 30 % to all topics;
- a noise rate of 5 to 30 %: that share of the choices follows popularity alone, in any style;
- 15 to 60 different stickers, at times spread evenly from a first day (in the first half of the
  180 days) to the end of 2026-05-31 UTC.

Concepts have a popularity: a factor per group (faces often, flags seldom) times a Zipf weight over
a fixed random order. Held-out stickers are never chosen. Written as RecBole atomic files; the
user file holds the truth, which only evaluation may read.
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

from pigeon_rec.demo.stickers import INTERACTIONS_PATH, USERS_PATH, load_training_stickers, topics
from pigeon_rec.errors import InteractionError

__all__ = ["Simulation", "SimulationConfig", "load_user_truth", "main", "simulate", "write_atomic"]

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
    """How many users, and over which time.

    Attributes:
        users: Number of users; user k is the same whatever this is.
        first_user: Number of the first of them.
        seed: Root of all randomness.
        days: Length of the simulated time.
        end: Its end, exclusive.
    """

    users: int = 2000
    first_user: int = 1
    seed: int = 20260531
    days: int = 180
    end: datetime = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Simulation:
    """What was simulated.

    Attributes:
        interactions: `user_id`, `item_id`, `timestamp` (int64, seconds since 1970), sorted by
            user and time.
        users: `user_id` and the truth: `preferred_style`, `second_style` (null for most),
            `preferred_share` (of the choices that follow taste), `noise_rate`, `favourite_topics`.
    """

    interactions: pl.DataFrame
    users: pl.DataFrame


class _World:
    """What all users share: stickers as arrays, and their popularity."""

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


def simulate(config: SimulationConfig, stickers: pl.DataFrame | None = None) -> Simulation:
    """Simulates users; the same config and stickers always give the same rows.

    Args:
        config: Number of users, seed and time.
        stickers: What can be chosen; by default all bundled stickers that are not held out.
    """
    world = _World(load_training_stickers() if stickers is None else stickers, config.seed)
    truths: list[dict[str, object]] = []
    chosen: list[pl.DataFrame] = []
    for number in range(config.first_user, config.first_user + config.users):
        # Seeded by the user's number, so that users do not depend on each other.
        rng = np.random.default_rng([config.seed, number])
        user_id = f"u{number:05d}"
        truth, items = _user(world, rng)
        truths.append({"user_id": user_id, **truth})
        times = _times(len(items), config, rng)
        ids = [world.item_ids[item] for item in items]
        chosen.append(
            pl.DataFrame({"item_id": ids, "timestamp": times}).select(
                pl.lit(user_id).alias("user_id"), "item_id", "timestamp"
            )
        )
    users = pl.DataFrame(truths, schema_overrides={"second_style": pl.String()})
    return Simulation(pl.concat(chosen), users)


def write_atomic(simulation: Simulation, stickers: pl.DataFrame, stem: Path) -> None:
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
    inter = simulation.interactions.rename({name: f"{name}:{kind}" for name, kind in types.items()})
    users = simulation.users.select(
        pl.col("user_id").alias("user_id:token"),
        pl.col("preferred_style").alias("preferred_style:token"),
        pl.col("second_style").alias("second_style:token"),
        pl.col("preferred_share").round(4).alias("preferred_share:float"),
        pl.col("noise_rate").round(4).alias("noise_rate:float"),
        pl.col("favourite_topics").list.join(" ").alias("favourite_topics:token_seq"),
    )
    for suffix, frame in ((".inter", inter), (".item", items), (".user", users)):
        frame.write_csv(stem.with_suffix(suffix), separator="\t", quote_style="never")


def load_user_truth(path: Path = USERS_PATH) -> pl.DataFrame:
    """The simulated users' truth, for evaluation only: nothing that serves users may read it.

    Returns:
        `user_id`, `preferred_style`, `second_style` (null for most), `preferred_share`,
        `noise_rate`, `favourite_topics` (list).

    Raises:
        InteractionError: The file is missing or damaged.
    """
    try:
        users = pl.read_csv(path, separator="\t", quote_char=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InteractionError(
            f"cannot read the simulated users: {error}",
            location=str(path),
            remedy="Run python -m pigeon_rec.demo.users",
        ) from error
    users = users.rename({header: header.split(":")[0] for header in users.columns})
    return users.with_columns(pl.col("favourite_topics").str.split(" "))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; writes the three atomic files."""
    config = SimulationConfig()
    parser = argparse.ArgumentParser(description="Simulate users over the bundled stickers.")
    parser.add_argument("--users", type=int, default=config.users)
    parser.add_argument("--seed", type=int, default=config.seed)
    parser.add_argument("--out", type=Path, default=INTERACTIONS_PATH.parent)
    options = parser.parse_args(arguments)
    stickers = load_training_stickers()
    simulation = simulate(SimulationConfig(users=options.users, seed=options.seed), stickers)
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomic(simulation, stickers, options.out / INTERACTIONS_PATH.stem)
    print(
        f"{simulation.users.height:,} users with {simulation.interactions.height:,} interactions: "
        f"{options.out}"
    )


def _user(
    world: _World, rng: np.random.Generator
) -> tuple[dict[str, object], npt.NDArray[np.int64]]:
    styles, shares = _style_preference(world, rng)
    favourites = _favourite_topics(world, rng)
    noise_rate = rng.uniform(0.05, 0.30)
    count = int(np.clip(rng.lognormal(mean=3.4, sigma=0.4), 15, 60))

    attention = (1.0 - _FAVOURITE_ATTENTION) * world.topic_popularity / world.topic_popularity.sum()
    attention[favourites] += _FAVOURITE_ATTENTION / len(favourites)
    taste = (attention / world.topic_popularity)[world.topic] * world.popularity
    style_weight = np.zeros(len(world.styles))
    style_weight[styles] = shares

    noisy = int(rng.binomial(count, noise_rate))
    liked = _draw(taste * style_weight[world.style], count - noisy, rng)
    rest = world.popularity.copy()
    rest[liked] = 0.0
    items = rng.permutation(np.concatenate([liked, _draw(rest, noisy, rng)]))
    truth: dict[str, object] = {
        "preferred_style": world.styles[styles[0]],
        "second_style": world.styles[styles[1]] if len(styles) == 2 else None,
        "preferred_share": float(shares[0]),
        "noise_rate": float(noise_rate),
        "favourite_topics": [world.topics[topic] for topic in favourites],
    }
    return truth, items


def _style_preference(world: _World, rng: np.random.Generator) -> tuple[list[int], list[float]]:
    first, second = rng.permutation(len(world.styles))[:2].tolist()
    if rng.random() >= _SECOND_STYLE_SHARE:
        return [first], [1.0]
    share = float(rng.uniform(0.55, 0.75))
    return [first, second], [share, 1.0 - share]


def _favourite_topics(world: _World, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    # Favourites lie mostly in two groups, so that a taste is recognisable.
    groups = np.unique(world.group_of_topic)
    factors = np.asarray([_GROUP_FACTORS[group] for group in groups])
    liked = rng.choice(groups, size=min(2, len(groups)), replace=False, p=factors / factors.sum())
    closeness = np.where(np.isin(world.group_of_topic, liked), 8.0, 1.0)
    return _draw(np.sqrt(world.topic_popularity) * closeness, int(rng.integers(3, 7)), rng)


def _times(count: int, config: SimulationConfig, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    joined = config.end - timedelta(days=config.days * (1.0 - 0.5 * rng.random()))
    first, end = int(joined.timestamp()), int(config.end.timestamp())
    return np.sort(rng.integers(first, end, size=count))


def _draw(weights: Weights, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draws without replacement, in proportion: the first arrivals of a race of exponentials."""
    count = min(count, int(np.count_nonzero(weights)))
    with np.errstate(divide="ignore"):
        arrivals = rng.exponential(size=len(weights)) / weights
    return np.argsort(arrivals, kind="stable")[:count]


def _codes(values: pl.Series) -> tuple[list[str], npt.NDArray[np.int64]]:
    names, codes = np.unique(values.to_numpy().astype(str), return_inverse=True)
    return names.tolist(), codes.astype(np.int64)


if __name__ == "__main__":
    main()
