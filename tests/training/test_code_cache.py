"""The code cache: each image is tokenised once, by its content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from pigeon_rec.training.code_cache import cached_codes
from tests.model.tiny import pictures

IMAGES = pictures(6, side=8)


class Encoder:
    """Makes codes of the first pixel row and counts the images of each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        self.calls.append(len(images))
        return torch.from_numpy(images[:, 0, ::4].reshape(len(images), -1)[:, :4].astype(np.int64))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image_codes.safetensors"


def test_every_image_is_encoded_once(path: Path) -> None:
    encode = Encoder()
    first = cached_codes(path, "a", IMAGES[[0, 1, 0, 1, 1]], encode)
    assert encode.calls == [2]
    again = cached_codes(path, "a", IMAGES[[1, 0]], encode)
    assert encode.calls == [2]
    assert torch.equal(again, first[[1, 0]])
    assert again.dtype == torch.int64


def test_new_images_only_are_encoded(path: Path) -> None:
    encode = Encoder()
    cached_codes(path, "a", IMAGES[:4], encode)
    found = cached_codes(path, "a", IMAGES, encode)
    assert encode.calls == [4, 2]
    assert torch.equal(found, Encoder()(IMAGES))
    cached_codes(path, "a", IMAGES[:1], encode)
    cached_codes(path, "a", IMAGES, encode)  # entries are kept between calls
    assert encode.calls == [4, 2]


def test_another_tokenizer_discards_the_cache(path: Path) -> None:
    encode = Encoder()
    cached_codes(path, "a", IMAGES[:4], encode)
    cached_codes(path, "b", IMAGES[:2], encode)
    cached_codes(path, "b", IMAGES[:4], encode)
    assert encode.calls == [4, 2, 2]


@pytest.mark.parametrize(
    "content", [b"", b"no tensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "]
)
def test_a_damaged_cache_is_rebuilt(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    encode = Encoder()
    assert torch.equal(cached_codes(path, "a", IMAGES, encode), Encoder()(IMAGES))
    assert encode.calls == [6]
    cached_codes(path, "a", IMAGES, encode)
    assert encode.calls == [6]


def test_the_file_is_unchanged_without_new_images(path: Path) -> None:
    cached_codes(path, "a", IMAGES, Encoder())
    before = path.stat().st_mtime_ns, path.read_bytes()
    cached_codes(path, "a", IMAGES[::-1], Encoder())
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@given(requests=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), max_size=5))
def test_codes_are_those_of_the_requested_images(
    requests: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, encode = tmp_path_factory.mktemp("cache") / "codes.safetensors", Encoder()
    for rows in requests:
        found = cached_codes(path, "a", IMAGES[rows], encode)
        assert torch.equal(found, Encoder()(IMAGES[rows]))
    assert sum(encode.calls) == len({row for rows in requests for row in rows})
