"""`pigeon-rec stickers`: lists the bundled stickers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pigeon_rec._cli.options import AsJson
from pigeon_rec._cli.output import as_table, print_json

__all__ = ["stickers"]

Unpack = Annotated[
    Path | None,
    typer.Option(
        "--unpack", metavar="DIR", help="Write every picture to DIR/<style>/<concept>.webp."
    ),
]


def stickers(unpack: Unpack = None, as_json: AsJson = False) -> None:
    """List the styles of the bundled stickers, with their counts."""
    import polars as pl

    from pigeon_rec.data.world import load_world

    world = load_world("bundled")
    catalogue = world.artwork()
    counted = catalogue.group_by("style", maintain_order=True).agg(
        pl.len().alias("stickers"), pl.col("held_out").sum()
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
