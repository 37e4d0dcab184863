"""The scorer: unit rows that depend only on their own image or text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from pigeon_rec.errors import ModelError
from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.runtime.digests import file_sha256
from pigeon_rec.scoring import clip_text_score
from pigeon_rec.scoring.scorer import ImageTextEncoder, Scorer, ScorerConfig, load_scorer
from tests.model.tiny import pictures, seeded, tiny_text

SIZES = ScorerConfig(
    image_size=16, patch=4, width=32, layers=2, heads=2, text_vocabulary=280, text_length=12,
    text_layers=1, embedding=16,
)  # fmt: skip
STYLED = SIZES.model_copy(
    update={"stem": (8, 16), "style_embedding": 8, "style_width": 16, "style_weight": 0.3}
)
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


def styled(weight: float) -> Scorer:
    """A scorer with a style part; the same weights for every `weight`."""
    with seeded():
        module = ImageTextEncoder(STYLED.model_copy(update={"style_weight": weight}))
        with torch.no_grad():  # statistics as after training
            module.train().image(to_pixels(IMAGES))
    return Scorer(module, tiny_text(), "styled")


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_likeness_of_images_is_that_of_concept_and_style_by_weight(weight: float) -> None:
    scorer = styled(weight)
    rows = scorer.encode_images(IMAGES)
    assert rows.shape == (150, 16 + 8)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    with torch.inference_mode():
        parts = [part(to_pixels(IMAGES)) for part in (scorer.module.concept, scorer.module.style)]
    concept, style = ((part @ part.T).numpy() for part in parts)
    assert np.allclose(rows @ rows.T, (1.0 - weight) * concept + weight * style, atol=1e-5)


def test_the_likeness_to_a_text_does_not_depend_on_the_style_weight() -> None:
    plain, weighted = styled(0.0), styled(0.6)
    texts = plain.encode_texts(TEXTS)
    assert texts.shape == (len(TEXTS), 16)
    assert np.array_equal(texts, weighted.encode_texts(TEXTS))
    wanted = clip_text_score(plain.encode_images(IMAGES[:4])[:, :16], texts)
    assert np.allclose(
        clip_text_score(weighted.encode_images(IMAGES[:4]), texts), wanted, atol=1e-6
    )


def test_a_scorer_without_a_style_part_has_the_concept_part_only(scorer: Scorer) -> None:
    with torch.inference_mode():
        concept = scorer.module.concept(to_pixels(IMAGES[:64])).numpy()
    assert np.allclose(scorer.encode_images(IMAGES[:64]), concept, atol=1e-6)
    with pytest.raises(ModelError, match="no style part"):
        scorer.module.style(to_pixels(IMAGES))


def test_a_style_part_needs_a_stem() -> None:
    with pytest.raises(ValidationError, match="needs a `stem`"):
        ScorerConfig(style_embedding=8)


def test_rows_have_unit_length(scorer: Scorer) -> None:
    for rows, count in (
        (scorer.encode_images(IMAGES), 150),
        (scorer.encode_texts(TEXTS), len(TEXTS)),
    ):
        assert rows.shape == (count, 16)
        assert rows.dtype == np.float32
        assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("style", [False, True])
def test_a_row_does_not_depend_on_its_batch(scorer: Scorer, style: bool) -> None:
    """To the last bit, so that scores do not depend on the shards of a night."""
    scorer = styled(0.3) if style else scorer
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


def test_the_encoder_id_tells_style_weights_apart(folder: Path, tmp_path: Path) -> None:
    """Cached embeddings of another weight must not be used."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    save_file(styled(0.0).module.state_dict(), copy / "scorer" / "model.safetensors")
    ids = set()
    for weight in (0.3, 0.4):
        config = STYLED.model_copy(update={"style_weight": weight})
        (copy / "scorer" / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
        ids.add(load_scorer(copy).encoder_id)
    assert len(ids) == 2


def test_a_configuration_from_before_the_style_part_is_read(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    older = SIZES.model_dump(exclude={"style_embedding", "style_width", "style_weight"})
    (copy / "scorer" / "config.json").write_text(json.dumps(older), encoding="utf-8")
    loaded = load_scorer(copy)
    assert np.array_equal(loaded.encode_images(IMAGES), load_scorer(folder).encode_images(IMAGES))
    assert loaded.encoder_id == f"scorer-{file_sha256(copy / 'scorer' / 'model.safetensors')[:16]}"


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
