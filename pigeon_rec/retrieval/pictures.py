"""Pictures that several items share: copies within a history, and placeholders.

Catalogues show one picture for all sizes of a product, and a placeholder ("no image yet") for items
that have none. Such pictures would fill a history with one picture that says nothing of a taste.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from pigeon_rec.data.catalogue import Catalogue, Problem

__all__ = ["SharedPictures", "shared_pictures"]

_FEWEST: Final = 5
"""Items that a placeholder has at least: in a small catalogue, few are a large share."""


@dataclass(frozen=True)
class SharedPictures:
    """The pictures of a catalogue that several items have, by SHA-256.

    Attributes:
        pictures: `item_id, image_sha256` of the items that share a picture, placeholders aside.
        placeholders: Item id -> what is known of its picture, for items that have a placeholder.
        problems: One `placeholder_image` per placeholder.
    """

    pictures: pl.DataFrame
    placeholders: dict[str, str]
    problems: tuple[Problem, ...]

    def once(self, interactions: pl.DataFrame) -> pl.DataFrame:
        """Keeps one of a user's items with equal pictures: that of the latest interaction.

        Of equally late ones the first by id is kept. Rows stay in their order.

        Args:
            interactions: Columns `user_id, item_id, timestamp`.
        """
        if self.pictures.is_empty():
            return interactions
        latest = pl.col("timestamp").max().over("user_id", "item_id")
        kept = (
            interactions.join(self.pictures, on="item_id", how="inner")
            .with_columns(latest.alias("latest"))
            .sort(["latest", "item_id"], descending=[True, False])
            .unique(["user_id", "image_sha256"], keep="first", maintain_order=True)
            .select("user_id", "item_id")
        )
        alone = ~pl.col("item_id").is_in(self.pictures["item_id"].implode())
        rows = interactions.with_row_index("row")
        copies = rows.filter(~alone).join(kept, on=["user_id", "item_id"], how="semi")
        return pl.concat([rows.filter(alone), copies]).sort("row").drop("row")


def shared_pictures(catalogue: Catalogue, placeholder_share: float) -> SharedPictures:
    """Finds the pictures that several items share.

    A picture of more than `placeholder_share` of all items, and of at least 5, is a placeholder.
    """
    items = catalogue.items.select("item_id", "image_uri", "image_sha256")
    counts = items["image_sha256"].value_counts().filter(pl.col("count") > 1)
    shared = items.join(counts, on="image_sha256", maintain_order="left")
    common = (pl.col("count") >= _FEWEST) & (pl.col("count") > placeholder_share * len(catalogue))
    placeholders = shared.filter(common)
    named = placeholders.unique("image_sha256", keep="first", maintain_order=True)
    return SharedPictures(
        pictures=shared.filter(~common).select("item_id", "image_sha256"),
        placeholders={
            item: f"its picture is that of {count} items"
            for item, count in placeholders.select("item_id", "count").iter_rows()
        },
        problems=tuple(
            Problem(
                kind="placeholder_image",
                subject=item,
                location=f"image_uri {uri!r}, {sha256}",
                message=f"the picture is that of {count} items "
                f"({count / len(catalogue):.1%}), so it is taken for a placeholder; they are left "
                "out of histories and not redrawn",
            )
            for item, uri, sha256, count in named.iter_rows()
        ),
    )
