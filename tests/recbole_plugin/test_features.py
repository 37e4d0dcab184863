"""Item vectors written for RecBole, from real images."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.errors import InteractionError
from pigeon_rec.recbole_plugin.features import (
    Captions,
    atomic_item_ids,
    write_features,
    write_interactions,
)
from pigeon_rec.retrieval import EmbeddingCache
from tests.small_world import PixelEncoder, write_catalogue


def interactions(items: list[str], user: str = "u") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": [user] * len(items),
            "item_id": items,
            "timestamp": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * len(items),
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )


def test_vectors_are_the_images_embeddings(tmp_path: Path) -> None:
    catalogue = load_catalogue(write_catalogue(tmp_path, 6))
    encoder = PixelEncoder()
    path = tmp_path / "d" / "d.visual"
    cache = EmbeddingCache(tmp_path / "cache.parquet", encoder.encoder_id)
    item_ids = ["i04", "i01", "unknown"]
    summary = write_features(item_ids, catalogue, encoder.encode_images, cache, path)
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    assert header == "visual_item_id:token\tvisual_vector:float_seq"
    assert [row.split("\t")[0] for row in rows] == ["i04", "i01"]
    images, _ = catalogue.images(["i04", "i01"])
    found = np.array([row.split("\t")[1].split() for row in rows], dtype=float)
    np.testing.assert_allclose(found, encoder.encode_images(images), atol=1e-5)
    assert (summary.items, summary.dimensions) == (2, 48)
    assert [problem.subject for problem in summary.problems] == ["unknown"]


def test_captions_are_appended_with_their_weight(tmp_path: Path) -> None:
    images = np.eye(3, 4, dtype=np.float32)
    words = {"red": [1.0, 0.0], "green": [0.0, 1.0], " ": [0.6, 0.8]}

    def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.array([words[text] for text in texts], dtype=np.float32)

    both = Captions(encode, 2.0).append_to(images, ["red", "green", " "])
    assert both.dtype == np.float32
    assert both.shape == (3, 6)
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(both[:2, :4] * np.sqrt(5.0), images[:2], rtol=1e-6)
    np.testing.assert_allclose(both[:2, 4:] * np.sqrt(5.0), [[2, 0], [0, 2]], rtol=1e-6)
    assert both[2].tolist() == [0, 0, 1, 0, 0, 0]  # no caption: the image alone


def test_captions_are_the_items_semantics(tmp_path: Path) -> None:
    catalogue = load_catalogue(write_catalogue(tmp_path, 6))
    encoder = PixelEncoder()
    cache = EmbeddingCache(tmp_path / "cache.parquet", encoder.encoder_id)
    encoded: list[str] = []

    def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        encoded.extend(texts)
        return np.ones((len(texts), 1), dtype=np.float32)

    path = tmp_path / "d" / "d.visual"
    summary = write_features(
        ["i04", "i01"], catalogue, encoder.encode_images, cache, path, captions=Captions(encode, 1)
    )
    assert summary.dimensions == 49
    assert encoded == catalogue.rows(["i04", "i01"])["semantics"].to_list()
    last = [row.split(" ")[-1] for row in path.read_text(encoding="utf-8").splitlines()[1:]]
    np.testing.assert_allclose(np.array(last, dtype=float), np.sqrt(0.5), atol=1e-5)


def test_a_broken_image_has_no_row(tmp_path: Path) -> None:
    source = write_catalogue(tmp_path, 3)
    (tmp_path / "images" / "i01.png").write_bytes(b"no picture")
    encoder = PixelEncoder()
    cache = EmbeddingCache(tmp_path / "cache.parquet", encoder.encoder_id)
    summary = write_features(
        ["i00", "i01"], load_catalogue(source), encoder.encode_images, cache, tmp_path / "d.visual"
    )
    assert summary.items == 1
    assert [problem.subject for problem in summary.problems] == ["i01"]


def test_a_data_set_without_any_image_is_an_error(tmp_path: Path) -> None:
    encoder = PixelEncoder()
    cache = EmbeddingCache(tmp_path / "cache.parquet", encoder.encoder_id)
    catalogue = load_catalogue(write_catalogue(tmp_path, 2))
    with pytest.raises(InteractionError, match="none of the 1 items"):
        write_features(["x"], catalogue, encoder.encode_images, cache, tmp_path / "d.visual")


def test_interactions_are_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "d" / "d.inter"
    write_interactions(interactions(["b", "a", "b"]), path)
    assert atomic_item_ids(path) == ["a", "b"]
    assert path.read_text().splitlines()[1] == "u\tb\t1767225600.0"


@pytest.mark.parametrize("bad", ["tab\there", "NA", 'quo"te', "line\nbreak"])
def test_ids_that_an_atomic_file_cannot_hold_are_refused(bad: str, tmp_path: Path) -> None:
    with pytest.raises(InteractionError, match="cannot hold the item_id"):
        write_interactions(interactions([bad]), tmp_path / "d.inter")
    assert not (tmp_path / "d.inter").exists()


def test_a_wrong_header_is_reported(tmp_path: Path) -> None:
    (tmp_path / "d.inter").write_text("user_id:token\titem:token\nu\ti\n")
    with pytest.raises(InteractionError, match="the header has no item_id:token"):
        atomic_item_ids(tmp_path / "d.inter")
    with pytest.raises(InteractionError, match="cannot read the interactions"):
        atomic_item_ids(tmp_path / "absent.inter")
