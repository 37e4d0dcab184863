"""What a film's poster shows, and where: everything that does not depend on the style.

A film's most telling genre gives the motif, unless a word of the title gives one, and its next
genre the scenery. Place, size, side and details are random, seeded by title and year.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from pigeon_rec.demo.posters.motifs import MOTIFS, choose_motif
from pigeon_rec.demo.posters.scenery import SCENERY, choose_scenery
from pigeon_rec.demo.posters.shapes import Layer, Random, flipped, placed

__all__ = ["MOODS", "Composition", "Mood", "compose", "seed_of", "telling_genres"]

Mood = Literal["warm", "cool", "dark", "bright", "earth"]
MOODS: Final[tuple[Mood, ...]] = ("warm", "cool", "dark", "bright", "earth")
"""What a style chooses its palette by."""

_MOOD_OF_GENRE: Final[Mapping[str, Mood]] = MappingProxyType(
    {
        "western": "earth", "sci-fi": "cool", "film-noir": "dark", "horror": "dark", "war": "earth",
        "musical": "bright", "animation": "bright", "documentary": "cool", "fantasy": "cool",
        "children": "bright", "mystery": "dark", "crime": "dark", "romance": "warm",
        "thriller": "cool", "adventure": "earth", "action": "warm", "comedy": "bright",
        "drama": "warm",
    }
)  # fmt: skip
"""Mood by genre, the most telling genre first."""

_TELLING: Final = tuple(_MOOD_OF_GENRE)
_NO_GENRES: Final = ("film",)
_HIGH: Final = ("bunting", "stage")  # scenery that needs the upper edge for itself
_COMPANIONS = 0.4  # share of films with a second, small motif
_OWN_MOOD = 0.6  # share of films in their genre's mood; the others' mood is random


@dataclass(frozen=True)
class Composition:
    """The drawing of one poster, without colours.

    Attributes:
        title: Without the year, in at most 60 characters.
        year: Year of the film, if known.
        genres: In lower case, the most telling one first.
        motif: Name of the motif.
        scene: Name of the scenery.
        scenery: Layers behind the motif, back to front.
        figure: Layers of the motif, back to front.
        centre: Middle of the motif, in units of the poster's width.
        scale: Half of the motif's width, likewise.
        title_on_top: Whether the title is above the motif or below it.
        mood: What the palette is chosen by.
        seed: Seed of what is random in a style.
    """

    title: str
    year: int | None
    genres: tuple[str, ...]
    motif: str
    scene: str
    scenery: tuple[Layer, ...]
    figure: tuple[Layer, ...]
    centre: tuple[float, float]
    scale: float
    title_on_top: bool
    mood: Mood
    seed: int

    @property
    def words(self) -> str:
        """What the poster shows and of what, for example `rocket, stars, sci-fi film of 1977`."""
        dated = "film" if self.year is None else f"film of {self.year}"
        genres = () if self.genres == _NO_GENRES else self.genres
        return f"{self.motif}, {self.scene}, {' '.join([', '.join(genres), dated]).strip()}"


def compose(title: str, year: int | None, genres: str) -> Composition:
    """Composes a film's poster.

    Args:
        title: With or without the year.
        year: Year of the film.
        genres: Separated by ", "; may be empty.
    """
    seed = seed_of(f"{title}|{year}")
    random = np.random.default_rng(seed)
    names = telling_genres(genres)
    name = _without_year(title)
    words = re.findall(r"[\w'-]+", name.lower())
    motif = choose_motif(words, names[0], random)
    scene = choose_scenery(names[min(1, len(names) - 1)], random)
    on_top = bool(random.random() < 0.5) and scene not in _HIGH
    centre = (0.5 + float(random.uniform(-0.05, 0.05)), 0.88 if on_top else 0.57)
    scale = float(random.uniform(0.3, 0.4))
    horizon = centre[1] + 0.72 * scale
    figure = MOTIFS[motif](random)
    scenery = SCENERY[scene](random, horizon)
    if random.random() < 0.5:
        figure = flipped(figure)
    if random.random() < 0.5:
        scenery = flipped(scenery, around=0.5)
    figure = placed(figure, *centre, scale, float(random.uniform(-9, 9)))
    figure = [*_companion(names[-1], motif, centre, scale, random), *figure]
    return Composition(
        title=name, year=year, genres=names, motif=motif, scene=scene, scenery=tuple(scenery),
        figure=tuple(figure), centre=centre, scale=scale,
        title_on_top=on_top, mood=_mood(names[0], random), seed=seed,
    )  # fmt: skip


def seed_of(text: str) -> int:
    """A seed from a text, the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def telling_genres(genres: str) -> tuple[str, ...]:
    """Genres separated by ", " in lower case, the most telling first; `film` if there is none."""
    listed = [name.strip().lower().replace("children's", "children") for name in genres.split(",")]
    names = [name for name in dict.fromkeys(listed) if name]
    known = sorted((name for name in names if name in _TELLING), key=_TELLING.index)
    return (*known, *(name for name in names if name not in _TELLING)) or _NO_GENRES


def _without_year(title: str) -> str:
    bare = re.sub(r"\s*\(\d{4}\)\s*$", "", title)
    bare = re.sub(r"\s*\([^)]*\)\s*$", "", bare) or bare  # the title in another language
    tidy = " ".join("".join(c if c.isprintable() else " " for c in bare).split())
    return tidy if len(tidy) <= 60 else f"{tidy[:59]}…"


def _companion(
    genre: str, motif: str, centre: tuple[float, float], scale: float, random: Random
) -> list[Layer]:
    """For some films a small motif of their last genre at one side of the large one."""
    small = choose_motif((), genre, random)
    side = float(random.choice([-1.0, 1.0]))
    x = float(np.clip(centre[0] + side * (0.62 * scale + 0.1), 0.19, 0.81))
    place = (x, centre[1] + float(random.uniform(0.6, 0.8)) * scale)
    layers = placed(MOTIFS[small](random), *place, 0.14, float(random.uniform(-12, 12)))
    return layers if random.random() < _COMPANIONS and small != motif else []


def _mood(genre: str, random: Random) -> Mood:
    other = MOODS[int(random.integers(len(MOODS)))]
    return _MOOD_OF_GENRE.get(genre, other) if random.random() < _OWN_MOOD else other
