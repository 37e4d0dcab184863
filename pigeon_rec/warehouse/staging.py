"""Staging: a night is checked and written as parquet files before it is published.

The staging folder has a folder of parquet files per table of `NIGHT_SCHEMAS`, and `night.json` with
their SHA-256. It is written under a temporary name and renamed, so it is never incomplete. A night
is staged part by part, so that memory does not grow with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import glob
import itertools
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError, error_text, may_pass
from pigeon_rec.runtime.digests import file_sha256
from pigeon_rec.runtime.files import (
    read_json,
    read_parquet,
    replacing_folder,
    sink_parquet,
    write_parquet,
)
from pigeon_rec.warehouse._checks import (
    check_across,
    check_images,
    check_night,
    check_nulls,
    check_table,
)
from pigeon_rec.warehouse._frames import run_script
from pigeon_rec.warehouse._images import image_slices
from pigeon_rec.warehouse.records import NIGHT_SCHEMAS, NightFacts, NightRecords
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["StagedNight", "read_staged", "stage", "stage_parts"]

_INDEX: Final = "night.json"
_FACTS: Final = ("model_version", "settings_hash", "seed", "planned", "skipped")
_OF_PARTS: Final = ("assets", "run_assets", "scores", "rejections")
_EMPTY: Final = {name: pl.DataFrame(schema=NIGHT_SCHEMAS[name]) for name in _OF_PARTS}


@dataclass(frozen=True)
class StagedNight:
    """A night that has passed all checks, and its staging folder."""

    facts: NightFacts
    folder: Path

    def files(self, name: str) -> list[Path]:
        """Returns the files of a table, at least one."""
        return _files(self.folder, name)

    def pictures(self) -> Iterator[pl.DataFrame]:
        """Yields the rows of `assets` in frames of bounded size."""
        return map(read_parquet, self.files("assets"))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yields an empty folder beside the staging folder, and removes it after the block.

        `sweep` finds it by its suffix if the process is killed.
        """
        folder = self.folder.with_name("marked.new")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def reasons(self) -> dict[str, int]:
        """Returns the number of rejections by reason."""
        rejections = pl.scan_parquet(self.files("rejections"), glob=False)
        counts = rejections.group_by("reason").len().sort("reason")
        return dict(counts.collect(engine="streaming").iter_rows())

    @contextmanager
    def opened(self, connection: DuckDBPyConnection) -> Iterator[None]:
        """Makes the tables readable as `staged_*` on this connection, within the block."""
        with _opened(connection, self.folder):
            yield


def stage(night: NightRecords, folder: Path) -> StagedNight:
    """Checks a night and writes it to the staging folder.

    Checks columns and types, references between the frames, and hash, size and decoding of every
    picture. An existing folder is replaced.

    Raises:
        WarehouseError: The night is inconsistent, or the folder cannot be written. An existing
            staging folder is unchanged.
    """
    checked = check_night(night)
    check_images(checked)
    with _writing(folder) as fresh:
        _Parts(fresh).add(checked)
        for name in NIGHT_SCHEMAS:
            if name not in _OF_PARTS:
                write_parquet(getattr(checked, name), _file(fresh, name, 0))
        _write_index(checked, fresh)
    return StagedNight(checked, folder)


def stage_parts(
    night: NightFacts,
    folder: Path,
    parts: Iterable[Mapping[str, pl.DataFrame]],
    tables: Mapping[str, pl.LazyFrame],
    connection: DuckDBPyConnection,
) -> StagedNight:
    """Stages a night as `stage`, one part after the other.

    Args:
        night: Its facts.
        folder: The staging folder.
        parts: Pictures with all rows that belong to them: the frames `assets`, `run_assets`,
            `scores` and `rejections`. The pictures have been checked; all else is checked here.
        tables: The other tables; they are streamed, without columns that the warehouse lacks.
        connection: Checks what spans the parts, within its limit of memory.

    Raises:
        WarehouseError: The night is inconsistent, or the folder cannot be written. An existing
            staging folder is unchanged.
    """
    with _writing(folder) as fresh:
        written = _Parts(fresh)
        # The first part gives every table a file, whose columns can be read.
        for frames in itertools.chain([_EMPTY], parts):
            fields: dict[str, Any] = {**_facts(night), **frames}
            written.add(check_night(NightRecords(**fields)))
        for name, table in tables.items():
            file = _file(fresh, name, 0)
            names = table.collect_schema().names()
            known = table.select(column for column in names if column in NIGHT_SCHEMAS[name])
            sink_parquet(check_table(night, name, known), file)
            nulls = pl.scan_parquet(file, glob=False).null_count().collect(engine="streaming")
            check_nulls(night, name, nulls.row(0, named=True))
        with _opened(connection, fresh):
            check_across(connection, night)
        _write_index(night, fresh)
    return StagedNight(night, folder)


