"""The published dataset layout is read as written, and faults are reported with their entry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pigeon_rec.data.published_dataset import MovieFacts, find_images, read_published
from pigeon_rec.errors import CatalogueError
from tests.data.published_layout import save, write_movies, write_stickers

WRITERS = {"sticker": write_stickers, "movie": write_movies}


@pytest.mark.parametrize("scenario", WRITERS)
@pytest.mark.parametrize("below", ["", "processed_seq"])
def test_reads_what_was_written(tmp_path: Path, scenario: str, below: str) -> None:
    dataset = read_published(WRITERS[scenario](tmp_path) / below)
    assert dataset.scenario == scenario
    assert len(dataset.image_paths) == len(dataset.semantics) == len(dataset.facts) == 12
    assert dataset.users[7] == {3: list(range(9))}
    assert [len(w) for w in dataset.windows["train"][7][3]] == [6] * 4
    assert dataset.windows["test"] == {8: {4: [[9, 10, 11, 0, 1, 2]]}}
    assert find_images(dataset).parent == tmp_path


def test_facts_of_a_movie(tmp_path: Path) -> None:
    facts = read_published(write_movies(tmp_path)).facts[1]
    assert isinstance(facts, MovieFacts)
    assert facts.title.endswith("(1981)")
    assert facts.genres == "Action|Comedy"


FAULTS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "an item is no number": ("train", lambda _: {7: {3: [[0, "x"]]}}, r"train\.npy\[7\]\[3\]\[0\]"),
    "an item below zero": ("valid", lambda _: {7: {3: [[0, -1]]}}, r"valid\.npy\[7\]"),
    "a window of one": ("test", lambda _: {7: {3: [[0]]}}, r"test\.npy\[7\]\[3\]\[0\]"),
    "no groups": ("mapped_user_dict", lambda _: {7: [1, 2]}, r"mapped_user_dict\.npy\[7\]"),
    "a list of users": ("mapped_user_dict", lambda _: [[1, 2]], r"mapped_user_dict\.npy"),
    "no emotion": ("mapped_anno_dict", lambda _: {0: {"text": ""}}, r"npy\[0\]\['emo'\]"),
    "one text too few": ("sticker_semantics", lambda v: v[:-1], "has 11 items, .* 12"),
    "facts of no item": ("mapped_anno_dict", lambda _: {40: {"emo": "x"}}, "has 41 items, .* 12"),
    "paths that are numbers": ("all_image_paths", lambda _: [1, 2], r"all_image_paths\.npy\[0\]"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_the_file_and_the_entry(tmp_path: Path, fault: str) -> None:
    name, spoil, message = FAULTS[fault]
    folder = write_stickers(tmp_path) / "processed_seq"
    save(folder, name, spoil(np.load(folder / f"{name}.npy", allow_pickle=True)))
    with pytest.raises(CatalogueError, match=message):
        read_published(tmp_path)


@pytest.mark.parametrize("name", ["train", "mapped_user_dict", "sticker_semantics"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write_stickers(tmp_path) / "processed_seq" / f"{name}.npy").unlink()
    with pytest.raises(CatalogueError, match=rf"{name}\.npy"):
        read_published(tmp_path)


def test_another_folder_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"not a published dataset.*mapped_anno_dict\.npy or"):
        read_published(tmp_path)


def test_both_scenarios_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_stickers(tmp_path)
    write_movies(tmp_path)
    with pytest.raises(CatalogueError, match="in one folder"):
        read_published(tmp_path)


def test_without_pictures_the_option_is_named(tmp_path: Path) -> None:
    dataset = read_published(write_stickers(tmp_path))
    with pytest.raises(CatalogueError, match=r"elsewhere.*--images"):
        find_images(dataset, tmp_path / "elsewhere")
