"""Design styles of made posters: how a composition is painted, whatever it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from pigeon_rec.demo.posters.canvas import Canvas
from pigeon_rec.demo.posters.composition import MOODS, Composition, seed_of
from pigeon_rec.demo.posters.palette import Palette
from pigeon_rec.demo.posters.shapes import Random
from pigeon_rec.demo.posters.styles.aquarelle import aquarelle
from pigeon_rec.demo.posters.styles.comic import comic
from pigeon_rec.demo.posters.styles.flat import flat
from pigeon_rec.demo.posters.styles.neon import neon
from pigeon_rec.demo.posters.styles.noir import noir
from pigeon_rec.demo.posters.styles.paper import paper
from pigeon_rec.demo.posters.styles.sunburst import sunburst
from pigeon_rec.demo.posters.styles.swiss import swiss

__all__ = ["STYLES", "Style", "paint"]

Painter = Callable[[Composition, Palette, Random], Canvas]


@dataclass(frozen=True)
class Style:
    """One design style.

    Attributes:
        description: Its look in words.
        painter: Paints a composition.
        palettes: One for each mood, in the order of `MOODS`.
    """

    description: str
    painter: Painter
    palettes: tuple[Palette, ...]


def _style(description: str, painter: Painter, palettes: str) -> Style:
    return Style(
        description, painter, tuple(Palette.parse(row) for row in palettes.strip().splitlines())
    )


# Each palette: ground, sky, far, near, main, second, light, dark, ink; moods warm to earth.
STYLES: Final[Mapping[str, Style]] = MappingProxyType(
    {
        "flat": _style(
            "flat minimal poster in pastel colours with long shadows and a white border",
            flat,
            """
            f4bfae fbe0d3 eda892 d9705c 8c2f39 f2a65a fff4e6 3d1a2a 5a2430
            c6e0e3 e9f4f3 a5cdd4 5b94a3 1f4e5f f28c6a ffffff 123440 1f4e5f
            cbc2de e6e0f0 b0a4cc 7a6a9e 3d2c5a e07a8b ffffff 221838 3d2c5a
            fbdf86 fff3c4 f7ca5e f0a33f d1495b 2e86ab fffdf2 30323d 6b3a1e
            dfd0b0 f2e8d5 c9b287 a07f55 6b4226 c8553d fff8e7 33200f 4a2f1a
            """,
        ),
        "sunburst": _style(
            "vintage poster with sun rays, worn print and a title ribbon",
            sunburst,
            """
            f3e2bd e9c27a d98a45 8f2d1f c8321f 1f5f66 f8efd5 3a1a12 f8efd5
            efe3c3 9fc4bb 5f9a98 1d4c57 d0562b 21616b f8f1da 12303a f8f1da
            ece0bf c9b98f 8a7a5c 33302c a62a22 5a5348 f6edd2 1d1b18 f6edd2
            f7e5b0 f6c344 ee8f33 2a7f86 d7372b 2a7f86 fff6da 332018 fff6da
            efdfb8 dcb77a ad7a3f 5d3a1d 9c4a22 49633a f7edd0 2e1c0e f7edd0
            """,
        ),
        "comic": _style(
            "comic book print with thick black outlines, halftone dots and primary colours",
            comic,
            """
            ff9d5c ffe14a f0452f c2185b e8232a ffd400 ffffff 232323 101010
            5fd0f0 ffffff 2196e0 1b54a8 ffd400 e8232a ffffff 1c2340 101010
            a98be0 d9c9ff 7a4fc0 3a2270 f2e205 29b6d8 ffffff 2a1744 101010
            ffd93b fff7b0 ff9f2e 17a9c9 f0353c 2b8fe0 ffffff 232323 101010
            b5d86a fff2a0 6fae3c 2f7d4a ef6c1a 2a8fd0 fffbe0 22301a 101010
            """,
        ),
        "noir": _style(
            "black and white film noir poster with hard light through blinds and a red title",
            noir,
            """
            0c0c0d d8d8d6 3a3a3e 0b0b0c 77777c b0b0b3 fbfaf6 1a1a1c f0323a
            0c0d0e d4d8da 383d40 0b0b0c 70777c aab2b6 f8fbfc 17181b f0323a
            070707 c8c8c6 303034 080808 66666a a0a0a4 f6f4f0 121214 f0323a
            101010 e2e2de 424245 0e0e0f 84848a bcbcbe ffffff 1e1e20 f0323a
            0d0c0b d9d6d0 3b3834 0c0b0a 787469 b0aba2 fbf8f0 181613 f0323a
            """,
        ),
        "swiss": _style(
            "Swiss typographic poster with huge letters, plain ground and two flat inks",
            swiss,
            """
            e8352b f2a59f c92a22 ffffff ffffff 111111 f7c9c4 111111 ffffff
            f2efe8 1f57d6 d5d1c7 1f57d6 111111 1f57d6 ffffff 111111 111111
            151515 e8352b 2a2a2a e8352b f2efe8 e8352b ffffff 000000 f2efe8
            f6c500 ffffff e0b000 111111 111111 e8352b ffffff 111111 111111
            f2efe8 e8352b d5d1c7 e8352b 111111 e8352b ffffff 111111 111111
            """,
        ),
        "paper": _style(
            "layered cut paper with soft shadows, ragged edges and nested frames",
            paper,
            """
            f7d9b8 fff3dc f0a87a d9534f b8323f f4b942 fff7ea 5e1f2d fff7ea
            bfe3dc f3fbf2 7cc0ba 2f8f92 14606b f6a04d fdfbf0 0f3c48 fdfbf0
            c9b6dd f3e9f7 9a7fc0 5b3f8f 3b2468 ee7fa0 fbf4fb 251446 fbf4fb
            fbe7a1 fffaf0 f7b267 f25f5c 247ba0 f25f5c fffdf2 50514f fffdf2
            e3dcb5 fbf6e0 a9bd7f 5f8a4f 7a4b2a d98e3f fdf8e6 3a2a18 fdf8e6
            """,
        ),
        "neon": _style(
            "neon tubes glowing in the dark over a perspective grid",
            neon,
            """
            1a0620 ff5fa2 8a2be2 ff2e88 ff3d7f ffb03b fff0d0 ff7a3d ffd0e6
            050a24 35e0ff 2a5bff 1f7bff 25d9ff ff4fd8 e8fbff 4f7bff d8f8ff
            0d0618 b04bff 5a2bb8 8a2bff c04bff 33e6c0 f4e8ff 6a4bff ecd8ff
            12062a ffe14a ff2e9a ff2ed0 ff3fb4 3df0ff fffbe0 8fff5a fff2c0
            100c08 ffa53b c0401a ff6a2a ff8a2a 59ffa0 fff2d8 ffcf3a ffe6c0
            """,
        ),
        "aquarelle": _style(
            "watercolour on white paper with wet edges, running washes and paint splashes",
            aquarelle,
            """
            fbf8f1 f3b48a e58a78 c75a5a c23b4a e0913e f6d9a8 5a2a3c 4a2433
            fafaf5 9cc9dc 6fa6c2 3e7a9c 2f6690 d98a5a cfe6ee 20405c 1f3850
            f9f7f3 b8a4cc 8f7bb0 5a4a80 4b3a78 b5557f dccbe6 2c2248 2a2145
            fcf9ee f7d774 9cc47a 5fa08a d9503f 3f8fb0 faecb8 3a4a5a 34424f
            faf7ee e0c48a b7a05f 7f7a45 8a5a34 b8763a efe0bb 4a3420 45301e
            """,
        ),
    }
)
"""Style name -> style."""


def paint(composition: Composition, style: str) -> Canvas:
    """Paints a composition in a style; the same two always give the same picture."""
    chosen = STYLES[style]
    palette = chosen.palettes[MOODS.index(composition.mood)]
    random = np.random.default_rng([composition.seed, seed_of(style)])
    return chosen.painter(composition, palette, random)
