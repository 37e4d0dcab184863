"""Log-probabilities of sequences, and the preference loss."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pigeon_rec.training.preference import (
    IGNORED,
    LossKind,
    dpo_loss,
    sequence_log_probabilities,
    token_losses,
)
from tests.model.tiny import seeded

LABELS = torch.tensor(
    [[IGNORED, 3, 1, 4, 1], [9, 2, IGNORED, IGNORED, 6], [IGNORED] * 5, [5, 5, 5, 5, IGNORED]]
)


@pytest.fixture(scope="module")
def logits() -> Tensor:
    with seeded():
        return torch.randn(4, 5, 10) * 3


def by_hand(logits: Tensor, labels: Tensor) -> list[float]:
    """Token by token, in doubles."""
    sums = []
    for row, wanted in zip(logits.double().tolist(), labels.tolist(), strict=True):
        total = 0.0
        for scores, label in zip(row, wanted, strict=True):
            if label != IGNORED:
                total += scores[label] - math.log(sum(math.exp(s) for s in scores))
        sums.append(total)
    return sums


def test_log_probabilities_are_sums_over_the_labels(logits: Tensor) -> None:
    found = sequence_log_probabilities(logits, LABELS)
    assert found.tolist() == pytest.approx(by_hand(logits, LABELS), abs=1e-4)
    assert found[2] == 0


def test_token_losses_are_at_the_positions_of_the_labels(logits: Tensor) -> None:
    losses = token_losses(logits, LABELS)
    assert losses.shape == (4, 5)
    assert torch.equal(losses > 0, LABELS != IGNORED)
    assert torch.allclose(-losses.sum(1), sequence_log_probabilities(logits, LABELS))


def test_a_large_vocabulary_loses_no_precision() -> None:
    with seeded():
        logits, labels = torch.randn(2, 3, 40_000) * 0.1, torch.randint(0, 40_000, (2, 3))
    found = token_losses(logits, labels).double()
    wanted = torch.nn.functional.cross_entropy(
        logits.double().flatten(0, 1), labels.flatten(), reduction="none"
    )
    assert torch.allclose(found.flatten(), wanted, rtol=1e-6, atol=0)


def test_half_precision_is_summed_in_single(logits: Tensor) -> None:
    half = logits.bfloat16()
    found = sequence_log_probabilities(half, LABELS)
    assert found.dtype == torch.float32
    assert torch.allclose(found, sequence_log_probabilities(half.float(), LABELS))


def test_gradient_reaches_only_logits_with_a_label(logits: Tensor) -> None:
    free = logits.clone().requires_grad_()
    sequence_log_probabilities(free, LABELS).sum().backward()
    assert free.grad is not None
    touched = free.grad.abs().amax(-1) > 0
    assert torch.equal(touched, LABELS != IGNORED)


NUMBERS = st.floats(-30, 30)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=5)


@given(PAIRS, st.floats(0.01, 2), st.floats(0, 0.49))
def test_losses_and_rewards_follow_the_formula(
    rows: list[tuple[float, float, float, float]], beta: float, smoothing: float
) -> None:
    policy, reference = torch.tensor(rows).double().T.split(2)
    found = dpo_loss(policy, reference, beta=beta, label_smoothing=smoothing)
    for i, (pc, pr, rc, rr) in enumerate(torch.tensor(rows).double().tolist()):
        z = beta * ((pc - pr) - (rc - rr))
        right, wrong = math.log1p(math.exp(-z)), math.log1p(math.exp(z))
        assert float(found.losses[i]) == pytest.approx((1 - smoothing) * right + smoothing * wrong)
        assert float(found.chosen_rewards[i]) == pytest.approx(beta * (pc - rc))
        assert float(found.margins[i]) == pytest.approx(z, abs=1e-9)


def pair(chosen: float, rejected: float) -> tuple[Tensor, Tensor]:
    """Policy and reference log-probabilities `[2, 1]`; the reference prefers neither."""
    return torch.tensor([[chosen], [rejected]]).float(), torch.tensor([[-5.0], [-5.0]])


def test_ipo_penalises_both_sides_of_its_margin() -> None:
    wanted = 1 / (2 * 0.1)
    assert float(dpo_loss(*pair(-5 + wanted, -5), kind="ipo").losses) == pytest.approx(0, abs=1e-9)
    assert float(dpo_loss(*pair(-5 + wanted + 2, -5), kind="ipo").losses) == pytest.approx(4)
    assert float(dpo_loss(*pair(-5 + wanted - 3, -5), kind="ipo").losses) == pytest.approx(9)


def test_a_policy_equal_to_its_reference_has_loss_ln_2() -> None:
    found = dpo_loss(*pair(-5, -5))
    assert float(found.losses) == pytest.approx(math.log(2))
    assert found.accuracy == 0  # a tie does not count


def test_accuracy_is_the_share_of_pairs_ahead() -> None:
    policy = torch.tensor([[1.0, 0.0, 2.0, 5.0], [0.0, 1.0, 2.0, 4.5]])
    assert dpo_loss(policy, torch.zeros(2, 4)).accuracy == 0.5


@pytest.mark.parametrize("kind", ["sigmoid", "ipo"])
def test_a_step_down_the_loss_prefers_the_chosen(kind: LossKind) -> None:
    policy = torch.tensor([[-4.0], [-6.0]], requires_grad=True)
    found = dpo_loss(policy, torch.full((2, 1), -5.0), kind=kind)
    found.losses.mean().backward()
    assert policy.grad is not None
    chosen, rejected = policy.grad
    assert chosen < 0 < rejected
    assert not found.chosen_rewards.requires_grad


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0.0}, "above 0"),
        ({"label_smoothing": 0.5}, r"in \[0, 0.5\)"),
        ({"label_smoothing": -0.1}, r"in \[0, 0.5\)"),
        ({"kind": "ipo", "label_smoothing": 0.1}, "no label smoothing"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dpo_loss(*pair(0, 0), **settings)  # type: ignore[arg-type]
