"""Trained parts, loaded and frozen."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.visual_tokenizer import VisualTokenizer
from pigeon_rec.training import frozen
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.frozen import (
    artwork_codes,
    encode_codes,
    encode_latents,
    load_codec,
    load_tokenizer,
)
from tests.training.tiny import CONFIG


def test_loaded_parts_are_frozen_and_not_in_training(trained: Path) -> None:
    for part in (*load_tokenizer(CONFIG.model, trained), load_codec(CONFIG.model, trained)):
        assert not part.training
        assert not any(weight.requires_grad for weight in part.parameters())


def test_codes_and_latents_are_those_of_each_image(artwork: TrainingArtwork, trained: Path) -> None:
    tokenizer, _ = load_tokenizer(CONFIG.model, trained)
    codec = load_codec(CONFIG.model, trained)
    codes = encode_codes(tokenizer, artwork.images)
    latents = encode_latents(codec, artwork.images)
    assert codes.shape == (len(artwork), 16)
    assert latents.shape == (len(artwork), 4, 8, 8)
    with torch.no_grad():
        for row in (0, len(artwork) - 1):
            pixels = to_pixels(artwork.images[row : row + 1])
            assert torch.equal(tokenizer.encode(pixels).ids[0], codes[row])
            found = codec.posterior(pixels).mode()[0]
            assert torch.allclose(found, latents[row], atol=1e-4)
    codes[0] = 0  # fails on a tensor of inference mode


def test_codes_are_computed_once(
    artwork: TrainingArtwork, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained / "tokenizer", tmp_path / "tokenizer")
    tokenizer, _ = load_tokenizer(CONFIG.model, tmp_path)
    codes = artwork_codes(tokenizer, artwork, tmp_path)
    assert codes.shape == (2 * len(artwork), 16)
    mirrored = np.ascontiguousarray(artwork.images[:, :, ::-1])
    assert torch.equal(codes[: len(artwork)], encode_codes(tokenizer, artwork.images))
    assert torch.equal(codes[len(artwork) :], encode_codes(tokenizer, mirrored))

    encoded: list[int] = []

    def again(tokenizer: VisualTokenizer, images: NDArray[np.uint8]) -> torch.Tensor:
        encoded.append(len(images))
        return encode_codes(tokenizer, images)

    monkeypatch.setattr(frozen, "encode_codes", again)
    kept = artwork_codes(tokenizer, artwork, tmp_path)
    assert kept.dtype == torch.int64
    assert torch.equal(kept, codes)
    assert encoded == []
    images = artwork.images.copy()
    images[3:5] = 255 - images[3:5]
    artwork_codes(tokenizer, dataclasses.replace(artwork, images=images), tmp_path)
    assert encoded == [4]  # two images and their mirror images
    with (tmp_path / "tokenizer" / "model.safetensors").open("ab") as weights:
        weights.write(b" ")
    artwork_codes(tokenizer, artwork, tmp_path)
    assert encoded[1] > len(artwork)


def test_a_part_that_was_not_trained_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"'autoencoder'.*pigeon-rec train autoencoder"
    ) as refused:
        load_codec(CONFIG.model, tmp_path)
    assert refused.value.location == str(tmp_path / "autoencoder" / "model.safetensors")


def test_a_part_of_other_sizes_is_refused(trained: Path) -> None:
    with pytest.raises(TrainingError, match=r"(?s)'tokenizer' cannot be used: Error"):
        load_tokenizer(PigeonConfig(), trained)


def test_a_damaged_part_is_refused(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "autoencoder").mkdir()
    whole = (trained / "autoencoder" / "model.safetensors").read_bytes()
    (tmp_path / "autoencoder" / "model.safetensors").write_bytes(whole[:500])
    with pytest.raises(TrainingError, match="'autoencoder' cannot be used"):
        load_codec(CONFIG.model, tmp_path)
