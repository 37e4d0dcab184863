"""Made posters: deterministic, always marked, and a grid of films and styles."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.data.made_posters import is_made, made_style
from pigeon_rec.data.movielens import read_movielens
from pigeon_rec.demo.film_catalogue import most_rated
from pigeon_rec.demo.films import bundled_movielens
from pigeon_rec.demo.posters import (
    MADE_SIZE,
    STYLES,
    draw_made_poster,
    make_posters,
    paint_poster,
    style_of,
)
from pigeon_rec.errors import CatalogueError, ConfigError
from tests.data.films import MOVIES, write_csv

HEAT = ("Heat (1995)", 1995, "Action, Crime")
FILMS = 50
CAPTION = 12

Pixels = NDArray[np.float32]


def pixels(title: str, year: int | None, genres: str, style: str) -> NDArray[np.int16]:
    return np.asarray(paint_poster(title, year, genres, style=style), dtype=np.int16)


@pytest.fixture(scope="module")
def grid() -> Pixels:
    """The 50 most rated films in every style, `[style, film, 96, 64, 3]`, 0..1."""
    films = most_rated(read_movielens(bundled_movielens()), FILMS).films
    rows = films.select("title", "year", "genres").rows()
    small = [
        [paint_poster(*film, style=style).resize((64, 96), Image.Resampling.BOX) for film in rows]
        for style in STYLES
    ]
    return np.array([[np.asarray(one) for one in row] for row in small], dtype=np.float32) / 255


def test_a_poster_is_two_to_three_and_marked() -> None:
    for style in STYLES:
        data = draw_made_poster(*HEAT, style=style)
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == MADE_SIZE
            assert 3 * image.width == 2 * image.height
        assert is_made(data)
        assert made_style(data) == f"made-{style}"


@pytest.mark.parametrize("style", STYLES)
def test_the_lowest_line_says_that_it_is_made(style: str) -> None:
    one, other = (
        pixels(*film, style)[-CAPTION:].astype(float).mean(-1)
        for film in (HEAT, ("Emma (1996)", 1996, "Action, Crime"))
    )
    letters = np.abs(one - np.median(one)) > 60
    assert 0.03 < letters.mean() < 0.3
    assert letters[:, 40:120].sum() > 0.95 * letters.sum()
    # The same letters on every film.
    assert np.corrcoef(letters.ravel(), (np.abs(other - np.median(other)) > 60).ravel())[0, 1] > 0.9


@pytest.mark.parametrize("style", STYLES)
def test_a_film_in_a_style_always_has_the_same_bytes(style: str) -> None:
    assert draw_made_poster(*HEAT, style=style) == draw_made_poster(*HEAT, style=style)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "other",
    [
        ("Heat (1995)", 1995, "Romance"),
        ("Cold (1995)", 1995, "Action, Crime"),
        ("Heat (1995)", 1935, "Action, Crime"),
        ("Heat (1995)", None, ""),
    ],
)
def test_genres_title_and_year_change_it(other: tuple[str, int | None, str], style: str) -> None:
    assert np.abs(pixels(*HEAT, style) - pixels(*other, style)).mean() > 2.0


def test_other_pictures_are_not_made_posters() -> None:
    stream = io.BytesIO()
    Image.new("RGB", MADE_SIZE).save(stream, "PNG")
    assert not is_made(stream.getvalue())
    assert not is_made(b"")
    assert not is_made(draw_made_poster(*HEAT)[:40])


def test_an_unknown_style_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no poster style 'baroque'.*flat, sunburst, comic"):
        paint_poster(*HEAT, style="baroque")


def test_a_folder_has_a_poster_for_every_film(tmp_path: Path) -> None:
    films = read_movielens(write_csv(tmp_path / "ml")).films
    reports: list[tuple[int, int]] = []
    made = make_posters(
        films, tmp_path / "made", styles=("noir", "swiss"), on_film=lambda *n: reports.append(n)
    )
    files = sorted((tmp_path / "made").iterdir())
    assert made == 5
    assert [file.name for file in files] == [f"{n}.png" for n in range(1, 6)]
    assert {made_style(file.read_bytes()) for file in files} <= {"made-noir", "made-swiss"}
    assert reports[-1] == (5, 5)


@pytest.mark.parametrize(
    ("row", "message"),
    [("../6,Out (2000),Drama", r"'\.\./6' is not letters"), ("1,Twice,Drama", "'1' is repeated")],
)
def test_ids_that_cannot_name_files_are_refused(tmp_path: Path, row: str, message: str) -> None:
    films = read_movielens(write_csv(tmp_path / "ml", movies=f"{MOVIES}{row}\n")).films
    with pytest.raises(CatalogueError, match=message):
        make_posters(films, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_the_styles_of_a_mix_are_about_equally_frequent() -> None:
    names = tuple(STYLES)
    drawn = [style_of(f"Film {number}", 1990, names) for number in range(800)]
    assert all(60 < drawn.count(name) < 140 for name in names)


def test_a_style_is_recognised_whatever_the_film(grid: Pixels) -> None:
    looks = np.stack([[_look(poster) for poster in row] for row in grid])
    known, unseen = looks[:, ::2], looks[:, 1::2]
    mean, spread = known.mean((0, 1)), known.std((0, 1)) + 1e-6
    centroids = ((known - mean) / spread).mean(1)
    apart = np.linalg.norm(((unseen - mean) / spread)[:, :, None] - centroids, axis=-1)
    hits = apart.argmin(-1) == np.arange(len(STYLES))[:, None]
    assert hits.mean() >= 0.9
    assert hits.mean(1).min() >= 0.75  # of any one style


def test_a_film_is_recognised_whatever_the_style(grid: Pixels) -> None:
    forms = np.stack([[_form(poster) for poster in row] for row in grid])
    likeness = np.einsum("afd,bgd->abfg", forms, forms)
    hits = likeness.argmax(-1) == np.arange(FILMS)
    between = ~np.eye(len(STYLES), dtype=bool)
    assert hits[between].mean() >= 0.5  # one of 50 by chance: 0.02


def _look(poster: Pixels) -> NDArray[np.float64]:
    """Histograms of brightness, saturation, colour and the steepness of edges."""
    brightness, saturation = poster.mean(-1), poster.max(-1) - poster.min(-1)
    steepness = np.abs(np.diff(brightness, axis=0))[:, 1:] + np.abs(np.diff(brightness, axis=1))[1:]
    parts = [
        np.histogram(values, bins=10, range=(0, 1), density=True)[0]
        for values in (brightness, saturation, 2 * steepness.clip(0, 0.5))
    ]
    border = np.concatenate([poster[:2].reshape(-1, 3), poster[:, :2].reshape(-1, 3)])
    return np.concatenate([*parts, 10 * border.mean(0), 10 * border.std(0)])


def _form(poster: Pixels) -> NDArray[np.float64]:
    """Edges around the motif, blurred to cells of four pixels, of unit length."""
    brightness = poster.mean(-1)[:88]
    edges = np.hypot(np.gradient(brightness, axis=0), np.gradient(brightness, axis=1))
    cells = np.minimum(edges, 0.25).reshape(22, 4, 16, 4).mean((1, 3))
    centred = (cells - cells.mean()).ravel().astype(np.float64)
    unit: NDArray[np.float64] = centred / np.linalg.norm(centred)
    return unit


_TITLES = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="abc éß杀手אבгд…'\"\t\n", max_size=300),
    st.sampled_from(["", "A" * 300, "Léon: 杀手", "<b>{title}</b>", "(1995)", "W " * 100]),
)
_GENRES = st.lists(
    st.one_of(st.sampled_from(["Action", "Children's", "Film-Noir", "IMAX"]), st.text(max_size=9)),
    max_size=6,
).map(", ".join)
_YEARS = st.one_of(st.none(), st.integers(-1, 99999))


@settings(max_examples=40, deadline=None)
@given(title=_TITLES, year=_YEARS, genres=_GENRES, style=st.sampled_from(list(STYLES)))
def test_any_title_year_and_genres_are_drawn(
    title: str, year: int | None, genres: str, style: str
) -> None:
    assert pixels(title, year, genres, style).shape == (MADE_SIZE[1], MADE_SIZE[0], 3)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(title=_TITLES, year=_YEARS, genres=_GENRES, style=st.sampled_from(list(STYLES)))
def test_a_thousand_films_are_drawn(title: str, year: int | None, genres: str, style: str) -> None:
    assert pixels(title, year, genres, style).shape == (MADE_SIZE[1], MADE_SIZE[0], 3)
