"""Images to codes: keep decisions, merging, quantising."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.model.visual_tokenizer import (
    NO_CODE,
    TokenMerger,
    TokenPredictor,
    VectorQuantizer,
    VisualTokenizer,
)
from tests.model.tiny import DYNAMIC, TINY, seeded


@pytest.fixture(scope="module")
def full() -> VisualTokenizer:
    with seeded():
        return VisualTokenizer(TINY.tokenizer).eval()


@pytest.fixture
def dynamic(pixels: Tensor) -> VisualTokenizer:
    """Keeps about half of the patches; an untrained predictor scores all about the same."""
    with seeded():
        tokenizer = VisualTokenizer(DYNAMIC.tokenizer).eval()
    assert tokenizer.token_predictor is not None
    set_bias(tokenizer, keep=0.0, drop=0.0)
    with torch.no_grad():
        tokenizer.get_parameter("token_predictor.out_conv.4.weight").mul_(200.0)
        features = tokenizer.encoder(pixels)
        scores = tokenizer.token_predictor(features, torch.ones(6, 16, 1))
        middle = float((scores[..., 0] - scores[..., 1]).median())
    set_bias(tokenizer, keep=-middle, drop=0.0)
    return tokenizer


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def set_bias(tokenizer: VisualTokenizer, keep: float, drop: float) -> None:
    assert tokenizer.token_predictor is not None
    bias = tokenizer.token_predictor.get_parameter("out_conv.4.bias")
    with torch.no_grad():
        bias.copy_(torch.tensor([keep, drop]))


def lengths(ids: Tensor) -> list[int]:
    return [int(n) for n in (ids != NO_CODE).sum(1)]


def test_keep_all_fills_the_patch_grid(full: VisualTokenizer, pixels: Tensor) -> None:
    codes = full.encode(pixels)
    assert codes.ids.shape == (6, 16)
    assert codes.ids.min() >= 0
    assert codes.ids.max() < 32
    assert torch.allclose(codes.vectors, full.quantize.embedding(codes.ids), atol=1e-6)
    assert torch.allclose(codes.raw.norm(dim=-1), torch.ones(6, 16))


def test_an_image_has_the_same_codes_in_every_call_and_company(
    dynamic: VisualTokenizer, pixels: Tensor
) -> None:
    together = dynamic.encode(pixels).ids
    assert torch.equal(together, dynamic.encode(pixels).ids)
    for row, length in enumerate(lengths(together)):
        alone = dynamic.encode(pixels[row : row + 1]).ids
        assert torch.equal(alone[0], together[row, :length])


def test_dynamic_lists_have_different_lengths(dynamic: VisualTokenizer, pixels: Tensor) -> None:
    ids = dynamic.encode(pixels).ids
    found = lengths(ids)
    assert len(set(found)) > 1
    assert min(found) >= 1
    assert max(found) == ids.shape[1] <= 16
    for row, length in zip(ids, found, strict=True):
        assert (row[:length] >= 0).all()
        assert (row[length:] == NO_CODE).all()


def test_dynamic_codes_are_those_of_the_kept_patches_in_order(
    dynamic: VisualTokenizer, pixels: Tensor
) -> None:
    features = dynamic.encoder(pixels)
    kept = dynamic.decide(features) > 0.5
    merged = dynamic.encode_task_layer(dynamic.causal_encoder(features, kept.float()))
    every, _, _ = dynamic.quantize(merged)
    ids = dynamic(features, kept.float()).ids
    for row in range(len(ids)):
        assert ids[row][ids[row] != NO_CODE].tolist() == every[row][kept[row]].tolist()


def test_an_image_always_keeps_its_surest_patch(dynamic: VisualTokenizer, pixels: Tensor) -> None:
    set_bias(dynamic, keep=-1e4, drop=1e4)
    features = dynamic.encoder(pixels)
    assert dynamic.token_predictor is not None
    surest = dynamic.token_predictor(features, torch.ones(6, 16, 1))[..., 0].argmax(1)
    kept = dynamic.decide(features) > 0.5
    assert kept.sum(1).tolist() == [1] * 6
    assert torch.equal(kept.long().argmax(1), surest)
    assert dynamic.encode(pixels).ids.shape == (6, 1)


def test_a_predictor_that_likes_all_keeps_all(dynamic: VisualTokenizer, pixels: Tensor) -> None:
    set_bias(dynamic, keep=1e4, drop=-1e4)
    assert lengths(dynamic.encode(pixels).ids) == [16] * 6


def test_training_decisions_follow_the_noise(dynamic: VisualTokenizer, pixels: Tensor) -> None:
    features = dynamic.encoder(pixels)
    gumbel = torch.zeros(6, 16, 2)
    gumbel[:, :, 1] = 1e6
    gumbel[:, [2, 5], 0] = 1e7
    kept = dynamic.decide(features, gumbel) > 0.5
    wanted = torch.zeros(6, 16, dtype=torch.bool)
    wanted[:, [2, 5]] = True
    assert torch.equal(kept, wanted)


def test_noise_may_drop_the_patch_with_the_highest_keep_score(
    dynamic: VisualTokenizer, pixels: Tensor
) -> None:
    """Patches with a keep score above their drop score are kept; the largest margin always."""
    features = dynamic.encoder(pixels)
    gumbel = torch.zeros(6, 16, 2)
    gumbel[:, 3] = torch.tensor([1e6, 2e6])
    gumbel[:, 7, 0] = 1e5
    gumbel[:, [4, 5], 1] = 1e5
    kept = dynamic.decide(features, gumbel) > 0.5
    assert not kept[:, [3, 4, 5]].any()
    assert kept[:, 7].all()


def test_decisions_pass_gradient_to_the_predictor(dynamic: VisualTokenizer, pixels: Tensor) -> None:
    with torch.no_grad():
        dynamic.get_parameter("token_predictor.out_conv.4.weight").div_(200.0)
    codes = dynamic(*(f := dynamic.encoder(pixels), dynamic.decide(f)))
    codes.vectors.square().sum().backward()
    gradient = dynamic.get_parameter("token_predictor.out_conv.4.weight").grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_predictor_gives_log_probabilities() -> None:
    with seeded():
        predictor = TokenPredictor(32)
    out = predictor(torch.randn(2, 16, 32), torch.ones(2, 16, 1))
    assert torch.allclose(out.exp().sum(-1), torch.ones(2, 16))


def test_predictor_sees_the_rest_of_the_image_by_its_policy() -> None:
    with seeded():
        predictor, x = TokenPredictor(32), torch.randn(1, 16, 32)
    policy = torch.ones(1, 16, 1)
    policy[:, 5] = 0.0
    other = x.clone()
    other[:, 5] = torch.randn(32)
    seen, unseen = predictor(x, policy), predictor(other, policy)
    rest = [i for i in range(16) if i != 5]
    assert torch.equal(seen[:, rest], unseen[:, rest])
    ones = torch.ones(1, 16, 1)
    assert not torch.allclose(predictor(x, ones)[:, rest], predictor(other, ones)[:, rest])


@pytest.fixture(scope="module")
def merger() -> TokenMerger:
    with seeded():
        return TokenMerger(32, heads=2, layers=2, hidden=64).eval()


def decisions(*dropped: int) -> Tensor:
    keep = torch.ones(1, 16)
    keep[:, list(dropped)] = 0.0
    return keep


def test_what_is_dropped_is_folded_into_what_is_kept(merger: TokenMerger) -> None:
    with seeded(1):
        x, other = torch.randn(1, 16, 32), torch.randn(32)
    changed = x.clone()
    changed[:, 3] = other
    change = merger(x, decisions(3, 7)) - merger(changed, decisions(3, 7))
    assert change[0, [0, 1, 9, 15]].abs().amax(-1).min() > 1e-3


def test_kept_patches_see_only_those_before_them(merger: TokenMerger) -> None:
    with seeded(1):
        x, other = torch.randn(1, 16, 32), torch.randn(32)
    changed = x.clone()
    changed[:, 8] = other
    change = (merger(x, decisions(3)) - merger(changed, decisions(3)))[0].abs().amax(-1)
    # Before the changed patch only the smoothing of the softmax, 1e-6, has an effect.
    assert change[:8].max() < 1e-4
    assert change[9:].min() > 1e-3


def test_published_merger_starts_at_the_features_as_they_are(merger: TokenMerger) -> None:
    published = TokenMerger(32, heads=2, layers=2, hidden=64, published=True).eval()
    published.load_state_dict(merger.state_dict())
    with seeded(1):
        x = torch.randn(1, 16, 32)
    normal = F.layer_norm(x, (32,))
    assert not torch.allclose(published(x, decisions(3)), merger(x, decisions(3)))
    assert torch.allclose(published(normal, decisions(3)), merger(x, decisions(3)), atol=1e-4)


def quantizer(rows: Tensor, published: bool = False) -> VectorQuantizer:
    made = VectorQuantizer(len(rows), rows.shape[1], published=published)
    with torch.no_grad():
        made.embedding.weight.copy_(rows)
    return made


@pytest.fixture(scope="module")
def unequal() -> Tensor:
    with seeded(2):
        return torch.randn(32, 8) * torch.rand(32, 1) * 3


@pytest.fixture(scope="module")
def z() -> Tensor:
    with seeded(3):
        return torch.randn(200, 8) * torch.rand(200, 1) * 5


def test_nearest_is_nearest_by_cosine(unequal: Tensor, z: Tensor) -> None:
    ids, rows, unit = quantizer(unequal)(z)
    cosine = F.cosine_similarity(z[:, None].double(), unequal[None].double(), dim=-1)
    assert torch.equal(ids, cosine.argmax(1))
    assert torch.allclose(rows, unequal[ids], atol=1e-6)
    assert torch.allclose(unit, z / z.norm(dim=-1, keepdim=True), atol=1e-6)


def test_published_compares_with_the_rows_as_stored(unequal: Tensor, z: Tensor) -> None:
    ids, _, unit = quantizer(unequal, published=True)(z)
    brute = (unit[:, None].double() - unequal[None].double()).square().sum(-1).argmin(1)
    assert torch.equal(ids, brute)
    assert (ids != quantizer(unequal)(z)[0]).any()


def test_both_agree_on_unit_rows(unequal: Tensor, z: Tensor) -> None:
    rows = F.normalize(unequal, dim=-1)
    assert torch.equal(quantizer(rows)(z)[0], quantizer(rows, published=True)(z)[0])


def test_the_first_of_equal_rows_wins(z: Tensor) -> None:
    with seeded(4):
        rows = F.normalize(torch.randn(4, 8), dim=-1).repeat(3, 1)
    assert quantizer(rows)(z)[0].max() < 4


def test_length_does_not_matter_but_direction(unequal: Tensor, z: Tensor) -> None:
    made = quantizer(unequal)
    assert torch.equal(made(z)[0], made(z * 7.5)[0])
    ids, rows, unit = made(torch.zeros(2, 8))
    assert ids[0] == ids[1]
    assert torch.isfinite(rows).all()
    assert torch.equal(unit, torch.zeros(2, 8))


def test_gradient_goes_through_to_the_encoder_only(unequal: Tensor, z: Tensor) -> None:
    made, pull = quantizer(unequal), torch.arange(8.0)
    raw, plain = z.clone().requires_grad_(), z.clone().requires_grad_()
    (made(raw)[1] * pull).sum().backward()
    (F.normalize(plain, dim=-1) * pull).sum().backward()
    assert raw.grad is not None
    assert plain.grad is not None
    assert torch.allclose(raw.grad, plain.grad, atol=1e-6)
    assert made.embedding.weight.grad is None


def test_the_published_setting_reaches_both_parts() -> None:
    sizes = TINY.tokenizer.model_copy(update={"published": True})
    tokenizer = VisualTokenizer(sizes)
    assert tokenizer.quantize.published
    assert tokenizer.causal_encoder.published
