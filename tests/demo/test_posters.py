"""Made posters: 2:3, deterministic, different for each film, and always marked."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pigeon_rec.demo.motifs import GENRE_MOTIFS
from PIL import Image

from pigeon_rec.data.made_posters import is_made
from pigeon_rec.data.movielens import read_movielens
from pigeon_rec.demo.posters import MADE_SIZE, draw_made_poster, make_posters
from tests.data.films import write_csv


def pixels(title: str, year: int | None, genres: str) -> NDArray[np.int16]:
    with Image.open(io.BytesIO(draw_made_poster(title, year, genres))) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int16)


def apart(one: NDArray[np.int16], other: NDArray[np.int16]) -> float:
    return float(np.abs(one - other).mean())


def test_a_poster_is_two_to_three_and_says_that_it_is_made() -> None:
    data = draw_made_poster("Heat (1995)", 1995, "Action, Crime")
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == MADE_SIZE
        assert 3 * image.width == 2 * image.height
    assert is_made(data)
    caption = pixels("Heat (1995)", 1995, "Action, Crime")[-11:]
    assert np.array_equal(caption, pixels("Alien (1979)", 1979, "Horror")[-11:])
    assert caption.max() > 200 > 50 > np.median(caption)  # white letters on black


def test_the_same_film_has_the_same_poster() -> None:
    film = ("Heat (1995)", 1995, "Action, Crime")
    assert draw_made_poster(*film) == draw_made_poster(*film)


@pytest.mark.parametrize(
    "other",
    [
        ("Heat (1995)", 1995, "Romance"),
        ("Heat (1995)", 1995, "Action, Crime"),
        ("Cold (1995)", 1995, "Action"),
        ("Heat (1995)", 1935, "Action"),
        ("Heat (1995)", None, ""),
    ],
)
def test_genres_title_and_year_change_it(other: tuple[str, int | None, str]) -> None:
    assert apart(pixels("Heat (1995)", 1995, "Action"), pixels(*other)) > 3.0


def test_every_genre_has_a_motif_of_its_own_hue() -> None:
    drawn = {genre: pixels("Film", 1990, genre) for genre in sorted(GENRE_MOTIFS)}
    names = list(drawn)
    nearest = {(a, b): apart(drawn[a], drawn[b]) for a in names for b in names if a < b}
    # Two spellings of one genre may look alike; no two others do.
    nearest.pop(("children", "children's"))
    assert min(nearest.values()) > 3.0


def test_old_films_are_paler() -> None:
    old, new = (pixels("Film", year, "Western")[:-11] for year in (1930, 1995))
    colour = [float((p.max(-1) - p.min(-1)).mean()) for p in (old, new)]
    assert colour[0] < 0.6 * colour[1]


def test_titles_of_any_length_and_script_are_drawn() -> None:
    for title in ("", "A" * 300, "Léon: 杀手", "\t\n", "<b>{title}</b>"):
        assert pixels(title, 1994, "Drama").shape == (MADE_SIZE[1], MADE_SIZE[0], 3)


def test_other_pictures_are_not_made_posters() -> None:
    stream = io.BytesIO()
    Image.new("RGB", MADE_SIZE).save(stream, "PNG")
    assert not is_made(stream.getvalue())
    assert not is_made(b"")
    assert not is_made(draw_made_poster("Heat", 1995, "Action")[:40])


def test_a_folder_has_a_poster_for_every_film(tmp_path: Path) -> None:
    films = read_movielens(write_csv(tmp_path / "ml")).films
    reports: list[tuple[int, int]] = []
    assert make_posters(films, tmp_path / "made", on_film=lambda *n: reports.append(n)) == 5
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [
        f"{n}.png" for n in range(1, 6)
    ]
    assert reports[-1] == (5, 5)
