"""The scorer: unit rows that depend only on their own image or text."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pigeon_rec.errors import ModelError
from pigeon_rec.scoring.scorer import ImageTextEncoder, Scorer, ScorerConfig, load_scorer
from tests.model.tiny import pictures, seeded, tiny_text

SIZES = ScorerConfig(
    image_size=16, patch=4, width=32, layers=2, heads=2, text_vocabulary=280, text_length=12,
    text_layers=1, embedding=16,
)  # fmt: skip
IMAGES = pictures(150)
TEXTS = ["a red apple", "cat", "", "a sticker of a cat with a very long description of its fur"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with only the files that a scorer needs."""
    folder = tmp_path_factory.mktemp("model")
    with seeded():
        module = ImageTextEncoder(SIZES)
    (folder / "scorer").mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "scorer" / "config.json").write_text(SIZES.model_dump_json(), encoding="utf-8")
    save_file(module.state_dict(), folder / "scorer" / "model.safetensors")
    tiny_text().save(folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Scorer:
    return load_scorer(folder)


def test_rows_have_unit_length(scorer: Scorer) -> None:
    for rows, count in (
        (scorer.encode_images(IMAGES), 150),
        (scorer.encode_texts(TEXTS), len(TEXTS)),
    ):
        assert rows.shape == (count, 16)
        assert rows.dtype == np.float32
        assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)


def test_a_row_does_not_depend_on_its_batch(scorer: Scorer) -> None:
    """To the last bit, so that scores do not depend on the shards of a night."""
    every = scorer.encode_images(IMAGES)
    assert np.array_equal(scorer.encode_images(IMAGES[:1]), every[:1])
    assert np.array_equal(scorer.encode_images(IMAGES[::-1]), every[::-1])
    chosen = [149, 3, 64, 63, 77]
    assert np.array_equal(scorer.encode_images(IMAGES[chosen]), every[chosen])
    texts = scorer.encode_texts(TEXTS * 40)
    assert np.array_equal(texts[:4], scorer.encode_texts(TEXTS))
    assert np.array_equal(texts[-1:], scorer.encode_texts(TEXTS[3:]))


def test_images_of_other_sizes_are_resized(scorer: Scorer) -> None:
    larger = scorer.encode_images(IMAGES.repeat(4, axis=1).repeat(4, axis=2))
    assert np.allclose(larger, scorer.encode_images(IMAGES), atol=1e-5)
    assert scorer.encode_images(IMAGES[:2, :12]).shape == (2, 16)


def test_different_inputs_have_different_rows(scorer: Scorer) -> None:
    assert len(np.unique(scorer.encode_images(IMAGES), axis=0)) == 150
    assert len(np.unique(scorer.encode_texts(TEXTS), axis=0)) == 4


def test_padding_of_a_text_has_no_effect() -> None:
    with seeded():
        module = ImageTextEncoder(SIZES).eval()
    ids, mask = tiny_text().batch(["a red apple"], 12)
    other = torch.where(mask, ids, 77)
    with torch.inference_mode():
        assert torch.equal(module.text(ids, mask), module.text(other, mask))
        short = int(mask.sum())
        assert torch.allclose(
            module.text(ids[:, :short], mask[:, :short]), module.text(ids, mask), atol=1e-6
        )


def test_no_input_gives_no_rows(scorer: Scorer) -> None:
    assert scorer.encode_images(IMAGES[:0]).shape == (0, 16)
    assert scorer.encode_texts([]).shape == (0, 16)


def test_half_precision_files_are_read(folder: Path, tmp_path: Path) -> None:
    half = shutil.copytree(folder, tmp_path / "half")
    with seeded():
        module = ImageTextEncoder(SIZES)
    save_file(
        {k: v.half() for k, v in module.state_dict().items()},
        half / "scorer" / "model.safetensors",
    )
    loaded = load_scorer(half)
    whole = load_scorer(folder)
    close = (loaded.encode_images(IMAGES) * whole.encode_images(IMAGES)).sum(1)
    assert close.min() > 0.999


def test_the_encoder_id_identifies_the_weights(folder: Path, tmp_path: Path) -> None:
    same = load_scorer(shutil.copytree(folder, tmp_path / "copy"))
    assert same.encoder_id == load_scorer(folder).encoder_id
    with seeded(1):
        other = ImageTextEncoder(SIZES)
    save_file(other.state_dict(), tmp_path / "copy" / "scorer" / "model.safetensors")
    assert load_scorer(tmp_path / "copy").encoder_id != same.encoder_id


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b'{"widht": 32}'),
        ("config.json", b'{"width": 64}'),
        ("model.safetensors", b"nothing"),
        ("model.safetensors", None),
        ("config.json", None),
    ],
)
def test_a_damaged_scorer_is_refused(
    folder: Path, tmp_path: Path, file: str, content: bytes | None
) -> None:
    broken = shutil.copytree(folder, tmp_path / "model")
    (broken / "scorer" / file).unlink()
    if content is not None:
        (broken / "scorer" / file).write_bytes(content)
    with pytest.raises(ModelError, match="the scorer cannot be loaded") as refused:
        load_scorer(broken)
    assert refused.value.location == str(broken / "scorer")
