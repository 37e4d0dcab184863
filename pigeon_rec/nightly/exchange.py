"""Nights drawn by machines that share no disk: plan and shards go through an fsspec address.

The machine with the warehouse plans, sends the plan to `<address>/<date>/` and, before publishing,
fetches the shards from there. A machine that draws fetches the plan into a work directory of its
own, and sends each shard when it is finished. An object is put whole, a local file renamed, so
nobody ever fetches half of one; a shard that is drawn twice is the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Final

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.paths import NightPaths

__all__ = ["ExchangeError", "fetch_plan", "fetch_shards", "send_plan", "send_shard"]

_NOWHERE: Final = "disk"
_FOLDERLESS: Final = frozenset({"abfs", "az", "gcs", "gs", "s3", "s3a"})
"""Object stores: keys need no folders, and making them would make a mistyped bucket."""


class ExchangeError(PlanError):
    """The address cannot be reached; a later try may."""

    retryable: ClassVar[bool] = True


def send_plan(config: NightlyConfig, paths: NightPaths) -> None:
    """Hands the plan to those who draw.

    Raises:
        ExchangeError: The address cannot be written.
    """
    _send(config, paths, [paths.plan])


def fetch_plan(config: NightlyConfig, paths: NightPaths) -> None:
    """Gets the plan; what lay here before is replaced.

    Raises:
        ExchangeError: The address cannot be read.
    """
    _fetch(config, paths, [paths.plan])


def send_shard(config: NightlyConfig, paths: NightPaths, shard: int) -> None:
    """Hands one finished shard, and how long it took, to whoever publishes.

    Raises:
        ExchangeError: The address cannot be written.
    """
    # The shard last: where it is, all of it is.
    files = [paths.drawing_time(shard), paths.shard(shard)]
    _send(config, paths, [file for file in files if file.is_file()])


def fetch_shards(config: NightlyConfig, paths: NightPaths, shards: Iterable[int]) -> None:
    """Gets those of the shards that are finished.

    Raises:
        ExchangeError: The address cannot be read.
    """
    for shard in shards:
        _fetch(config, paths, [paths.shard(shard), paths.drawing_time(shard)])


def _send(config: NightlyConfig, paths: NightPaths, files: Iterable[Path]) -> None:
    if config.exchange == _NOWHERE:
        return
    fs, folder = _place(config, paths)
    for file in files:
        target = f"{folder}/{file.relative_to(paths.night).as_posix()}"
        try:
            if config.exchange.partition("://")[0] not in _FOLDERLESS:
                fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            if _is_local(fs):
                unfinished = f"{target}.{os.getpid()}.tmp"
                fs.pipe_file(unfinished, file.read_bytes())
                Path(unfinished).replace(target)
            else:
                fs.pipe_file(target, file.read_bytes())
        except OSError as error:
            raise _unreachable(config, "written", error) from error


def _fetch(config: NightlyConfig, paths: NightPaths, files: Iterable[Path]) -> None:
    if config.exchange == _NOWHERE:
        return
    fs, folder = _place(config, paths)
    fs.invalidate_cache()  # others have written since
    for file in files:
        try:
            content = fs.cat_file(f"{folder}/{file.relative_to(paths.night).as_posix()}")
        except FileNotFoundError:
            continue  # the step itself says what is missing
        except OSError as error:
            raise _unreachable(config, "read", error) from error
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        unfinished.write_bytes(content)
        unfinished.replace(file)


def _place(config: NightlyConfig, paths: NightPaths) -> tuple[Any, str]:
    import fsspec

    fs, root = fsspec.url_to_fs(config.exchange)
    return fs, f"{root.rstrip('/')}/{paths.run_id}"


def _is_local(fs: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(fs, LocalFileSystem)


def _unreachable(config: NightlyConfig, verb: str, error: OSError) -> ExchangeError:
    return ExchangeError(
        f"the exchange of plans and shards cannot be {verb}: {error}",
        location=config.exchange,
        remedy="Check that it exists and that this account may use it, then run the step again",
    )
