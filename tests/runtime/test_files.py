"""Atomic writes of files and folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.errors import StorageError
from pigeon_rec.runtime.files import (
    current_folder,
    read_json,
    read_parquet,
    real_path,
    replacing,
    replacing_folder,
    storage_errors,
    write_bytes,
    write_json,
    write_parquet,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_written_with_missing_folders(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    write_bytes(b"1", folder / "bytes")
    write_text("\u00e9", folder / "text.txt")
    write_json({"b": 1, "a": "\u00e9"}, folder / "value.json")
    write_parquet(pl.DataFrame({"a": [1]}), folder / "frame.parquet")
    assert (folder / "bytes").read_bytes() == b"1"
    assert (folder / "text.txt").read_text("utf-8") == "\u00e9"
    assert (folder / "value.json").read_text("utf-8") == '{\n  "a": "\u00e9",\n  "b": 1\n}\n'
    assert pl.read_parquet(folder / "frame.parquet").rows() == [(1,)]
    assert names(folder) == ["bytes", "frame.parquet", "text.txt", "value.json"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            assert temporary.suffix == path.suffix
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["plan.parquet"]


def fill(folder: Path, content: str) -> None:
    with replacing_folder(folder) as fresh:
        assert list(fresh.iterdir()) == []
        (fresh / "file").write_text(content)


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    assert current_folder(folder) is None
    fill(folder, "one")
    (folder / "other").touch()
    fill(folder, "two")
    assert names(tmp_path) == ["checkpoint"]
    assert names(folder) == ["file"]
    assert (folder / "file").read_text() == "two"


def test_a_failed_folder_leaves_the_old_one_alone(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    fill(folder, "one")

    def interrupted() -> None:
        with replacing_folder(folder) as fresh:
            (fresh / "file").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == ["checkpoint"]
    assert (folder / "file").read_text() == "one"


def test_between_both_renames_the_old_folder_is_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    fill(folder, "one")
    rename = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if path != folder:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            fill(folder, "two")
    current = current_folder(folder)
    assert current is not None
    assert current != folder
    assert (current / "file").read_text() == "one"
    fill(folder, "three")
    assert names(tmp_path) == ["checkpoint"]


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np, polars as pl
from pigeon_rec.runtime.files import storage_errors, write_bytes, write_json, write_parquet
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
numbers = np.random.default_rng(0).random(9999)
path = Path(sys.argv[2])
write = {
    "parquet": lambda: write_parquet(pl.DataFrame({"a": numbers}), path),
    "json": lambda: write_json({"a": numbers.tolist()}, path),
    "bytes": lambda: write_bytes(bytes(20_000), path),
}[sys.argv[1]]
try:
    with storage_errors("/elsewhere"):
        write()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("kind", ["parquet", "json", "bytes"])
def test_a_disk_that_takes_no_more_is_named_with_the_path(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"file.{kind}"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", LIMITED, kind, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert said.startswith(f"StorageError cannot read or write a file: File too large [{path}]. ")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == [path.name]


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_bytes(b"")
    path = tmp_path / "runs" / "2026-06-01" / "plan.parquet"
    expected = pytest.raises(StorageError, match=r"Not a directory|File exists")
    with expected as caught, storage_errors("/elsewhere"):
        write_bytes(b"1", path)
    assert caught.value.location is not None
    assert caught.value.location.startswith(str(tmp_path / "runs"))


def test_brackets_in_a_path_are_no_pattern(tmp_path: Path) -> None:
    path = tmp_path / "nights[1]" / "plan*.parquet"
    write_parquet(pl.DataFrame({"a": [1]}), path)
    assert read_parquet(path).rows() == [(1,)]


PANICS = b"PAR1" + bytes(40) + b"PAR1"


@pytest.mark.parametrize("content", [b"", b"PAR1", PANICS, b"{", b"\xff" * 99])
def test_a_damaged_parquet_file_is_an_error_of_polars(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.parquet"
    path.write_bytes(content)
    with pytest.raises((OSError, pl.exceptions.PolarsError)):
        read_parquet(path)


def test_a_panic_of_polars_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panics(*_: object, **__: object) -> None:
        raise pl.exceptions.PanicException("index out of bounds")

    monkeypatch.setattr(pl, "read_parquet", panics)
    with pytest.raises(pl.exceptions.ComputeError, match="damaged"):
        read_parquet(tmp_path)
    with pytest.raises(StorageError, match=r"damaged \[/srv\]"), storage_errors("/srv"):
        pl.read_parquet(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 99_999, b"\xff\xfe", b'{"a": 1}x'])
def test_a_damaged_json_file_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_json(path)


def test_a_link_in_a_loop_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert real_path(tmp_path / "loop") == tmp_path.resolve() / "loop"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert real_path(tmp_path / "link") == tmp_path.resolve() / "file"
