"""Relevance scores and keep decisions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pigeon_rec.model.configuration import MaskGeneratorConfig
from pigeon_rec.model.mask_generator import (
    HISTORY,
    PADDING,
    TARGET,
    MaskGenerator,
    gumbel_top_k,
    keep_counts,
    sinusoid_table,
)
from tests.model.tiny import seeded

WIDTH, HISTORY_TOKENS, TARGET_TOKENS = 32, 12, 6


def generator(published: bool = False) -> MaskGenerator:
    config = MaskGeneratorConfig(heads=2, feedforward=64, max_position=16, published=published)
    with seeded():
        return MaskGenerator(WIDTH, config).eval()


def sample(batch: int = 3, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, positions and types of a history of two images and one target each."""
    with seeded(seed):
        embeds = torch.randn(batch, HISTORY_TOKENS + TARGET_TOKENS, WIDTH)
    places = torch.arange(1, TARGET_TOKENS + 1).repeat(batch, 3)
    types = torch.full((batch, HISTORY_TOKENS + TARGET_TOKENS), HISTORY)
    types[:, HISTORY_TOKENS:] = TARGET
    return embeds, places, types


@given(ratio=st.one_of(st.floats(0, 1), st.sampled_from([i / 10 for i in range(11)])))
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_python(ratio: float) -> None:
    counted = keep_counts(torch.arange(1, 701), ratio).tolist()
    assert counted == [max(1, int(n * (1 - ratio))) for n in range(1, 701)]


def test_counts_cut_as_doubles_do() -> None:
    # 1 - 0.9 is a little less than 0.1, so twenty tokens leave one and not two.
    assert keep_counts(torch.tensor([20, 10, 1, 0]), 0.9).tolist() == [1, 1, 1, 0]
    assert keep_counts(torch.tensor([64, 320]), 0.2).tolist() == [51, 256]


@given(seed=st.integers(0, 10_000), ratio=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_top_k_keeps_the_best_of_each_row(seed: int, ratio: float) -> None:
    random = torch.Generator().manual_seed(seed)
    weights = torch.rand(4, 15, generator=random)
    gumbel = -torch.empty(4, 15).exponential_(generator=random).log()
    valid = torch.rand(4, 15, generator=random) < 0.6
    keep = gumbel_top_k(weights, valid, ratio, gumbel)
    for row in range(4):
        candidates = [i for i in range(15) if valid[row, i]]
        score = (weights[row].log() + gumbel[row]).tolist()
        count = max(1, int(len(candidates) * (1 - ratio))) if candidates else 0
        best = sorted(candidates, key=lambda i: -score[i])[:count]
        assert (keep[row] > 0.5).nonzero()[:, 0].tolist() == sorted(best)
        dropped = [i for i in range(15) if i not in best]
        assert keep[row, dropped].tolist() == [0.0] * len(dropped)
        assert torch.allclose(keep[row, best], torch.ones(len(best)))


def test_a_row_without_tokens_is_zero_and_has_no_broken_gradient() -> None:
    weights = torch.rand(2, 5, requires_grad=True)
    valid = torch.tensor([[True] * 5, [False] * 5])
    keep = gumbel_top_k(weights, valid, 0.4, torch.zeros(2, 5))
    (keep * torch.arange(5.0)).sum().backward()
    assert keep[1].tolist() == [0.0] * 5
    assert weights.grad is not None
    assert torch.isfinite(weights.grad).all()
    assert weights.grad[0].abs().max() > 0
    assert weights.grad[1].abs().max() == 0


def test_gradient_is_that_of_the_softmax() -> None:
    """Straight-through: hard keep decisions with the gradient of softmax(log w + g)."""
    with seeded(2):
        hard_side = (torch.rand(2, 6) + 0.1).requires_grad_()
        gumbel, pull = torch.randn(2, 6), torch.randn(2, 6)
    soft_side = hard_side.detach().clone().requires_grad_()
    keep = gumbel_top_k(hard_side, torch.ones(2, 6, dtype=torch.bool), 0.5, gumbel)
    (keep * pull).sum().backward()
    ((soft_side.log() + gumbel).softmax(-1) * pull).sum().backward()
    assert hard_side.grad is not None
    assert soft_side.grad is not None
    assert torch.allclose(hard_side.grad, soft_side.grad, atol=1e-6)


def test_table_of_positions() -> None:
    table = sinusoid_table(5, 4)
    assert table[0].tolist() == [0.0, 1.0, 0.0, 1.0]
    wanted = [math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)]
    assert table[3].tolist() == pytest.approx(wanted)


