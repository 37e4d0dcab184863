"""Makes poster files of films."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import polars as pl
from PIL import Image, PngImagePlugin

from pigeon_rec.data.made_posters import MADE, MADE_FIELD, STYLE_FIELD
from pigeon_rec.demo.posters.composition import compose, seed_of
from pigeon_rec.demo.posters.styles import STYLES, paint
from pigeon_rec.errors import CatalogueError, ConfigError

__all__ = ["checked_styles", "draw_made_poster", "make_posters", "paint_poster", "style_of"]

_FILE_NAME: Final = r"^[A-Za-z0-9_-]{1,64}$"


def make_posters(
    films: pl.DataFrame,
    folder: Path,
    *,
    styles: Sequence[str] = tuple(STYLES),
    on_film: Callable[[int, int], None] | None = None,
) -> int:
    """Draws `<item_id>.png` for every film, replacing existing files; returns their number.

    Args:
        films: `item_id, title, year, genres` of `read_movielens`.
        folder: Folder to write to.
        styles: Styles to mix; each film is in one of them (`style_of`).
        on_film: Called with the number of posters drawn, and their total.

    Raises:
        CatalogueError: An id cannot be the name of a file, or is repeated.
        ConfigError: There is no such style.
    """
    chosen = checked_styles(styles)
    _check_ids(films["item_id"])
    folder.mkdir(parents=True, exist_ok=True)
    rows = films.select("item_id", "title", "year", "genres").iter_rows()
    for done, (item_id, title, year, genres) in enumerate(rows, start=1):
        data = draw_made_poster(title, year, genres, style=style_of(title, year, chosen))
        (folder / f"{item_id}.png").write_bytes(data)
        if on_film is not None:
            on_film(done, films.height)
    return films.height


def _check_ids(ids: pl.Series) -> None:
    unsafe = ~ids.str.contains(_FILE_NAME).fill_null(value=False)
    for fault, found in (
        ("is not letters, digits, - and _", ids.filter(unsafe)),
        ("is repeated", ids.filter(ids.is_duplicated())),
    ):
        if len(found):
            raise CatalogueError(f"item id {found[0]!r} {fault}; posters are named by it")


def draw_made_poster(
    title: str, year: int | None, genres: str, *, style: str | None = None
) -> bytes:
    """Draws one made poster; returns the bytes of a PNG file.

    Args:
        title: Text on the poster, with or without the year.
        year: Year of the film.
        genres: Separated by ", "; may be empty.
        style: One of `STYLES`; by default the one that `style_of` gives this film.

    Raises:
        ConfigError: There is no such style.
    """
    chosen = style_of(title, year, tuple(STYLES)) if style is None else style
    facts = PngImagePlugin.PngInfo()
    facts.add_text(MADE_FIELD, MADE)
    facts.add_text(STYLE_FIELD, chosen)
    stream = io.BytesIO()
    paint_poster(title, year, genres, style=chosen).save(stream, "PNG", pnginfo=facts)
    return stream.getvalue()


def paint_poster(title: str, year: int | None, genres: str, *, style: str) -> Image.Image:
    """Paints one made poster as an RGB image of `MADE_SIZE`; arguments as `draw_made_poster`.

    Raises:
        ConfigError: There is no such style.
    """
    checked_styles([style])
    return paint(compose(title, year, genres), style).image()


def style_of(title: str, year: int | None, styles: Sequence[str]) -> str:
    """One of the styles for each film: always the same, and each style for about as many films."""
    return styles[seed_of(f"style|{title}|{year}") % len(styles)]


def checked_styles(names: Sequence[str]) -> tuple[str, ...]:
    """The names without repeats.

    Raises:
        ConfigError: There is none, or one of them is no style.
    """
    wrong = [name for name in names if name not in STYLES]
    if wrong or not names:
        raise ConfigError(
            f"there is no poster style {wrong[0]!r}" if wrong else "no poster style is given",
            location="styles",
            remedy=f"Choose from: {', '.join(STYLES)}",
        )
    return tuple(dict.fromkeys(names))
