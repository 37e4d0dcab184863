"""Bundled worlds by name: a catalogue with held-out pairs, interactions, and simulated test users.

Some (style, concept) pairs of a world's artwork are held out from every training step, so that a
picture drawn of such a pair cannot have been memorised. Training code reads artwork through
`World.training_artwork`, which never returns a held-out pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

import polars as pl

from pigeon_rec.errors import CatalogueError, ConfigError

__all__ = ["WORLDS", "SimulatedUsers", "World", "load_world", "topics"]

WORLDS: Mapping[str, str] = MappingProxyType(
    {"bundled": "pigeon_rec.demo.stickers", "posters": "pigeon_rec.demo.poster_world"}
)
"""World name -> the module whose `load` returns it; imported only when the name is used."""


@dataclass(frozen=True)
class SimulatedUsers:
    """Simulated interactions, and what they were simulated from.

    Attributes:
        interactions: `user_id`, `item_id`, `timestamp` (int64, seconds since 1970), sorted by
            user and time.
        users: `user_id` and the truth: `preferred_style`, `second_style` (null for most),
            `preferred_share` (of the choices that follow taste), `noise_rate`, `favourite_topics`.
        end: End of the simulated time, exclusive.
    """

    interactions: pl.DataFrame
    users: pl.DataFrame
    end: datetime


@dataclass(frozen=True)
class World:
    """A bundled data set.

    Attributes:
        name: What `load_world` finds it by.
        catalogue: An `items.parquet` with the columns `style`, `concept`, `image` and `held_out`.
        interactions: RecBole atomic file of its users' interactions.
        held_out: CSV file of the held-out `style,concept` pairs.
        style_descriptions: Style -> its look in words.
        test_users: Simulates users that are not in `interactions`, for the evaluation.
    """

    name: str
    catalogue: Path
    interactions: Path
    held_out: Path
    style_descriptions: Mapping[str, str]
    test_users: Callable[[], SimulatedUsers]

    def artwork(self) -> pl.DataFrame:
        """All catalogue rows, held-out pairs included; `image` is an encoded picture.

        Raises:
            CatalogueError: The catalogue is missing or damaged.
        """
        try:
            return pl.read_parquet(self.catalogue)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise CatalogueError(
                f"cannot read the {self.name} catalogue: {error}",
                location=str(self.catalogue),
                remedy="Reinstall the package",
            ) from error

    def training_artwork(self) -> pl.DataFrame:
        """The catalogue rows that training may read: all but the held-out pairs.

        Raises:
            CatalogueError: The catalogue is missing or damaged.
        """
        return self.artwork().filter(~pl.col("held_out"))

    def held_out_pairs(self) -> frozenset[tuple[str, str]]:
        """The held-out (style, concept) pairs.

        Raises:
            CatalogueError: The list is missing or damaged.
        """
        try:
            listed = pl.read_csv(self.held_out, columns=["style", "concept"], infer_schema=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise CatalogueError(
                f"cannot read the held-out list: {error}", location=str(self.held_out)
            ) from error
        return frozenset((str(style), str(concept)) for style, concept in listed.iter_rows())


def load_world(name: str) -> World:
    """Finds a bundled world: `bundled` (stickers) or `posters`.

    The posters are drawn when they are asked for the first time, and kept in a cache folder.

    Raises:
        CatalogueError: The films of the poster world are not installed (RecBole's ml-100k).
        ConfigError: There is no world of this name; the message lists the known ones.
    """
    if name not in WORLDS:
        raise ConfigError(
            f"there is no bundled world {name!r}", remedy=f"Known worlds: {', '.join(WORLDS)}"
        )
    world: World = import_module(WORLDS[name]).load()
    return world


def topics(rows: pl.DataFrame) -> pl.Series:
    """The topic of each item: its theme, emotion or category, with hyphens for spaces; no nulls."""
    named = [name for name in ("theme", "emotion", "category") if name in rows.columns]
    topic = pl.coalesce(*named, pl.lit("")).str.replace_all(" ", "-").alias("topic")
    return rows.select(topic)["topic"]
