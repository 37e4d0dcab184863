"""Files at fsspec locations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pigeon_rec.errors import ConfigError
from pigeon_rec.runtime import storage


@pytest.fixture(params=["file", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder, and an empty object store that lives in this process."""
    return f"{request.param}://{tmp_path}/store"


def test_files_come_back_as_they_were_put(location: str) -> None:
    one, two = f"{location}/a/one.bin", f"{location}/a/b/two.bin"
    storage.put_file(one, b"1")
    storage.put_files({one: b"11", two: b"2"})
    assert storage.get_file(one) == b"11"
    assert storage.get_files([one, two, f"{location}/none"]) == {one: b"11", two: b"2"}
    assert storage.list_files(location) == {two: 1, one: 2}
    storage.remove_files([one])
    assert list(storage.list_files(location)) == [two]
    with pytest.raises(FileNotFoundError):
        storage.get_file(one)


def test_nothing_is_put_listed_or_removed_without_files(location: str) -> None:
    storage.put_files({})
    storage.remove_files([])
    assert storage.get_files([]) == {}
    assert storage.list_files(location) == {}


def test_a_location_has_one_canonical_form(tmp_path: Path) -> None:
    assert storage.canonical_location(f"local://{tmp_path}/a/") == f"file://{tmp_path}/a"


@pytest.mark.parametrize("wrong", ["pictures", "/srv/pictures", "://x", "file://", ""])
def test_a_location_needs_a_protocol_and_a_path(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"received .*file:///srv/pictures"):
        storage.filesystem(wrong)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ConfigError, match="no installed package supports carrier://") as caught:
        storage.filesystem("carrier://pigeon")
    assert caught.value.location == "carrier://pigeon"


def test_a_local_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    location = f"file://{tmp_path}/plan.parquet"
    storage.put_file(location, b"old")

    def fails(_: Path, __: Path) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fails)
        with pytest.raises(OSError, match="the disk is gone"):
            storage.put_file(location, b"new")
    assert storage.list_files(f"file://{tmp_path}") == {location: 3}
    assert storage.get_file(location) == b"old"


def test_a_location_that_cannot_be_written_raises(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(OSError, match="taken"):
        storage.put_file(f"file://{tmp_path}/taken/plan.parquet", b"plan")


@pytest.mark.parametrize("wrong", ["file:///srv/a[1]", "s3://bucket/*", "memory://a?b"])
def test_patterns_are_no_locations(wrong: str) -> None:
    with pytest.raises(ConfigError, match="a location cannot contain"):
        storage.check_location(wrong)


def test_errors_of_another_package_are_os_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    class EndpointConnectionError(Exception):
        """As botocore raises, which is no `OSError`."""

    def refuses(*_: object, **__: object) -> None:
        raise EndpointConnectionError("could not connect to the endpoint")

    calls: dict[str, Callable[[], object]] = {
        "cat_file": lambda: storage.get_file("memory://nights/a"),
        "cat": lambda: storage.get_files(["memory://nights/a"]),
        "pipe": lambda: storage.put_file("memory://nights/a", b"1"),
        "find": lambda: storage.list_files("memory://nights"),
        "rm": lambda: storage.remove_files(["memory://nights/a"]),
    }
    for name, call in calls.items():
        with monkeypatch.context() as patched:
            patched.setattr(MemoryFileSystem, name, refuses)
            with pytest.raises(OSError, match="EndpointConnectionError: could not connect"):
                call()
