"""Teacher forcing: labels, masks and the image end."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import NO_CODE
from pigeon_rec.training.preference import IGNORED
from pigeon_rec.training.teacher_forcing import (
    Conditioning,
    code_labels,
    code_losses,
    read_codes,
)
from tests.model.tiny import DYNAMIC, TINY, random_codes, seeded, texts, tiny_personalisation

ROWS = 5
PATCHES = 16


@pytest.fixture(scope="module")
def decoder() -> TokenizerDecoder:
    with seeded():
        return TokenizerDecoder(TINY.decoder).eval()


@pytest.fixture(scope="module")
def code_rows() -> Tensor:
    with seeded(3):
        return torch.randn(32, 8)


def conditioning(seed: int = 0) -> Conditioning:
    """Two masked history images and a masked reference for each row."""
    with seeded(seed):
        keep = torch.rand(ROWS, 3, PATCHES) > 0.5
    return Conditioning(
        texts(3, 1, 4, 2, 4),
        random_codes(ROWS, 2, PATCHES, seed=1),
        keep[:, :2].float(),
        random_codes(ROWS, PATCHES, seed=2),
        keep[:, 2].float(),
    )


def read(given: Conditioning, codes: Tensor, decoder: TokenizerDecoder, rows: Tensor) -> Tensor:
    with torch.no_grad():
        return read_codes(tiny_personalisation(), decoder, rows, given, codes)


@pytest.mark.parametrize("part", ["history", "reference"])
@pytest.mark.parametrize("masked", [True, False])
def test_masked_tokens_carry_no_information(
    part: str, masked: bool, decoder: TokenizerDecoder, code_rows: Tensor
) -> None:
    """Changing masked codes changes no bit; changing other codes does."""
    given, codes = conditioning(), random_codes(ROWS, PATCHES, seed=4)
    own, keep = getattr(given, part), getattr(given, f"{part}_keep")
    changed_codes = keep == 0 if masked else keep == 1
    assert changed_codes.any()
    other = torch.where(changed_codes, (own + 7) % 32, own)
    before = read(given, codes, decoder, code_rows)
    changed = replace(given, history=other) if own.dim() == 3 else replace(given, reference=other)
    after = read(changed, codes, decoder, code_rows)
    assert torch.equal(before, after) == masked


def test_logits_of_a_code_do_not_depend_on_it(decoder: TokenizerDecoder, code_rows: Tensor) -> None:
    codes = random_codes(ROWS, PATCHES, seed=4)
    before = read(conditioning(), codes, decoder, code_rows)
    assert before.shape == (ROWS, PATCHES + 1, 33)
    other = codes.clone()
    other[:, 6] = (other[:, 6] + 1) % 32
    after = read(conditioning(), other, decoder, code_rows)
    assert torch.equal(before[:, :7], after[:, :7])
    assert (before[:, 7:] != after[:, 7:]).any(dim=-1).all()


def test_labels_are_the_codes_and_the_first_image_end() -> None:
    codes = torch.tensor([[3, 1, 2], [0, NO_CODE, NO_CODE], [5, 4, NO_CODE]])
    assert code_labels(codes).tolist() == [
        [4, 2, 3, 0],
        [1, 0, IGNORED, IGNORED],
        [6, 5, 0, IGNORED],
    ]


def test_codes_and_the_image_end_count_in_the_loss() -> None:
    codes = torch.tensor([[3, 1], [0, NO_CODE]])
    logits = torch.full((2, 3, 5), -20.0)
    for row, labels in enumerate([[4, 2, 0], [1, 0, 3]]):
        logits[row, range(3), labels] = 20.0
    assert float(code_losses(logits, codes)["loss"]) < 1e-6
    assert float(code_losses(logits, codes)["accuracy"]) == 1.0
    for row, place in ((0, 0), (0, 2), (1, 1)):
        wrong = logits.clone()
        wrong[row, place] = wrong[row, place].roll(1)
        assert float(code_losses(wrong, codes)["loss"]) > 5
    behind = logits.clone()
    behind[1, 2] = behind[1, 2].roll(1)
    assert float(code_losses(behind, codes)["loss"]) < 1e-6


def test_padding_after_a_short_image_has_no_effect(
    decoder: TokenizerDecoder, code_rows: Tensor
) -> None:
    """Logits of a short image do not depend on the padded width of its batch."""
    short = random_codes(ROWS, 9, seed=4)
    padded = torch.nn.functional.pad(short, (0, 4), value=NO_CODE)
    model = tiny_personalisation(DYNAMIC)
    with torch.no_grad():
        alone = read_codes(model, decoder, code_rows, conditioning(), short)
        wide = read_codes(model, decoder, code_rows, conditioning(), padded)
    assert torch.allclose(alone, wide[:, :10], atol=1e-5)
