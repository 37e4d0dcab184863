"""Masks over whole images: which ids are scored, what stays, and what learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.mask_generator import HISTORY, PADDING, TARGET
from pigeon_rec.model.masking import MaskedImages, decode_kept, mask_images
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.tokens import ImageTokens
from pigeon_rec.model.visual_tokenizer import NO_CODE
from tests.model.tiny import TINY, random_codes, seeded, tiny_personalisation

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


def masked(
    config: PigeonConfig, ratio: float = 0.5, seed: int = 6, wrapped: bool = True
) -> tuple[Personalisation, MaskedImages]:
    model = tiny_personalisation(config)
    history = ImageTokens.from_codes(codes()[:, :2], model.vocabulary)
    target = ImageTokens.from_codes(codes()[:, 2:], model.vocabulary)
    if wrapped:
        target = target.wrapped(model.vocabulary)
    noise = gumbel(history.join(target).ids.shape[1], seed)
    return model, mask_images(model, history, target, 0.25, ratio, noise)


def special(tokens: ImageTokens) -> Tensor:
    return tokens.present & (tokens.ids < 282)


def shown(tokens: ImageTokens) -> list[int]:
    """Kept codes of each row."""
    kept = tokens.present & (tokens.ids >= 282) & (tokens.keep > 0.5)
    return [int(n) for n in kept.sum(1)]


def test_opening_and_closing_ids_are_never_masked() -> None:
    for seed in range(20):
        _, found = masked(TINY, ratio=1.0, seed=seed)
        assert special(found.target).sum() == 4
        assert (found.target.keep[special(found.target)] == 1).all()
        # One code survives beside them; they are no survivors themselves.
        assert shown(found.target) == [1, 1]


def test_published_masks_can_drop_them_and_keep_nothing_else() -> None:
    counts, dropped = set(), 0
    for seed in range(20):
        _, found = masked(PUBLISHED, ratio=1.0, seed=seed)
        dropped += int((found.target.keep[special(found.target)] == 0).sum())
        counts.update(shown(found.target))
    assert dropped > 0
    assert counts == {0, 1}


def test_special_ids_do_not_count() -> None:
    _, ours = masked(TINY)
    _, theirs = masked(PUBLISHED)
    assert shown(ours.target) == [6, 4]
    assert (theirs.target.keep > 0.5).where(theirs.target.present, False).sum(1).tolist() == [7, 5]
    assert shown(ours.history) == shown(theirs.history) == [int(19 * 0.75), int(24 * 0.75)]


def test_types_and_positions_are_those_of_the_row() -> None:
    _, found = masked(PUBLISHED)
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
    found = mask_images(model, history, target, 0.25, 0.5, noise)
    assert torch.equal(found.history.keep, grid[0].flatten(1))
    assert torch.equal(found.target.keep, grid[1])


def loss(found: MaskedImages) -> Tensor:
    pull = torch.linspace(-1, 1, found.target.keep.numel()).view(found.target.keep.shape)
    return (found.target.keep * pull).sum() + (found.history.keep**2).sum()


def test_decisions_teach_the_mask_generator() -> None:
    model, found = masked(TINY)
    loss(found).backward()
    for name, weight in model.mask_generator.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name
    before = [w.detach().clone() for w in model.mask_generator.parameters()]
    torch.optim.SGD(model.mask_generator.parameters(), lr=0.1).step()
    moved = zip(before, model.mask_generator.parameters(), strict=True)
    assert all(not torch.equal(old, new) for old, new in moved)


def test_published_decisions_teach_nothing() -> None:
    _, found = masked(PUBLISHED)
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


def test_kept_codes_stay_in_their_places(codebook: Tensor) -> None:
    model, target = partly()
    made = decoder()
    found = decode_kept(made, codebook, target, model.vocabulary)
    bare = codes()[:, 2]
    present = (bare != NO_CODE) & (torch.arange(12) % 3 > 0)
    wanted = made(codebook[bare.clamp(min=0)] * present.unsqueeze(-1), present)
    assert torch.allclose(found.prompt, wanted.prompt, atol=1e-6)


def test_published_codes_move_together(codebook: Tensor) -> None:
    model, target = partly()
    made = decoder()
    found = decode_kept(made, codebook, target, model.vocabulary, published=True)
    for row, bare in enumerate(codes()[:, 2]):
        left = bare[(bare != NO_CODE) & (torch.arange(12) % 3 > 0)].unsqueeze(0)
        alone = made(codebook[left], torch.ones_like(left, dtype=torch.bool))
        assert torch.allclose(found.prompt[row], alone.prompt[0], atol=1e-5)
    ours = decode_kept(made, codebook, target, model.vocabulary)
    assert not torch.allclose(found.prompt, ours.prompt, atol=1e-3)


def test_no_more_codes_are_decoded_than_there_are_queries(codebook: Tensor) -> None:
    model = tiny_personalisation()
    long = ImageTokens.from_codes(random_codes(1, 1, 20), model.vocabulary)
    cut = ImageTokens.from_codes(random_codes(1, 1, 20)[..., :16], model.vocabulary)
    both = [decode_kept(decoder(), codebook, t, model.vocabulary).prompt for t in (long, cut)]
    assert torch.equal(*both)


def test_a_target_without_any_code_is_no_failure(codebook: Tensor) -> None:
    model, target = partly()
    nothing = target.with_keep(torch.zeros_like(target.keep))
    for published in (False, True):
        found = decode_kept(decoder(), codebook, nothing, model.vocabulary, published=published)
        assert torch.isfinite(found.prompt).all()


def test_decoding_passes_gradient_to_the_decisions(codebook: Tensor) -> None:
    model, target = partly()
    keep = target.keep.clone().requires_grad_()
    out = decode_kept(decoder(), codebook, target.with_keep(keep), model.vocabulary)
    out.prompt.square().sum().backward()
    assert keep.grad is not None
    assert keep.grad.abs().max() > 0
