"""Codes to prompt embeddings, whole and masked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pigeon_rec.model.tokenizer_decoder import DecoderOutput, TokenizerDecoder
from tests.model.tiny import TINY, seeded


@pytest.fixture(scope="module")
def decoder() -> TokenizerDecoder:
    with seeded():
        return TokenizerDecoder(TINY.decoder).eval()


@pytest.fixture(scope="module")
def codes() -> Tensor:
    with seeded(1):
        return torch.randn(3, 16, 8)


@pytest.fixture(scope="module")
def present() -> Tensor:
    with seeded(2):
        return torch.rand(3, 16) < 0.5


def same(one: DecoderOutput, other: DecoderOutput) -> bool:
    assert one.pooled is not None
    assert other.pooled is not None
    return torch.equal(one.prompt, other.prompt) and torch.equal(one.pooled, other.pooled)


def test_shapes_follow_the_projections(decoder: TokenizerDecoder, codes: Tensor) -> None:
    out = decoder(codes, torch.ones(3, 16, dtype=torch.bool))
    assert out.prompt.shape == (3, 16, 8 + 16)
    assert out.pooled.shape == (3, 16)
    assert out.hidden.shape == (3, 16, 32)
    halves = [projection(out.hidden) for projection in decoder.projections]
    assert torch.equal(out.prompt, torch.cat(halves, -1))


def test_masked_codes_carry_no_information(
    decoder: TokenizerDecoder, codes: Tensor, present: Tensor
) -> None:
    with seeded(3):
        others = torch.where(present[..., None], codes, torch.randn(codes.shape) * 100)
    assert same(decoder(codes, present), decoder(others, present))
    assert not same(decoder(codes, present), decoder(codes, ~present))


def test_places_behind_the_last_code_change_nothing(
    decoder: TokenizerDecoder, codes: Tensor
) -> None:
    filled = torch.arange(16) < 5
    long = decoder(codes, filled.expand(3, -1))
    short = decoder(codes[:, :5], torch.ones(3, 5, dtype=torch.bool))
    assert torch.allclose(long.prompt, short.prompt, atol=1e-5)


def test_a_code_keeps_its_place_when_others_are_masked(
    decoder: TokenizerDecoder, codes: Tensor
) -> None:
    """One code at two places gives two results: kept codes stay at their places."""
    moved = codes.roll(3, dims=1)
    only = torch.zeros(3, 16, dtype=torch.bool)
    only[:, 2] = True
    here, there = decoder(codes, only), decoder(moved, only.roll(3, dims=1))
    assert torch.equal(codes[only], moved[only.roll(3, dims=1)])
    assert (here.prompt - there.prompt).abs().max() > 1e-3


def test_an_image_without_codes_is_one_picture_and_no_nan(
    decoder: TokenizerDecoder, codes: Tensor
) -> None:
    nothing = torch.zeros(3, 16, dtype=torch.bool)
    out = decoder(codes, nothing)
    assert torch.isfinite(out.prompt).all()
    assert same(out, decoder(torch.zeros_like(codes), nothing))


def test_rows_do_not_touch_each_other(
    decoder: TokenizerDecoder, codes: Tensor, present: Tensor
) -> None:
    together = decoder(codes, present)
    for row in range(3):
        alone = decoder(codes[row : row + 1], present[row : row + 1])
        assert torch.allclose(alone.prompt[0], together.prompt[row], atol=1e-5)
        assert torch.allclose(alone.pooled[0], together.pooled[row], atol=1e-5)


def test_aligned_queries_look_at_their_own_code() -> None:
    with seeded():
        decoder = TokenizerDecoder(TINY.decoder.model_copy(update={"width": 64})).eval()
        decoder.align_queries()
        codes, other = torch.randn(1, 16, 8), torch.randn(8)
    whole = torch.ones(1, 16, dtype=torch.bool)
    plain = decoder(codes, whole).hidden[0]
    moved = []
    for place in range(16):
        changed = codes.clone()
        changed[0, place] = other
        moved.append(int((decoder(changed, whole).hidden[0] - plain).norm(dim=-1).argmax()))
    assert sum(place == query for place, query in enumerate(moved)) >= 8  # chance: 1


def test_low_resolution_variant_has_one_projection_and_no_pool() -> None:
    sizes = TINY.decoder.model_copy(update={"projections": (24,), "pooled": False})
    out = TokenizerDecoder(sizes)(torch.randn(2, 16, 8), torch.ones(2, 16, dtype=torch.bool))
    assert out.prompt.shape == (2, 16, 24)
    assert out.pooled is None


def test_preview_lays_queries_out_row_by_row(decoder: TokenizerDecoder) -> None:
    hidden = torch.zeros(1, 16, 32)
    hidden[0, 6] = 1.0
    shown = decoder.preview(DecoderOutput(torch.zeros(1), None, hidden))[0]
    empty = decoder.preview(DecoderOutput(torch.zeros(1), None, torch.zeros_like(hidden)))[0]
    assert shown.shape == (3, 16, 16)
    touched = (shown != empty).any(0)
    wanted = torch.zeros(16, 16, dtype=torch.bool)
    wanted[4:8, 8:12] = True  # query 6 is row 1, column 2 of a 4x4 grid of 4-pixel patches
    assert torch.equal(touched, wanted)
    patch = decoder.get_submodule("preview_head")(hidden[0, 6]).view(3, 4, 4)
    assert torch.allclose(shown[:, 4:8, 8:12], patch, atol=1e-6)


def test_preview_needs_its_head() -> None:
    decoder = TokenizerDecoder(TINY.decoder.model_copy(update={"preview_patch": 0}))
    out = decoder(torch.randn(1, 16, 8), torch.ones(1, 16, dtype=torch.bool))
    with pytest.raises(ValueError, match="no preview head"):
        decoder.preview(out)
