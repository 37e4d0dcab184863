"""Marking of generated pictures when they are published, and of those published before.

A mark changes the stored bytes and their hash, and nothing else: keys, reuse and the content hash
of a night are those of the drawn picture. A stored picture keeps its bytes, signature included,
until it is drawn differently or `mark_stored` marks it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.config import WarehouseConfig
from pigeon_rec.errors import ConfigError, WarehouseError
from pigeon_rec.warehouse._frames import fetch, registered, run_script, select
from pigeon_rec.warehouse._owners import claim
from pigeon_rec.warehouse._signing import Signer, load_signer
from pigeon_rec.warehouse.connection import driver_errors, transaction
from pigeon_rec.warehouse.marks import Mark, mark_picture, unmark_picture
from pigeon_rec.warehouse.sql_files import sql_text
from pigeon_rec.warehouse.stores import PictureStore, with_bytes

__all__ = ["Marker", "mark_stored", "marked", "marker_of"]

_ENOUGH: Final = {"metadata": ["metadata", "c2pa"], "c2pa": ["c2pa"]}
_PER_TRANSACTION: Final = 512


@dataclass(frozen=True)
class Marker:
    """Marks pictures in one way.

    Attributes:
        kind: `metadata`, or `c2pa`: metadata and a signature over it.
        signer: Signs pictures; for `c2pa`.
    """

    kind: Literal["metadata", "c2pa"]
    signer: Signer | None = None

    def mark(self, image: bytes, encoding: str, mark: Mark) -> bytes:
        """Returns the marked bytes of a PNG or WebP file.

        Raises:
            WarehouseError: The picture cannot be signed.
        """
        image = mark_picture(image, encoding, mark)
        return image if self.signer is None else self.signer.sign(image, encoding, mark)


def marker_of(settings: WarehouseConfig) -> Marker | None:
    """Returns the marker that the settings ask for; None for none.

    Raises:
        ConfigError: Pictures cannot be signed: a package is missing, or a file is unfit.
    """
    if settings.marking != "c2pa":
        return None if settings.marking is None else Marker(settings.marking)
    if settings.certificate is None or settings.key is None:
        raise ConfigError("signing pictures needs warehouse.certificate and warehouse.key")
    return Marker("c2pa", load_signer(settings.certificate, settings.key))


def marked(pictures: pl.DataFrame, marker: Marker | None) -> pl.DataFrame:
    """Returns rows of `assets` with marked bytes, their hash, and what `marking` was done.

    Args:
        pictures: Columns `asset_key, image, image_sha256, format, model_version` and any others.
        marker: None leaves the bytes as they are.

    Returns:
        The same rows with `marking` and `drawn_sha256`, both null for unmarked ones.

    Raises:
        WarehouseError: A picture cannot be signed.
    """
    if marker is None or pictures.is_empty():
        none = pl.lit(None, pl.String)
        return pictures.with_columns(marking=none, drawn_sha256=none)
    named = pictures.select("image", "format", "model_version", "asset_key").iter_rows()
    images = [marker.mark(image, kind, Mark(version, key)) for image, kind, version, key in named]
    hashes = [hashlib.sha256(image).hexdigest() for image in images]
    return pictures.with_columns(
        image=pl.Series(images, dtype=pl.Binary),
        image_sha256=pl.Series(hashes, dtype=pl.String),
        marking=pl.lit(marker.kind),
        drawn_sha256=pl.col("image_sha256"),
    )


def mark_stored(connection: DuckDBPyConnection, marker: Marker) -> int:
    """Marks the published pictures whose mark is weaker, where they are stored; returns how many.

    Keys and content hashes of nights stay. Readers get the marked pictures after the next
    promotion, and `collect_garbage` removes files that nothing refers to any more. An interrupted
    call can be repeated.

    Raises:
        WarehouseError: A picture cannot be read, signed or written; those marked before stay so.
    """
    enough = {"enough": _ENOUGH[marker.kind]}
    count = 0
    with driver_errors("marking"):
        keys = [key for (key,) in fetch(connection, sql_text("internal/weakly_marked"), enough)]
        for start in range(0, len(keys), _PER_TRANSACTION):
            part = pl.DataFrame({"asset_key": keys[start : start + _PER_TRANSACTION]})
            with transaction(connection):
                with registered(connection, wanted_keys=part):
                    stored = select(connection, sql_text("internal/pictures_to_mark"))
                pictures = _stored_anew(connection, marked(_drawn(stored), marker))
                with registered(connection, night_assets=pictures):
                    steps = ("publish/mark_pictures", "publish/list_generated")
                    run_script(connection, "".join(map(sql_text, steps)), {})
            count += part.height
    return count


def _drawn(stored: pl.DataFrame) -> pl.DataFrame:
    """Returns stored pictures as they were drawn, with their bytes."""
    pictures = with_bytes(stored)
    lost = pictures.filter(pl.col("image").is_null())
    if lost.height:
        raise WarehouseError(
            f"{lost.height} pictures cannot be read: {lost['image_uri'][0]}",
            remedy="Run `pigeon-rec warehouse check`",
        )
    images = []
    for key, image, encoding, sha256 in pictures.select(
        "asset_key", "image", "format", "drawn_sha256"
    ).iter_rows():
        drawn = unmark_picture(image, encoding)
        if hashlib.sha256(drawn).hexdigest() != sha256:
            raise WarehouseError(
                "a stored picture is not the one that was drawn",
                location=key,
                remedy="Run `pigeon-rec warehouse check`",
            )
        images.append(drawn)
    return pictures.with_columns(
        image=pl.Series(images, dtype=pl.Binary), image_sha256=pl.col("drawn_sha256")
    )


def _stored_anew(connection: DuckDBPyConnection, pictures: pl.DataFrame) -> pl.DataFrame:
    """Writes marked pictures to the stores that hold them now; returns their rows."""
    pictures = pictures.with_columns(byte_size=pl.col("image").bin.size("b").cast(pl.Int64))
    parts = [pictures.filter(pl.col("image_uri").is_null())]
    address = pl.col("image_uri").str.replace(r"/[^/]+/[^/]+$", "").alias("address")
    outside = pictures.filter(pl.col("image_uri").is_not_null())
    for (named,), rows in outside.group_by(address, maintain_order=True):
        store = PictureStore(str(named))
        claim(connection, store)
        parts.append(rows.with_columns(image=pl.lit(None, pl.Binary), image_uri=store.put(rows)))
    return pl.concat(parts)
