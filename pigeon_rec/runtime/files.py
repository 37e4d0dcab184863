"""Reading files, and atomic writes: a reader sees the old file or the new one, never half of one.

Errors of the disk are `OSError` with the path of the file, whichever library raised them;
`storage_errors` turns them into ours at the borders of a step.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pigeon_rec.errors import PigeonError, StorageError, storage_error

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "current_folder",
    "read_json",
    "read_parquet",
    "real_path",
    "replacing",
    "replacing_folder",
    "scan_parquet",
    "sink_parquet",
    "storage_errors",
    "sync_folder",
    "write_bytes",
    "write_json",
    "write_parquet",
    "write_text",
]


def real_path(path: str | Path) -> Path:
    """Returns the absolute path with links followed; a link in a loop stays as it is.

    `Path.resolve` raises `RuntimeError` for such a link before Python 3.13.
    """
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def replacing(path: Path, *, keep_suffix: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success the file written there replaces `path`.

    The temporary file is removed if the block raises. Missing parent folders are made. With
    `keep_suffix` its name ends as that of `path`, because some writers derive the format from it;
    programs that watch a folder for a suffix would read it half written.

    Raises:
        OSError: The file cannot be written; `filename` is its path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps two writers apart; the same folder keeps the rename atomic.
    name, suffix = (path.stem, path.suffix) if keep_suffix else (path.name, "")
    temporary = path.with_name(f".{name}.{os.getpid()}.tmp{suffix}")
    try:
        with _named(path, temporary):
            yield temporary
            temporary.replace(path)
    finally:
        with contextlib.suppress(NotADirectoryError):  # its folder is a file: nothing was written
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder beside `folder`; on success it replaces `folder`.

    It is removed if the block raises. Folders cannot be swapped in one step: a process killed
    between two renames leaves the old folder under another name, where `current_folder` finds it.
    Only one process may write a folder at a time; it removes what a killed one left behind.
    """
    fresh, old = _beside(folder, "new"), _beside(folder, "old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.replace(old)
        fresh.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def current_folder(folder: Path) -> Path | None:
    """Returns where the content of `folder` is now: there, or under the name of the old one.

    Returns `None` if `replacing_folder` never finished writing it.
    """
    return next((path for path in (folder, _beside(folder, "old")) if path.exists()), None)


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}.{suffix}")


def write_bytes(content: bytes, path: Path) -> None:
    """Writes bytes atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(text: str, path: Path) -> None:
    """Writes UTF-8 text atomically."""
    with replacing(path, keep_suffix=False) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(value: Mapping[str, object], path: Path) -> None:
    """Writes indented JSON with sorted keys atomically."""
    write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", path)


def write_parquet(
    frame: pl.DataFrame, path: Path, *, metadata: dict[str, str] | None = None
) -> None:
    """Writes a frame as parquet atomically, with notes in its file if there are any."""
    import polars as pl

    with replacing(path) as temporary:
        try:
            frame.write_parquet(temporary, metadata=metadata)
        except pl.exceptions.ComputeError as error:
            raise _os_error(error, path) from error


def sink_parquet(table: pl.LazyFrame, path: Path) -> None:
    """Writes a table as parquet atomically, in a stream that does not hold it in memory."""
    import polars as pl

    with replacing(path) as temporary:
        try:
            table.sink_parquet(temporary, engine="streaming")
        except pl.exceptions.ComputeError as error:
            if "os error" not in str(error):  # of what is read
                raise
            raise _os_error(error, path) from error


def read_parquet(path: str | Path) -> pl.DataFrame:
    """Reads a parquet file.

    Raises:
        OSError: The file is missing or cannot be read.
        PolarsError: It is no parquet file, or damaged.
    """
    import polars as pl

    try:
        return pl.read_parquet(path, glob=False)
    except pl.exceptions.PanicException as error:
        raise pl.exceptions.ComputeError("the file is damaged") from error


def scan_parquet(path: Path) -> pl.LazyFrame:
    """Opens a parquet file to be read in a stream, and reads its head.

    Raises:
        OSError: The file is missing or cannot be read.
        PolarsError: It is no parquet file, or its head is damaged.
    """
    import polars as pl

    try:
        table = pl.scan_parquet(path, glob=False)
        table.collect_schema()
    except pl.exceptions.PanicException as error:
        raise pl.exceptions.ComputeError("the file is damaged") from error
    return table


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        OSError: The file is missing or cannot be read.
        ValueError: It is no JSON in UTF-8, or nested too deeply.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("the file is nested too deeply") from error


@contextlib.contextmanager
def storage_errors(location: object) -> Iterator[None]:
    """Turns what files and disks raise into a `StorageError` with the path, or else `location`.

    Raises:
        StorageError: A file cannot be read or written, or is damaged.
    """
    try:
        yield
    except PigeonError:
        raise
    except OSError as error:
        raise storage_error(_os_error(error, None), str(location)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of polars, which is no `Exception`
            raise
        raise StorageError(
            "a file is damaged",
            location=str(location),
            remedy="The lines before this one say which; remove it, and run the step that wrote it",
        ) from error


def sync_folder(folder: Path) -> None:
    """Makes renames inside the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _named(path: Path, temporary: Path) -> Iterator[None]:
    """Gives errors of a temporary file the path of the final one."""
    try:
        yield
    except OSError as error:
        if error.filename in (None, str(temporary), temporary) and error.errno:
            raise _os_error(error, path) from error
        raise


def _os_error(error: Exception, path: Path | None) -> OSError:
    """Returns the error as one with number, reason and path; polars has them in its message."""
    number = getattr(error, "errno", None)
    if number is None and (found := re.search(r"os error (\d+)\)(?:: (.+))?", str(error))):
        number, named = int(found[1]), found[2]
        return OSError(number, os.strerror(number), str(path or named or "") or None)
    if number is not None and path is not None:
        return OSError(number, os.strerror(number), str(path))
    return error if isinstance(error, OSError) else OSError(str(error))
