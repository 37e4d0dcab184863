"""`pigeon-rec stickers|posters`: lists the items of the bundled worlds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pigeon_rec._cli.options import AsJson, Quiet
from pigeon_rec._cli.output import as_table, print_json

if TYPE_CHECKING:
    from pigeon_rec.data.world import World

__all__ = ["posters", "stickers"]

Unpack = Annotated[
    Path | None,
    typer.Option(
        "--unpack", metavar="DIR", help="Write every picture to DIR/<style>/<concept>.webp."
    ),
]


def stickers(unpack: Unpack = None, as_json: AsJson = False) -> None:
    """List the styles of the bundled stickers, with their counts."""
    from pigeon_rec.data.world import load_world

    _list(load_world("bundled"), "stickers", unpack, as_json=as_json)


def posters(unpack: Unpack = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the styles of the made posters, with their counts; draws the poster world first."""
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.demo.poster_world import load

    progress = choose_progress(quiet=quiet or as_json)
    world = load(lambda done, total: progress("made posters", done, total))
    _list(world, "posters", unpack, as_json=as_json)


def _list(world: World, counted_as: str, unpack: Path | None, *, as_json: bool) -> None:
    import polars as pl

    catalogue = world.artwork()
    counted = catalogue.group_by("style", maintain_order=True).agg(
        pl.len().alias(counted_as), pl.col("held_out").sum()
    )
    rows = [(*row, world.style_descriptions.get(row[0], "")) for row in counted.iter_rows()]
    columns = [*counted.columns, "description"]
    if unpack is not None:
        for item_id, image in catalogue.select("item_id", "image").iter_rows():
            file = unpack / f"{item_id}.webp"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(image)
    if as_json:
        print_json({"styles": [dict(zip(columns, row, strict=True)) for row in rows]})
    else:
        print(as_table(columns, rows))
