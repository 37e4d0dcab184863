"""`pigeon-rec import movielens|made-posters|demo-movies`: films with posters."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from pigeon_rec._cli.options import AsJson, Quiet
from pigeon_rec._cli.output import print_result
from pigeon_rec._cli.tables import item_facts, pair_facts

__all__ = ["register"]

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="movies.csv, ratings.csv and links.csv of MovieLens, or RecBole's .item and .inter.",
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")]
Posters = Annotated[
    Path, typer.Option("--posters", metavar="DIR", help="Folder of poster files, one per film.")
]
Names = Annotated[
    str,
    typer.Option("--names", metavar="ID", help="Id in the file names: item, imdb or tmdb."),
]
MinRating = Annotated[
    float | None,
    typer.Option(
        "--min-rating", help="Lowest rating that counts as an interaction (default: 4 of 5 stars)."
    ),
]
Semantics = Annotated[
    Path | None,
    typer.Option(
        "--semantics",
        metavar="FILE",
        help="Parquet file with columns item_id and semantics (what a film is about).",
    ),
]
Films = Annotated[
    int, typer.Option("--films", min=1, help="Number of films, those rated most often.")
]
Styles = Annotated[
    str | None,
    typer.Option(
        "--styles", metavar="NAMES", help="Poster styles, separated by commas (default: all)."
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands to `pigeon-rec import`."""
    app.command("movielens")(movielens)
    app.command("made-posters")(made_posters)
    app.command("demo-movies")(demo_movies)


def movielens(
    source: Source,
    posters: Posters,
    out: Out,
    names: Names = "item",
    min_rating: MinRating = None,
    semantics: Semantics = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Import MovieLens and a folder of posters as items.parquet and interactions.parquet."""
    from pigeon_rec.data.import_movies import import_movies, poster_names, read_semantics
    from pigeon_rec.data.movielens import read_movielens

    imported = import_movies(
        read_movielens(source),
        posters,
        out,
        names=poster_names(names),
        min_rating=min_rating,
        semantics=None if semantics is None else read_semantics(semantics),
    )
    films, ratings = item_facts(imported.items), pair_facts(imported.interactions)
    if as_json:
        facts = {"items": films, "made_posters": imported.made, "interactions": ratings}
        print_result(f"imported {source}", facts, as_json=True, quiet=quiet)
        return
    films["made_posters"] = imported.made
    print_result(f"imported the films of {source}", films, as_json=False, quiet=quiet)
    print_result(f"imported the ratings of {source}", ratings, as_json=False, quiet=quiet)


def made_posters(
    source: Source,
    out: Out,
    styles: Styles = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw a made poster (from title, genres and year) for each film, in one of the styles."""
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.data.movielens import read_movielens
    from pigeon_rec.demo.posters import make_posters

    progress = choose_progress(quiet=quiet or as_json)
    count = make_posters(
        read_movielens(source).films,
        out,
        styles=_style_names(styles),
        on_film=lambda done, total: progress("made posters", done, total),
    )
    summary = {"made_posters": count, "folder": str(out)}
    print_result(f"made posters of {source}", summary, as_json=as_json, quiet=quiet)


def demo_movies(
    out: Out,
    films: Films = 200,
    styles: Styles = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make the demo set: films of RecBole's ml-100k in made posters of several styles."""
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.demo.films import make_demo

    progress = choose_progress(quiet=quiet or as_json)
    made = make_demo(
        out,
        films=films,
        styles=_style_names(styles),
        on_poster=lambda done, total: progress("made posters", done, total),
    )
    print_result("demo movie set", dataclasses.asdict(made), as_json=as_json, quiet=quiet)


def _style_names(text: str | None) -> list[str]:
    """The names in a list separated by commas; all styles for `None`."""
    from pigeon_rec.demo.posters import STYLES

    return list(STYLES) if text is None else [name.strip() for name in text.split(",")]
