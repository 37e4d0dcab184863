"""Masks over whole images: which ids are scored and what stays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pigeon_rec.model.mask_generator import HISTORY, PADDING, TARGET
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.published.masking import MaskedImages, decode_kept
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.tokens import ImageTokens
from pigeon_rec.model.visual_tokenizer import NO_CODE
from tests.model.tiny import TINY, random_codes, seeded, tiny_personalisation
from tests.parity.batches import mask_images

PUBLISHED = TINY.model_copy(
    update={"mask_generator": TINY.mask_generator.model_copy(update={"published": True})}
)


def codes() -> Tensor:
    """Two histories of two images and a target of 12 and of 9 codes."""
    codes = random_codes(2, 3, 12)
    codes[0, 0, 7:] = NO_CODE
    codes[1, 2, 9:] = NO_CODE
    return codes


def gumbel(tokens: int, seed: int = 6) -> Tensor:
    with seeded(seed):
        return -torch.empty(2, tokens).exponential_().log()


def masked(ratio: float = 0.5, seed: int = 6) -> tuple[Personalisation, MaskedImages]:
    model = tiny_personalisation(PUBLISHED)
    history = ImageTokens.from_codes(codes()[:, :2], model.vocabulary)
    target = ImageTokens.from_codes(codes()[:, 2:], model.vocabulary).wrapped(model.vocabulary)
    noise = gumbel(history.join(target).ids.shape[1], seed)
    return model, mask_images(model, (history, target), (0.25, ratio), noise)


def special(tokens: ImageTokens) -> Tensor:
    return tokens.present & (tokens.ids < 282)


def shown(tokens: ImageTokens) -> list[int]:
    """Kept codes of each row."""
    kept = tokens.present & (tokens.ids >= 282) & (tokens.keep > 0.5)
    return [int(n) for n in kept.sum(1)]


def test_published_masks_can_drop_them_and_keep_nothing_else() -> None:
    counts, dropped = set(), 0
    for seed in range(20):
        _, found = masked(ratio=1.0, seed=seed)
        dropped += int((found.target.keep[special(found.target)] == 0).sum())
        counts.update(shown(found.target))
    assert dropped > 0
    assert counts == {0, 1}


def test_special_ids_count() -> None:
    _, found = masked()
    assert (found.target.keep > 0.5).where(found.target.present, False).sum(1).tolist() == [7, 5]
    assert shown(found.history) == [int(19 * 0.75), int(24 * 0.75)]


def test_types_and_positions_are_those_of_the_row() -> None:
    _, found = masked()
    assert found.types[0].tolist() == [HISTORY] * 19 + [TARGET] * 14 + [PADDING] * 2
    assert found.types[1].tolist() == [HISTORY] * 24 + [TARGET] * 11
    positions = [*range(1, 8), *range(1, 13), *range(1, 15), 0, 0]
    assert found.row.positions[0].tolist() == positions


def test_masks_are_those_of_the_grid() -> None:
    """Full images: the same row of tokens, the same decisions as `Personalisation.masks`."""
    model = tiny_personalisation()
    full = random_codes(2, 3, 16)
    noise = gumbel(48)
    grid = model.masks(full[:, :2], full[:, 2], 0.25, 0.5, noise)
    history, target = (
        ImageTokens.from_codes(part, model.vocabulary) for part in (full[:, :2], full[:, 2:])
    )
    found = mask_images(model, (history, target), (0.25, 0.5), noise)
    assert torch.equal(found.history.keep, grid[0].flatten(1))
    assert torch.equal(found.target.keep, grid[1])


def test_published_decisions_teach_nothing() -> None:
    _, found = masked()
    assert not found.target.keep.requires_grad
    assert set(found.row.keep.flatten().tolist()) == {0.0, 1.0}


def decoder() -> TokenizerDecoder:
    with seeded(3):
        return TokenizerDecoder(TINY.decoder).eval()


@pytest.fixture(scope="module")
def codebook() -> Tensor:
    with seeded(4):
        return torch.randn(32, 8)


def partly() -> tuple[Personalisation, ImageTokens]:
    """A wrapped target of 12 and of 9 codes; every third code is masked."""
    model = tiny_personalisation()
    target = ImageTokens.from_codes(codes()[:, 2:], model.vocabulary)
    keep = (torch.arange(12) % 3 > 0).float().expand(2, -1)
    return model, target.with_keep(keep).wrapped(model.vocabulary)


def test_published_codes_move_together(codebook: Tensor) -> None:
    model, target = partly()
    made = decoder()
    found = decode_kept(made, codebook, target, model.vocabulary)
    for row, bare in enumerate(codes()[:, 2]):
        left = bare[(bare != NO_CODE) & (torch.arange(12) % 3 > 0)].unsqueeze(0)
        alone = made(codebook[left], torch.ones_like(left, dtype=torch.bool))
        assert torch.allclose(found.prompt[row], alone.prompt[0], atol=1e-5)
    bare = codes()[:, 2]
    present = (bare != NO_CODE) & (torch.arange(12) % 3 > 0)
    gapped = made(codebook[bare.clamp(min=0)] * present.unsqueeze(-1), present)
    assert not torch.allclose(found.prompt, gapped.prompt, atol=1e-3)


def test_no_more_codes_are_decoded_than_there_are_queries(codebook: Tensor) -> None:
    model = tiny_personalisation()
    long = ImageTokens.from_codes(random_codes(1, 1, 20), model.vocabulary)
    cut = ImageTokens.from_codes(random_codes(1, 1, 20)[..., :16], model.vocabulary)
    both = [decode_kept(decoder(), codebook, t, model.vocabulary).prompt for t in (long, cut)]
    assert torch.equal(*both)


def test_a_target_without_any_code_is_no_failure(codebook: Tensor) -> None:
    model, target = partly()
    nothing = target.with_keep(torch.zeros_like(target.keep))
    found = decode_kept(decoder(), codebook, nothing, model.vocabulary)
    assert torch.isfinite(found.prompt).all()
