"""Users of the film catalogue: MovieLens' users and their films, each in a simulated style.

MovieLens says which films a user likes; nobody knows which posters they would like. So the films
and times are real, and the style of each poster is simulated, as for the sticker users: a user has
one preferred style, or (15 %) two, and 5 to 30 % of the choices are in any style. An interaction
with a held-out (style, film) pair goes to another style of the film.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from pigeon_rec.data.made_posters import catalogue_style
from pigeon_rec.data.world import SimulatedUsers
from pigeon_rec.demo.film_catalogue import Pair
from pigeon_rec.demo.posters.composition import telling_genres
from pigeon_rec.demo.users import noise_rate, style_preference

__all__ = ["FilmUserConfig", "film_users", "is_test_user"]

_FAVOURITES = 3


@dataclass(frozen=True)
class FilmUserConfig:
    """Which of MovieLens' interactions are used.

    Attributes:
        min_rating: Lowest rating that counts as an interaction.
        min_films: Users with fewer films are left out; a training window needs six.
        seed: Root of the simulated styles.
    """

    min_rating: float = 4.0
    min_films: int = 6
    seed: int = 19980422


def is_test_user(user_id: str) -> bool:
    """Whether a user's interactions are kept for the evaluation: every fifth user's are."""
    return sum(user_id.encode()) % 5 == 0


def film_users(
    ratings: pl.DataFrame, pairs: Sequence[Pair], config: FilmUserConfig | None = None
) -> SimulatedUsers:
    """Gives every liked film of every user a style.

    Args:
        ratings: `RATING_SCHEMA`.
        pairs: The catalogue; held-out pairs are never chosen.
        config: Which ratings count, and the seed.
    """
    used = config or FilmUserConfig()
    liked = _liked(ratings, pairs, used)
    themes = {pair.film: telling_genres(pair.genres)[0] for pair in pairs}
    offered = _ItemsByStyle.of(pairs)
    truths: list[dict[str, object]] = []
    chosen: list[str] = []
    for (user_id,), rows in liked.group_by("user_id", maintain_order=True):
        films = rows["item_id"].to_list()
        rng = np.random.default_rng([used.seed, *str(user_id).encode()])
        truth, items = _choices(films, offered, rng)
        favourites = _favourites(themes[film] for film in films)
        truths.append({"user_id": user_id, **truth, "favourite_topics": favourites})
        chosen += items
    interactions = liked.select("user_id", pl.Series("item_id", chosen, pl.String()), "timestamp")
    users = pl.DataFrame(truths, schema_overrides={"second_style": pl.String()})
    last = int(liked["timestamp"].max()) if liked.height else 0  # type: ignore[arg-type]
    return SimulatedUsers(interactions, users, datetime.fromtimestamp(last + 1, UTC))


@dataclass(frozen=True)
class _ItemsByStyle:
    """The items to choose from.

    Attributes:
        styles: Style names in alphabetical order.
        items: Film -> style number -> item id, without held-out pairs.
    """

    styles: tuple[str, ...]
    items: dict[str, dict[int, str]]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> _ItemsByStyle:
        styles = tuple(sorted({pair.style for pair in pairs}))
        items: dict[str, dict[int, str]] = {}
        for pair in pairs:
            if not pair.held_out:
                items.setdefault(pair.film, {})[styles.index(pair.style)] = pair.item_id
        return cls(styles, items)


def _liked(ratings: pl.DataFrame, pairs: Sequence[Pair], config: FilmUserConfig) -> pl.DataFrame:
    """The first liking of every film by every user, in the order of users and times."""
    films = pl.Series(sorted({pair.film for pair in pairs}), dtype=pl.String())
    liked = ratings.filter(
        pl.col("item_id").is_in(films.implode())
        & (pl.col("rating").is_null() | (pl.col("rating") >= config.min_rating))
    ).sort("user_id", "timestamp", "item_id")
    once = liked.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    return once.filter(pl.len().over("user_id") >= config.min_films)


def _choices(
    films: Sequence[str], offered: _ItemsByStyle, rng: np.random.Generator
) -> tuple[dict[str, object], list[str]]:
    """A user's preferences, and an item for each film."""
    preferred, shares = style_preference(len(offered.styles), rng)
    noise = noise_rate(rng)
    wanted = rng.choice(preferred, size=len(films), p=shares)
    noisy = rng.random(len(films)) < noise
    wanted = np.where(noisy, rng.integers(len(offered.styles), size=len(films)), wanted)
    items = []
    for film, style in zip(films, wanted.tolist(), strict=True):
        of_film = offered.items[film]
        item = of_film.get(style)
        items.append(item if item else of_film[int(rng.choice(sorted(of_film)))])
    names = [catalogue_style(offered.styles[style]) for style in preferred]
    truth: dict[str, object] = {
        "preferred_style": names[0],
        "second_style": names[1] if len(names) == 2 else None,
        "preferred_share": float(shares[0]),
        "noise_rate": noise,
    }
    return truth, items


def _favourites(themes: Iterable[str]) -> list[str]:
    """The most frequent themes of a user's films."""
    listed = list(themes)
    counted = sorted(set(listed), key=lambda theme: (-listed.count(theme), theme))
    return counted[:_FAVOURITES]
