"""The catalogue of films in several poster styles: an item is a film in a style.

Item ids are `made-<style>/<film>`, as `<style>/<concept>` in the sticker catalogue. Some of the
(style, film) pairs are marked as held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl
from PIL import Image

from pigeon_rec.data.made_posters import catalogue_style
from pigeon_rec.data.movielens import MovieLens
from pigeon_rec.demo.artwork import slug
from pigeon_rec.demo.held_out import MAX_HELD_OUT_STYLES, choose_held_out
from pigeon_rec.demo.posters import paint_poster
from pigeon_rec.demo.posters.composition import compose

__all__ = ["HELD_OUT_SHARE", "Pair", "catalogue_rows", "film_pairs", "most_rated"]

HELD_OUT_SHARE = 0.15


@dataclass(frozen=True)
class Pair:
    """One item: a film in a style.

    Attributes:
        film: MovieLens id of the film.
        concept: Name of the film in item ids, for example `star-wars-1977`.
        style: Design style.
    """

    film: str
    concept: str
    title: str
    year: int | None
    genres: str
    style: str
    held_out: bool

    @property
    def item_id(self) -> str:
        """Id in the catalogue."""
        return f"{catalogue_style(self.style)}/{self.concept}"

    def painted(self) -> Image.Image:
        """The poster, RGB of `MADE_SIZE`."""
        return paint_poster(self.title, self.year, self.genres, style=self.style)


def most_rated(data: MovieLens, films: int) -> MovieLens:
    """The films rated most often, each title once, with all ratings."""
    counts = data.ratings().group_by("item_id").len()
    ranked = data.films.join(counts, on="item_id", how="left").sort(
        ["len", "item_id"], descending=[True, False], nulls_last=True
    )
    kept = ranked.unique("title", keep="first", maintain_order=True)["item_id"].head(films)
    return MovieLens(data.films.filter(pl.col("item_id").is_in(kept.implode())), data.ratings_file)


def film_pairs(films: pl.DataFrame, styles: Sequence[str]) -> list[Pair]:
    """Every film in every style, sorted by style and film.

    Args:
        films: `FILM_SCHEMA`.
        styles: Names of design styles.
    """
    concepts = _concepts(films)
    pairs = [(style, concept) for style in styles for concept in concepts]
    held_out = (
        choose_held_out(pairs, share=HELD_OUT_SHARE) if len(styles) > MAX_HELD_OUT_STYLES else set()
    )
    rows = dict(zip(concepts, films.iter_rows(named=True), strict=True))
    return [
        Pair(
            film=rows[concept]["item_id"], concept=concept, title=rows[concept]["title"],
            year=rows[concept]["year"], genres=rows[concept]["genres"], style=style,
            held_out=(style, concept) in held_out,
        )
        for style, concept in sorted(pairs)
    ]  # fmt: skip


def catalogue_rows(
    pairs: Sequence[Pair], image_uri: Callable[[Pair], str], images: Sequence[bytes]
) -> pl.DataFrame:
    """The catalogue without pictures: the required columns, theme, style, concept, `held_out`."""
    rows = []
    for pair, image in zip(pairs, images, strict=True):
        composition = compose(pair.title, pair.year, pair.genres)
        rows.append(
            {
                "item_id": pair.item_id,
                "title": pair.title,
                "semantics": composition.words,
                "category": pair.genres.partition(", ")[0] or "Film",
                "genres": pair.genres,
                "image_uri": image_uri(pair),
                "image_sha256": hashlib.sha256(image).hexdigest(),
                "theme": composition.genres[0],
                "style": catalogue_style(pair.style),
                "emotion": None,
                "concept": pair.concept,
                "held_out": pair.held_out,
            }
        )
    return pl.DataFrame(rows, schema_overrides={"emotion": pl.String()})


def _concepts(films: pl.DataFrame) -> list[str]:
    """A name for each film: from its title, with its id where that is empty or taken."""
    names: list[str] = []
    taken: set[str] = set()
    for title, item_id in films.select("title", "item_id").iter_rows():
        name = slug(title)
        if not name or name in taken:
            name = f"{name}-{item_id}".strip("-")
        taken.add(name)
        names.append(name)
    return names
