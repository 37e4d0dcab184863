"""The bundled sticker catalogue: where it lies, what may be trained on, what is held out.

Some (concept, style) pairs are held out from every training step: a picture asked for such a pair
can only have been made, never recalled. Training code reads stickers through
`load_training_stickers`, which never yields one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import polars as pl

from pigeon_rec.errors import CatalogueError

__all__ = [
    "HELD_OUT_PATH",
    "INTERACTIONS_PATH",
    "STICKERS_PATH",
    "STYLES",
    "STYLE_DESCRIPTIONS",
    "USERS_PATH",
    "held_out_pairs",
    "load_stickers",
    "load_training_stickers",
    "topics",
]

_BUNDLED = Path(__file__).parent / "bundled"
STICKERS_PATH = _BUNDLED / "stickers.parquet"
HELD_OUT_PATH = _BUNDLED / "held_out.csv"
INTERACTIONS_PATH = _BUNDLED / "stickers.inter"
USERS_PATH = _BUNDLED / "stickers.user"

STYLE_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "emojione": "rounded flat drawing in bright colours with soft inner shades",
        "fluent": "glossy three-dimensional drawing with soft light",
        "fluent-flat": "flat drawing in clear colours without outline",
        "fluent-hc": "black and white silhouette",
        "noto": "smooth drawing with gentle gradients",
        "noto-v1": "old blob drawing with thin shading",
        "openmoji": "line drawing with a black outline and flat fills",
        "twemoji": "simple flat drawing in few colours",
    }
)
STYLES: tuple[str, ...] = tuple(STYLE_DESCRIPTIONS)


def load_stickers() -> pl.DataFrame:
    """All bundled stickers, sorted by style and concept; `image` is 64x64 lossless WebP.

    Raises:
        CatalogueError: The bundled file is missing or damaged.
    """
    try:
        return pl.read_parquet(STICKERS_PATH)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CatalogueError(
            f"cannot read the bundled stickers: {error}",
            location=str(STICKERS_PATH),
            remedy="Reinstall the package, or run python -m pigeon_rec.demo.build_stickers",
        ) from error


def load_training_stickers() -> pl.DataFrame:
    """The stickers that a training step may read: held-out pairs are never among them.

    Raises:
        CatalogueError: The bundled file is missing or damaged.
    """
    return load_stickers().filter(~pl.col("held_out"))


def held_out_pairs() -> frozenset[tuple[str, str]]:
    """The held-out (style, concept) pairs of the readable list beside the catalogue.

    Raises:
        CatalogueError: The list is missing or damaged.
    """
    try:
        listed = pl.read_csv(HELD_OUT_PATH, columns=["style", "concept"], infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CatalogueError(
            f"cannot read the held-out list: {error}", location=str(HELD_OUT_PATH)
        ) from error
    return frozenset((str(style), str(concept)) for style, concept in listed.iter_rows())


def topics(stickers: pl.DataFrame) -> pl.Series:
    """What each sticker is about: its theme, or the emotion of a face; without spaces, no null."""
    topic = pl.coalesce("theme", "emotion").str.replace_all(" ", "-").alias("topic")
    return stickers.select(topic)["topic"]
