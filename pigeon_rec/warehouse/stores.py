"""Picture bytes outside the table: files below one fsspec location, named by their SHA-256.

Every file is written atomically (`pigeon_rec.runtime.storage`). Rows that refer to a picture are
committed after it, so a killed publication leaves at worst a picture that no row refers to, and
`collect_garbage` removes that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from pigeon_rec.errors import WarehouseError, may_pass
from pigeon_rec.runtime import storage
from pigeon_rec.warehouse._images import FORMATS

__all__ = ["IN_TABLE", "PictureStore", "unreachable", "with_bytes"]

IN_TABLE: Final = "table"
"""Setting that keeps picture bytes in the table itself."""

# With the temporary names of `runtime.files.replacing`, and those of earlier versions (at the end).
_OURS: Final = re.compile(
    rf"/([0-9a-f]{{2}})/\.?\1[0-9a-f]{{62}}(\.\d+\.tmp)?\.({'|'.join(FORMATS)})(\.\d+\.tmp)?"
)
_PER_REQUEST: Final = 512


class PictureStore:
    """The folder or bucket that one address names.

    Args:
        address: An fsspec location.

    Raises:
        ConfigError: The address has no protocol, or one whose package is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address: str = storage.canonical_location(address)
        """Canonical form: absolute, with protocol, no slash at its end."""

    def uri_of(self, sha256: str, encoding: str) -> str:
        """Returns the location of the picture with this hash, whether or not it exists."""
        return f"{self.address}/{sha256[:2]}/{sha256}.{encoding}"

    def put(self, pictures: pl.DataFrame) -> pl.Series:
        """Writes the rows `image, image_sha256, format` and returns their `image_uri` in order.

        Raises:
            WarehouseError: The store cannot be written.
        """
        uris: list[str] = []
        for part in pictures.select("image", "image_sha256", "format").iter_slices(_PER_REQUEST):
            named = {self.uri_of(sha256, kind): image for image, sha256, kind in part.iter_rows()}
            try:
                storage.put_files(named)
            except OSError as error:
                raise unreachable(self.address, "written", error) from error
            uris += [self.uri_of(*names) for names in part.select("image_sha256", "format").rows()]
        if self.address.startswith("file://"):
            os.sync()  # before the rows that refer to them are committed
        return pl.Series("image_uri", uris, dtype=pl.String)

    def holdings(self) -> dict[str, int]:
        """Returns location -> size of every picture file, unfinished ones included.

        Files that do not match this class's naming are left out.

        Raises:
            WarehouseError: The store cannot be listed.
        """
        try:
            found = storage.list_files(self.address)
        except OSError as error:
            raise unreachable(self.address, "listed", error) from error
        return {
            uri: size
            for uri, size in found.items()
            if uri.startswith(self.address) and _OURS.fullmatch(uri[len(self.address) :])
        }

    def remove(self, uris: Sequence[str]) -> None:
        """Removes pictures of this store.

        Raises:
            WarehouseError: The store cannot be written.
        """
        try:
            for start in range(0, len(uris), _PER_REQUEST):
                storage.remove_files(uris[start : start + _PER_REQUEST])
        except OSError as error:
            raise unreachable(self.address, "cleaned", error) from error


def with_bytes(rows: pl.DataFrame) -> pl.DataFrame:
    """Fills `image` from `image_uri` where the bytes lie outside the table.

    Args:
        rows: Columns `image, image_uri` and any others. Rows whose `asset_key` is null have the
            location of the catalogue's own picture, which is not fetched.

    Returns:
        The same rows; `image` stays null if it cannot be read.
    """
    # Loops and series, since expressions wait for threads that a forked child lacks.
    keys = rows["asset_key" if "asset_key" in rows.columns else "image_uri"]
    places = zip(rows["image"].is_null(), rows["image_uri"], keys, strict=True)
    outside = [uri if missing and key is not None else None for missing, uri, key in places]
    wanted = sorted({uri for uri in outside if uri is not None})
    if not wanted:
        return rows
    found = storage.get_files(wanted)
    images = [
        found.get(uri or "", image) for uri, image in zip(outside, rows["image"], strict=True)
    ]
    filled = pl.Series("image", images, dtype=pl.Binary)
    return rows.clone().replace_column(rows.columns.index("image"), filled)


def unreachable(address: str, verb: str, error: OSError) -> WarehouseError:
    """Returns the error of a store that cannot be read or written."""
    return WarehouseError(
        f"the picture store cannot be {verb}: {error}",
        location=address,
        remedy="Check that it exists and can be written; the tables are unchanged",
        retryable=may_pass(error),
    )
