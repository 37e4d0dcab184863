"""The bundled sticker world: real emoji artwork in eight styles, and simulated users."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pigeon_rec.data.world import World
from pigeon_rec.demo.users import simulate_test_users

__all__ = ["WORLD", "load"]

_STYLE_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
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

_FILES = Path(__file__).parent / "bundled"
WORLD = World(
    name="bundled",
    catalogue=_FILES / "stickers.parquet",  # 64x64 lossless WebP, sorted by style and concept
    interactions=_FILES / "stickers.inter",
    held_out=_FILES / "held_out.csv",
    style_descriptions=_STYLE_DESCRIPTIONS,
    test_users=simulate_test_users,
)


def load() -> World:
    """Returns the world; its files are part of the package."""
    return WORLD
