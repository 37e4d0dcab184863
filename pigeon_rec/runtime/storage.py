"""Files at fsspec locations: in a folder (`file:///srv/nights`) or a bucket (`s3://bucket/nights`).

A reader never sees half a file: a local file is written under another name and renamed, an object
is put whole. Every function raises `ConfigError` for a location that `check_location` refuses, and
`OSError` if the files cannot be reached, whatever the protocol's package raises; only the caller
knows what that means for its step.
Credentials come from where the protocol's package looks for them (environment, its own files).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pigeon_rec.errors import ConfigError, PigeonError, error_text
from pigeon_rec.runtime.files import write_bytes

__all__ = [
    "canonical_location",
    "check_location",
    "filesystem",
    "get_file",
    "get_files",
    "list_files",
    "put_file",
    "put_files",
    "remove_files",
    "remove_folders",
]

_PATTERNS: Final = frozenset("*?[]")
_OBJECT_STORES: Final = frozenset({"abfs", "az", "gcs", "gs", "s3", "s3a"})
"""Their keys need no folders, and making folders would create a mistyped bucket."""


def check_location(location: str) -> str:
    """Returns `location` if its protocol can be used here; opens no connection.

    Raises:
        ConfigError: `location` has no protocol, or one whose package is not installed; or it has
            characters that fsspec takes for a pattern of names.
    """
    import fsspec

    protocol, _, rest = location.partition("://")
    if not (protocol and rest):
        raise ConfigError(
            f"a location needs a protocol and a path, received {location!r}",
            remedy="Write it as file:///srv/pictures or s3://bucket/pictures",
        )
    if found := sorted(_PATTERNS.intersection(location)):
        raise ConfigError(
            f"a location cannot contain {' '.join(found)}, received {location!r}",
            remedy="Choose a folder or bucket without these characters",
        )
    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:
        raise _no_package(location, error) from error
    return location


def filesystem(location: str) -> tuple[Any, str]:
    """Opens the filesystem of a location; returns it with the path inside it."""
    import fsspec

    check_location(location)
    try:
        fs, path = fsspec.url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise _no_package(location, error) from error
    return fs, path


def canonical_location(location: str) -> str:
    """Returns the absolute form of a location, with its protocol and without a slash at its end."""
    fs, path = filesystem(location)
    return str(fs.unstrip_protocol(path)).rstrip("/")


def put_file(location: str, content: bytes) -> None:
    """Writes one file; missing folders are made."""
    put_files({location: content})


def put_files(contents: Mapping[str, bytes]) -> None:
    """Writes files of one filesystem, given as location -> bytes; to object stores in parallel."""
    if not contents:
        return
    fs, _ = filesystem(next(iter(contents)))
    paths = {str(fs._strip_protocol(location)): content for location, content in contents.items()}
    if _is_local(fs):
        for path, content in paths.items():
            write_bytes(content, Path(path))
        return
    with _reaching():
        if not _OBJECT_STORES.intersection(_protocols(fs)):
            for folder in {path.rpartition("/")[0] for path in paths}:
                fs.makedirs(folder, exist_ok=True)
        fs.pipe(paths)


def get_file(location: str) -> bytes:
    """Reads one file; a missing one raises `FileNotFoundError`."""
    fs, path = filesystem(location)
    with _reaching():
        fs.invalidate_cache()  # other machines may have written since
        return bytes(fs.cat_file(path))


def get_files(locations: Iterable[str]) -> dict[str, bytes]:
    """Reads files of any filesystems as location -> bytes; leaves out those it cannot read."""
    by_protocol: dict[str, list[str]] = {}
    for location in dict.fromkeys(locations):
        by_protocol.setdefault(location.partition("://")[0], []).append(location)
    found: dict[str, bytes] = {}
    for together in by_protocol.values():
        fs, _ = filesystem(together[0])
        names = {fs._strip_protocol(location): location for location in together}
        with _reaching():
            contents = fs.cat(list(names), on_error="omit")
        found |= {names[path]: bytes(content) for path, content in contents.items()}
    return found


def list_files(location: str) -> dict[str, int]:
    """Lists the files below a location as location -> size in bytes; a missing folder has none."""
    fs, path = filesystem(location)
    with _reaching():
        fs.invalidate_cache()
        found: Mapping[str, Mapping[str, Any]] = fs.find(path, detail=True)
    sizes = {str(fs.unstrip_protocol(name)): facts.get("size") for name, facts in found.items()}
    return {name: int(size or 0) for name, size in sorted(sizes.items())}


def remove_files(locations: Iterable[str]) -> None:
    """Removes files of one filesystem."""
    doomed = list(locations)
    if doomed:
        fs, _ = filesystem(doomed[0])
        with _reaching():
            fs.rm(doomed)


def remove_folders(locations: Iterable[str]) -> None:
    """Removes files, or folders with all that is in them; missing ones are no error.

    On a disk, the folder that held one goes with it if that leaves it empty.
    """
    for location in locations:
        fs, path = filesystem(location)
        with _reaching():
            fs.invalidate_cache()
            with contextlib.suppress(FileNotFoundError):
                fs.rm(path, recursive=True)
        if _is_local(fs):
            with contextlib.suppress(OSError):
                Path(path).parent.rmdir()


@contextlib.contextmanager
def _reaching() -> Iterator[None]:
    """Turns the errors of a protocol's package, such as a refused connection, into `OSError`."""
    try:
        yield
    except (OSError, PigeonError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error_text(error)}") from error


def _is_local(fs: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(fs, LocalFileSystem)


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def _no_package(location: str, error: Exception) -> ConfigError:
    protocol = location.partition("://")[0]
    return ConfigError(
        f"no installed package supports {protocol}:// ({error})",
        location=location,
        remedy="Install the fsspec package of that protocol, such as s3fs for s3://",
    )