def read_staged(folder: Path) -> StagedNight:
    """Reads a staged night back.

    Raises:
        WarehouseError: The folder is missing or incomplete, or a file was changed.
    """
    try:
        index = read_json(folder / _INDEX)
        damaged = [
            name for name, sha256 in index["files"].items() if file_sha256(folder / name) != sha256
        ]
        if damaged:
            raise ValueError(f"changed since: {', '.join(damaged)}")
        if missing := [name for name in NIGHT_SCHEMAS if not _files(folder, name)]:
            raise ValueError(f"no files of {', '.join(missing)}")
        facts: dict[str, Any] = {name: index[name] for name in _FACTS}
        date = dt.date.fromisoformat(index["logical_date"])
        night = NightFacts(logical_date=date, config=index["config"], **facts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WarehouseError(
            f"there is no complete staged night ({type(error).__name__}: {error})",
            location=str(folder),
            remedy="Stage the night again: run `pigeon-rec nightly publish`",
        ) from error
    return StagedNight(night, folder)


class _Parts:
    """Writes parts, each table into files of its own; empty ones only for the first part."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = dict.fromkeys(_OF_PARTS, 0)

    def add(self, part: NightRecords) -> None:
        for name in _OF_PARTS:
            frame: pl.DataFrame = getattr(part, name)
            for rows in image_slices(frame) if name == "assets" else [frame]:
                if rows.height or not self._files[name]:
                    write_parquet(rows, _file(self._folder, name, self._files[name]))
                    self._files[name] += 1


@contextmanager
def _writing(folder: Path) -> Iterator[Path]:
    try:
        with replacing_folder(folder) as fresh:
            yield fresh
    except OSError as error:
        raise WarehouseError(
            f"cannot stage the night: {error.strerror or error_text(error)}",
            location=str(error.filename or folder),
            remedy="Free space on its disk, or choose a work directory that can be written",
            retryable=may_pass(error),
        ) from error


@contextmanager
def _opened(connection: DuckDBPyConnection, folder: Path) -> Iterator[None]:
    # Names of folders may hold characters of patterns.
    files = {name: [glob.escape(str(f)) for f in _files(folder, name)] for name in NIGHT_SCHEMAS}
    run_script(connection, sql_text("publish/open_staged"), files)
    try:
        yield
    finally:
        with contextlib.suppress(duckdb.Error):  # an error may have closed the database
            run_script(connection, sql_text("publish/close_staged"), {})


def _facts(night: NightFacts) -> dict[str, Any]:
    return {field.name: getattr(night, field.name) for field in dataclasses.fields(NightFacts)}


def _file(folder: Path, name: str, number: int) -> Path:
    return folder / name / f"part-{number:05d}.parquet"


def _files(folder: Path, name: str) -> list[Path]:
    return sorted((folder / name).glob("part-*.parquet"))


def _write_index(night: NightFacts, folder: Path) -> None:
    files = sorted(file for name in NIGHT_SCHEMAS for file in _files(folder, name))
    index = {
        **{name: getattr(night, name) for name in _FACTS},
        "logical_date": night.run_id,
        "config": night.config,
        "files": {file.relative_to(folder).as_posix(): file_sha256(file) for file in files},
    }
    text = json.dumps(index, indent=2, sort_keys=True)
    (folder / _INDEX).write_text(text + "\n", encoding="utf-8")