def test_probabilities_are_shared_among_the_tokens_of_a_type() -> None:
    embeds, places, types = sample()
    scores = generator()(embeds, places, types)
    assert scores.cosine.abs().max() <= 1.0
    for found, kind in ((scores.history, HISTORY), (scores.target, TARGET)):
        assert torch.allclose(found.sum(1), torch.ones(3))
        assert found[types != kind].abs().max() == 0
        of_kind = scores.cosine.masked_fill(types != kind, -math.inf)
        assert torch.equal(found.argmax(1), of_kind.argmax(1))


def test_padding_changes_nothing() -> None:
    embeds, places, types = sample()
    maker = generator()
    alone = maker(embeds, places, types)
    extra = torch.randn(3, 4, WIDTH)
    none = torch.full((3, 4), PADDING)
    padded = maker(
        torch.cat([embeds, extra], 1), torch.cat([places, none], 1), torch.cat([types, none], 1)
    )
    tokens = embeds.shape[1]
    assert torch.allclose(padded.cosine[:, :tokens], alone.cosine, atol=1e-6)
    assert torch.allclose(padded.history[:, :tokens], alone.history, atol=1e-6)
    for values in (padded.cosine, padded.history, padded.target):
        assert values[:, tokens:].abs().max() == 0


def test_place_in_the_image_and_type_are_seen() -> None:
    embeds, places, types = sample()
    maker = generator()
    plain = maker(embeds, places, types).cosine
    assert not torch.allclose(maker(embeds, places.flip(1), types).cosine, plain, atol=1e-3)
    swapped = torch.where(types == HISTORY, TARGET, HISTORY)
    assert not torch.allclose(maker(embeds, places, swapped).cosine, plain, atol=1e-3)


def test_scores_are_the_same_twice_outside_training() -> None:
    maker, inputs = generator(), sample()
    assert torch.equal(maker(*inputs).cosine, maker(*inputs).cosine)
    maker.train()
    assert not torch.equal(maker(*inputs).cosine, maker(*inputs).cosine)


def kept(keep: Tensor, row: int = 0) -> set[int]:
    return set((keep[row] > 0.5).nonzero()[:, 0].tolist())


def by_relevance(scores: Tensor, valid: Tensor) -> list[int]:
    """Places of row 0, most relevant first."""
    places = [i for i in range(scores.shape[1]) if valid[0, i]]
    return sorted(places, key=lambda i: -scores[0, i].item())


def test_relevant_history_stays() -> None:
    embeds, places, types = sample()
    maker = generator()
    scores = maker(embeds, places, types)
    silence = torch.zeros(types.shape)
    best = by_relevance(scores.cosine, types == HISTORY)
    assert kept(maker.keep_history(scores, types, 0.5, silence)) == set(best[:6])
    assert kept(maker.keep_history(scores, types, 1.0, silence)) == {best[0]}
    assert kept(maker.keep_history(scores, types, 0.0, silence)) == set(best)


@pytest.mark.parametrize("published", [False, True])
def test_training_drops_what_inference_keeps_of_the_target(published: bool) -> None:
    embeds, places, types = sample()
    maker = generator(published)
    scores = maker(embeds, places, types)
    silence = torch.zeros(types.shape)
    best = by_relevance(scores.cosine, types == TARGET)
    assert kept(maker.keep_target(scores, types, 0.5, silence)) == set(best[:3])
    maker.train()
    assert kept(maker.keep_target(scores, types, 0.5, silence)) == set(best[3:])


def test_published_training_weights_are_flatter_than_ours() -> None:
    """The published weights 1 - p barely differ, so noise changes their order more often."""
    embeds, places, types = sample()
    agreed = {}
    for published in (False, True):
        maker = generator(published)
        scores = maker(embeds, places, types)
        least = by_relevance(scores.cosine, types == TARGET)[3:]
        maker.train()
        with seeded(5):
            noise = [-torch.empty(types.shape).exponential_().log() for _ in range(400)]
        draws = [kept(maker.keep_target(scores, types, 0.5, g)) for g in noise]
        agreed[published] = sum(len(d & set(least)) for d in draws) / len(draws)
    assert agreed[False] > agreed[True] > 1.4  # 1.5 of three would be pure chance


@pytest.mark.parametrize("kind", ["history", "target"])
def test_every_weight_of_the_module_learns_from_either_mask(kind: str) -> None:
    embeds, places, types = sample()
    maker = generator().train()
    with seeded(4):
        scores = maker(embeds, places, types)
        keep = maker.keep_history if kind == "history" else maker.keep_target
        decisions = keep(scores, types, 0.5, torch.randn(types.shape))
        (decisions * torch.randn(types.shape)).sum().backward()
    for name, weight in maker.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name
