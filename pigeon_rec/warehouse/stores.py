"""Picture bytes outside the table: files below one address, named by the hash of their bytes.

The address is any that fsspec supports: a folder (`file:///srv/pictures`) or a bucket
(`s3://bucket/pictures`). Files are never incomplete: a local file is written under a temporary name
and renamed, an object is put whole. Pictures are written before the rows that refer to them, so a
killed publication leaves at worst unused pictures, which `collect_garbage` removes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import fsspec
import polars as pl
from fsspec.implementations.local import LocalFileSystem

from pigeon_rec.errors import ConfigError, WarehouseError
from pigeon_rec.warehouse._images import FORMATS

__all__ = ["IN_TABLE", "PictureStore", "read_pictures", "with_bytes"]

IN_TABLE: Final = "table"
"""Setting that keeps picture bytes in the table itself."""

_OURS: Final = re.compile(
    rf"/([0-9a-f]{{2}})/\.?\1[0-9a-f]{{62}}\.({'|'.join(FORMATS)})(\.\d+\.tmp)?"
)
_PER_REQUEST: Final = 512


class PictureStore:
    """The folder or bucket that one address names.

    Args:
        address: An fsspec address with its protocol. Credentials come from where the protocol's
            package looks for them (environment, configuration files).

    Raises:
        ConfigError: The address has no protocol, or one whose package is not installed.
    """

    def __init__(self, address: str) -> None:
        self._fs, self._root = _filesystem(address)
        self.address: str = self._fs.unstrip_protocol(self._root).rstrip("/")
        """Canonical form: absolute, with protocol, no slash at its end."""

    def uri_of(self, sha256: str, encoding: str) -> str:
        """Returns the address of the picture with this hash, whether or not it exists."""
        return f"{self.address}/{sha256[:2]}/{sha256}.{encoding}"

    def put(self, pictures: pl.DataFrame) -> pl.Series:
        """Writes pictures.

        Args:
            pictures: Columns `image, image_sha256, format`.

        Returns:
            Their addresses, `image_uri`, in the same order.

        Raises:
            WarehouseError: The store cannot be written.
        """
        uris: list[str] = []
        for part in pictures.select("image", "image_sha256", "format").iter_slices(_PER_REQUEST):
            named = {self.uri_of(sha256, kind): image for image, sha256, kind in part.iter_rows()}
            try:
                self._write(named)
            except OSError as error:
                raise _unreachable(self.address, "written", error) from error
            uris += [self.uri_of(*names) for names in part.select("image_sha256", "format").rows()]
        if isinstance(self._fs, LocalFileSystem):
            os.sync()  # before the rows that refer to them are committed
        return pl.Series("image_uri", uris, dtype=pl.String)

    def holdings(self) -> dict[str, int]:
        """Returns address -> size of every picture file, unfinished ones included.

        Files that do not match this class's naming are left out.

        Raises:
            WarehouseError: The store cannot be listed.
        """
        self._fs.invalidate_cache()
        try:
            found: Mapping[str, Mapping[str, Any]] = self._fs.find(self._root, detail=True)
        except OSError as error:
            raise _unreachable(self.address, "listed", error) from error
        addressed = {self._fs.unstrip_protocol(path): facts for path, facts in found.items()}
        return {
            uri: int(facts.get("size") or 0)
            for uri, facts in sorted(addressed.items())
            if uri.startswith(self.address) and _OURS.fullmatch(uri[len(self.address) :])
        }

    def remove(self, uris: Sequence[str]) -> None:
        """Removes pictures of this store.

        Raises:
            WarehouseError: The store cannot be written.
        """
        try:
            for start in range(0, len(uris), _PER_REQUEST):
                self._fs.rm(list(uris[start : start + _PER_REQUEST]))
        except OSError as error:
            raise _unreachable(self.address, "cleaned", error) from error

    def _write(self, named: Mapping[str, bytes]) -> None:
        if not isinstance(self._fs, LocalFileSystem):
            self._fs.pipe(dict(named))
            return
        for uri, image in named.items():
            _write_whole(Path(self._fs._strip_protocol(uri)), image)


def read_pictures(uris: Sequence[str]) -> dict[str, bytes]:
    """Returns address -> bytes of the pictures that can be read.

    Args:
        uris: Addresses, from any number of stores.

    Raises:
        ConfigError: An address has a protocol whose package is not installed.
    """
    by_protocol: dict[str, list[str]] = {}
    for uri in dict.fromkeys(uris):
        by_protocol.setdefault(uri.partition("://")[0], []).append(uri)
    found: dict[str, bytes] = {}
    for together in by_protocol.values():
        fs, _ = _filesystem(together[0])
        paths = {fs._strip_protocol(uri): uri for uri in together}
        contents = fs.cat(list(paths), on_error="omit")
        found |= {paths[path]: bytes(content) for path, content in contents.items()}
    return found


def with_bytes(rows: pl.DataFrame) -> pl.DataFrame:
    """Fills `image` from `image_uri` where the bytes lie outside the table.

    Args:
        rows: Columns `image, image_uri` and any others. Rows whose `asset_key` is null have the
            address of the catalogue's own picture, which is not fetched.

    Returns:
        The same rows; `image` stays null if it cannot be read.
    """
    ours = rows.drop_nulls("asset_key") if "asset_key" in rows.columns else rows
    outside = ours.filter(pl.col("image").is_null())["image_uri"].drop_nulls().unique()
    if outside.is_empty():
        return rows
    found = read_pictures(outside.to_list())
    schema = {"image_uri": pl.String, "_bytes": pl.Binary}
    contents = pl.DataFrame(list(found.items()), schema=schema, orient="row")
    joined = rows.join(contents, on="image_uri", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("image", "_bytes").alias("image")).drop("_bytes")


def _filesystem(address: str) -> tuple[Any, str]:
    """Returns the filesystem of an address, and the address without its protocol."""
    protocol, separator, rest = address.partition("://")
    if not (protocol and separator and rest):
        raise ConfigError(
            f"expected `{IN_TABLE}` or an address, received {address!r}",
            location="warehouse.images",
            remedy="Write it as file:///srv/pictures or s3://bucket/pictures",
        )
    try:
        fs, path = fsspec.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"no installed package supports {protocol}:// ({error})",
            location="warehouse.images",
            remedy="Install the fsspec package of that protocol, such as s3fs for s3://",
        ) from error
    return fs, path


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _unreachable(address: str, verb: str, error: OSError) -> WarehouseError:
    return WarehouseError(
        f"the picture store cannot be {verb}: {error}",
        location=address,
        remedy="Check that it exists and can be written; the tables are unchanged",
    )
