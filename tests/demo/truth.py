"""The preferences that the bundled users were simulated from."""

from __future__ import annotations

import polars as pl

from pigeon_rec.data.world import load_world


def user_truth() -> pl.DataFrame:
    """The bundled `.user` file, with the columns of `SimulatedUsers.users`."""
    path = load_world("bundled").interactions.with_suffix(".user")
    users = pl.read_csv(path, separator="\t", quote_char=None)
    users = users.rename({header: header.split(":")[0] for header in users.columns})
    return users.with_columns(pl.col("favourite_topics").str.split(" "))
