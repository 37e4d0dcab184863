"""`.npy` files: numpy's own are read back, hostile ones are refused by name."""

from __future__ import annotations

import io
import os
import pickle  # noqa: TID251 - as numpy writes it
from collections import OrderedDict, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon_rec.data import npy_files
from pigeon_rec.data.npy_files import load_npy
from pigeon_rec.errors import CatalogueError
from tests.data.hostile_npy import HOSTILE, TRIPWIRE, pickled

NAMES: dict[int, list[str]] = defaultdict(list)
NAMES[3].append("a")

READABLE: dict[str, tuple[Any, Any]] = {
    "strings": (["a/b.png", "ü"], ["a/b.png", "ü"]),
    "numbers": ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    "halves": (np.array([0.5, 1.5], dtype=">f4"), [0.5, 1.5]),
    "column order": (np.asfortranarray([[1, 2, 3], [4, 5, 6]]), [[1, 2, 3], [4, 5, 6]]),
    "truth": (np.array([True, False]), [True, False]),
    "nothing": ([], []),
    "mixed objects": (np.array(["a", None], dtype=object), ["a", None]),
    "lists of one length": (np.array([[1], [2, 3]], dtype=object), [[1], [2, 3]]),
    "numpy numbers": ({np.int64(3): [np.float32(0.5), np.bool_(True)]}, {3: [0.5, True]}),
    "arrays within": (
        {1: {"a": np.arange(3), "b": np.array(["x", "yz"])}},
        {1: {"a": [0, 1, 2], "b": ["x", "yz"]}},
    ),
    "ordered": (OrderedDict(a=(1, 2)), {"a": [1, 2]}),
    "default dict": (NAMES, {3: ["a"]}),
}  # fmt: skip


def boxed(value: Any) -> np.ndarray[Any, Any]:
    return np.array(value, dtype=object) if isinstance(value, dict) else np.array(value)


@pytest.mark.parametrize("name", READABLE)
def test_what_numpy_saves_is_read_as_plain_python(tmp_path: Path, name: str) -> None:
    value, plain = READABLE[name]
    path = tmp_path / "file.npy"
    np.save(path, boxed(value))
    found = load_npy(path)
    assert found == plain
    assert type(found) is type(plain)


@pytest.mark.parametrize(("protocol", "core"), [(3, "core"), (3, "_core"), (4, "core")])
def test_both_protocols_and_both_names_of_numpys_core(
    tmp_path: Path, protocol: int, core: str
) -> None:
    body = pickle.dumps(boxed({1: [np.int64(5), np.arange(2)]}), protocol)
    if core != "core":  # what numpy 2 calls it
        body = body.replace(b"numpy.core.multiarray", b"numpy._core.multiarray")
    path = tmp_path / "file.npy"
    path.write_bytes(pickled(body))
    assert load_npy(path) == {1: [5, [0, 1]]}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
        max_leaves=20,
    )
)
def test_any_plain_dict_comes_back(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "file.npy"
    np.save(path, np.array({"value": value}))
    assert load_npy(path) == {"value": value}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_by_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, reason = HOSTILE[name]
    path = tmp_path / "train.npy"
    path.write_bytes(make())
    ran: list[object] = []
    monkeypatch.setattr(os, "putenv", lambda *a: ran.append(a))
    monkeypatch.setattr(npy_files, "MAX_VALUES", 100_000)  # the same, sooner
    with pytest.raises(CatalogueError) as error:
        load_npy(path)
    assert str(path) in str(error.value)
    assert "the file is refused" in str(error.value)
    assert reason in str(error.value)
    assert ran == []


def test_the_hostile_files_would_run_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tripwire of the test above is a real one."""
    data = HOSTILE["evaluated text"][0]()
    ran: list[object] = []
    monkeypatch.setattr(os, "putenv", lambda *a: ran.append(a))
    np.load(io.BytesIO(data), allow_pickle=True)
    assert ran == [(TRIPWIRE, "1")]


def test_a_large_file_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "train.npy"
    np.save(path, np.arange(100))
    monkeypatch.setattr(npy_files, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(CatalogueError, match=r"refused: it has \d+ bytes.*train\.npy"):
        load_npy(path)


def test_the_constructors_are_as_they_were_after_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused file leaves nothing behind."""
    monkeypatch.setattr(npy_files, "MAX_VALUES", 100_000)
    path = tmp_path / "file.npy"
    for make, _ in HOSTILE.values():
        path.write_bytes(make())
        with pytest.raises(CatalogueError):
            load_npy(path)
    np.save(path, np.array({np.int64(1): np.arange(2)}))
    assert load_npy(path) == {1: [0, 1]}


@pytest.mark.parametrize("cut", [1, 60, 130, 150])
def test_a_cut_file_is_damaged(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "train.npy"
    np.save(path, np.array({1: [2]}))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CatalogueError, match=r"train\.npy"):
        load_npy(path)


@given(st.randoms(use_true_random=False))
def test_damaged_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, chance: Any
) -> None:
    """A file with a few changed bytes is read or refused; no other error escapes."""
    stream = io.BytesIO()
    np.save(stream, np.array({1: ["a", 2.5, None], "b": np.array(["x", "yz"])}))
    data = bytearray(stream.getvalue())
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path = tmp_path_factory.mktemp("damaged") / "file.npy"
    path.write_bytes(data)
    with suppress(CatalogueError):
        assert load_npy(path) is not None


def test_a_missing_file_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"No such file.*train\.npy.*Give the folder"):
        load_npy(tmp_path / "train.npy")
