"""Embeddings are computed once per image content; broken images are reported, not cached."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.errors import RetrievalError
from pigeon_rec.retrieval.embeddings import EmbeddingCache, embed_catalogue
from pigeon_rec.retrieval.items import embed_items
from tests.small_world import PixelEncoder, png, write_catalogue, write_items


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return load_catalogue(write_catalogue(tmp_path, 6))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "embeddings.parquet"


def embed(
    catalogue: Catalogue, item_ids: list[str], path: Path, encoder: PixelEncoder
) -> npt.NDArray[np.float32]:
    cache = EmbeddingCache(path, encoder.encoder_id)
    vectors, problems = embed_catalogue(
        catalogue, item_ids, encoder.encode_images, cache, batch_size=4
    )
    assert problems == []
    return vectors


def test_vectors_are_in_the_order_of_the_item_ids(catalogue: Catalogue, path: Path) -> None:
    requested = ["i03", "i00", "i03", "i05"]
    vectors = embed(catalogue, requested, path, PixelEncoder())
    assert vectors.dtype == np.float32
    expected = PixelEncoder().encode_images(catalogue.images(requested)[0])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_only_new_images_are_encoded(catalogue: Catalogue, path: Path) -> None:
    encoder = PixelEncoder()
    first = embed(catalogue, ["i00", "i01"], path, encoder)
    assert encoder.encoded == 2
    later = embed(catalogue, catalogue.item_ids, path, encoder)
    assert encoder.encoded == 6
    assert np.array_equal(first, later[:2])
    assert np.array_equal(later, embed(catalogue, catalogue.item_ids, path, encoder))
    assert encoder.encoded == 6


def test_each_encoder_has_its_own_vectors_in_one_file(catalogue: Catalogue, path: Path) -> None:
    one, two = PixelEncoder("one"), PixelEncoder("two")
    embed(catalogue, ["i00", "i01"], path, one)
    embed(catalogue, ["i00"], path, two)
    assert (one.encoded, two.encoded) == (2, 1)
    assert (len(EmbeddingCache(path, "one")), len(EmbeddingCache(path, "two"))) == (2, 1)
    embed(catalogue, ["i00", "i01"], path, one)
    assert one.encoded == 2


def test_items_that_share_an_image_share_a_vector(tmp_path: Path, path: Path) -> None:
    content = png(1)
    (tmp_path / "same.png").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    rows = [("a", "same.png", sha256), ("b", "same.png", sha256)]
    encoder = PixelEncoder()
    vectors = embed(
        load_catalogue(write_items(tmp_path / "items.parquet", rows)), ["a", "b"], path, encoder
    )
    assert encoder.encoded == 1
    assert np.array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize("cached_before", [False, True])
def test_a_broken_image_is_reported_and_has_no_vector(
    catalogue: Catalogue, path: Path, cached_before: bool
) -> None:
    encoder = PixelEncoder()
    if cached_before:
        embed(catalogue, catalogue.item_ids, path, encoder)
    assert catalogue.root is not None
    (catalogue.root / "images" / "i02.png").write_bytes(b"no picture")
    (catalogue.root / "images" / "i04.png").unlink()
    cache = EmbeddingCache(path, encoder.encoder_id)
    vectors, problems = embed_catalogue(
        catalogue, catalogue.item_ids, encoder.encode_images, cache, batch_size=4
    )
    assert [problem.subject for problem in problems] == ["i02", "i04"]
    assert np.flatnonzero(np.linalg.norm(vectors, axis=1) < 0.5).tolist() == [2, 4]
    assert len(EmbeddingCache(path, encoder.encoder_id)) == (6 if cached_before else 4)


def test_a_catalogue_without_any_usable_image_gives_rows_without_columns(
    tmp_path: Path, path: Path
) -> None:
    rows = [("a", "gone.png", "0" * 64)]
    catalogue = load_catalogue(write_items(tmp_path / "items.parquet", rows))
    vectors, problems = embed_catalogue(
        catalogue, ["a"], PixelEncoder().encode_images, EmbeddingCache(path, "x")
    )
    assert vectors.shape == (1, 0)
    assert [problem.subject for problem in problems] == ["a"]
    assert not path.exists()


def test_an_unreadable_cache_is_rebuilt(
    catalogue: Catalogue, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    encoder = PixelEncoder()
    with caplog.at_level(logging.WARNING):
        embed(catalogue, ["i00"], path, encoder)
    assert "unreadable" in caplog.text
    assert str(path) in caplog.text
    assert pl.read_parquet(path).height == 1


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros((1, 3), dtype=np.float32), r"shape \(1, 3\) for 2 images"),
        (np.full((2, 3), np.inf, dtype=np.float32), "not finite"),
    ],
)
def test_invalid_encoder_output_is_refused(
    catalogue: Catalogue, path: Path, vectors: npt.NDArray[np.float32], message: str
) -> None:
    with pytest.raises(RetrievalError, match=message):
        embed_catalogue(catalogue, ["i00", "i01"], lambda _: vectors, EmbeddingCache(path, "bad"))


def test_vectors_of_one_encoder_have_one_length(catalogue: Catalogue, path: Path) -> None:
    embed(catalogue, ["i00"], path, PixelEncoder())
    with pytest.raises(RetrievalError, match=r"differ in length: \[2, 48\].*pixels-1"):
        embed_catalogue(
            catalogue,
            ["i01"],
            lambda images: np.ones((len(images), 2), dtype=np.float32),
            EmbeddingCache(path, "pixels-1"),
        )


def test_an_encoder_gets_pictures_of_its_own_size(catalogue: Catalogue, path: Path) -> None:
    sizes: list[tuple[int, ...]] = []

    class Larger(PixelEncoder):
        image_size = 128

        def encode_images(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            sizes.append(images.shape[1:3])
            return super().encode_images(images[:, ::2, ::2])

    found = embed_items(catalogue, pl.Series(["i00", "i01"]), Larger(), path, 1.0)
    assert found.item_ids == ["i00", "i01"]
    assert sizes == [(128, 128)]
