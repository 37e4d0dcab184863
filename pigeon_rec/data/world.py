"""Bundled worlds by name: a catalogue with held-out pairs, and interactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import polars as pl

__all__ = ["World", "load_world", "topics"]


@dataclass(frozen=True)
class World:
    """A bundled data set."""

    name: str
    catalogue: Path
    interactions: Path
    style_descriptions: Mapping[str, str]

    def artwork(self) -> pl.DataFrame:
        """All catalogue rows, held-out pairs included."""
        return pl.read_parquet(self.catalogue)

    def training_artwork(self) -> pl.DataFrame:
        """The catalogue rows that training may read: all but the held-out pairs."""
        return self.artwork().filter(~pl.col("held_out"))

    def held_out_pairs(self) -> frozenset[tuple[str, str]]:
        """The held-out (style, concept) pairs."""
        pairs: frozenset[tuple[str, str]] = import_module(
            "pigeon_rec.demo.stickers"
        ).held_out_pairs()
        return pairs


def load_world(name: str) -> World:
    """Finds a bundled world."""
    demo = import_module("pigeon_rec.demo.stickers")
    return World(name, demo.STICKERS_PATH, demo.INTERACTIONS_PATH, demo.STYLE_DESCRIPTIONS)


def topics(rows: pl.DataFrame) -> pl.Series:
    """The topic of each item: its theme, or else its emotion, with hyphens for spaces."""
    topic = pl.coalesce("theme", "emotion").str.replace_all(" ", "-").alias("topic")
    return rows.select(topic)["topic"]
