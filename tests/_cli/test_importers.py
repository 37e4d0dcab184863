"""`pigeon-rec import`: what it writes, says and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.hostile_npy import HOSTILE
from tests.data.published_layout import write_stickers


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_stickers(tmp_path / "in")


def test_published_tells_what_it_wrote(
    pigeon: Callable[..., Any], dataset: Path, tmp_path: Path
) -> None:
    next((dataset / "Images").rglob("0004.png")).unlink()
    outcome = pigeon("import", "published", dataset, "--out", tmp_path / "out", "--json")
    assert outcome.code == 0
    facts = json.loads(outcome.out)
    assert (facts["scenario"], facts["items"], facts["users"]) == ("sticker", 11, 2)
    assert facts["left_out"] == {"image_missing": 1, "unknown_item": 2}
    assert {p.name for p in (tmp_path / "out").glob("*.parquet")} == {
        *("items.parquet", "interactions.parquet", "sequences.parquet")
    }


def test_published_tells_people_too(
    pigeon: Callable[..., Any], dataset: Path, tmp_path: Path
) -> None:
    images = dataset / "Images"
    outcome = pigeon("import", "published", dataset, "--out", tmp_path / "out", "--images", images)
    assert outcome.code == 0
    assert "interactions    21" in outcome.out


def test_a_hostile_file_ends_it_by_name(
    pigeon: Callable[..., Any], dataset: Path, tmp_path: Path
) -> None:
    (dataset / "processed_seq" / "valid.npy").write_bytes(HOSTILE["foreign function"][0]())
    outcome = pigeon("import", "published", dataset, "--out", tmp_path / "out")
    assert outcome.code == 3
    assert "valid.npy" in outcome.err
    assert "posix.putenv" in outcome.err
    assert not (tmp_path / "out").exists()
