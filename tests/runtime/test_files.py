"""Atomic writes of files and folders."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.runtime.files import (
    current_folder,
    replacing,
    replacing_folder,
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
