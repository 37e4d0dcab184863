"""Stage 2, pairwise preference alignment: log-probabilities of sequences, and the loss on pairs.

The liked sequence of a pair shall gain on the disliked one, relative to the model that stage 1
left behind (arXiv 2410.14170, "pairwise preference alignment"; the loss is equation 7 of
arXiv 2305.18290, or equation 17 of arXiv 2310.12036).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "IGNORED",
    "LossKind",
    "PreferenceLoss",
    "dpo_loss",
    "label_counts",
    "sequence_log_probabilities",
    "token_losses",
]

IGNORED = -100
"""Label of a place that is not to be predicted."""

LossKind = Literal["sigmoid", "ipo"]


@dataclass(frozen=True)
class PreferenceLoss:
    """What a batch of pairs costs; all float `[B]`, rewards without gradient.

    Attributes:
        losses: The loss of each pair; train on their mean.
        chosen_rewards: `beta * (policy - reference)` of the liked sequence (arXiv 2305.18290,
            section 4, implicit reward), in nats times `beta`.
        rejected_rewards: The same of the disliked one.
    """

    losses: Tensor
    chosen_rewards: Tensor
    rejected_rewards: Tensor

    @property
    def margins(self) -> Tensor:
        """By how much the liked sequence is ahead, `[B]`."""
        return self.chosen_rewards - self.rejected_rewards

    @property
    def accuracy(self) -> Tensor:
        """Share of pairs whose liked sequence is ahead, scalar in [0, 1]; a tie does not count."""
        return (self.chosen_rewards > self.rejected_rewards).float().mean()


def token_losses(logits: Tensor, labels: Tensor, *, shift: bool = True) -> Tensor:
    """Negative log-probability of every label.

    Args:
        logits: Float `[B, L, V]`; normalised in float32.
        labels: int64 `[B, L]`, columns of `logits`; `IGNORED` where nothing is to be predicted.
        shift: Whether place t is predicted by the logits of place t - 1, as where labels stand
            beside the ids they repeat. False where they stand beside the logits that predict them.

    Returns:
        float32 `[B, L]`, or `[B, L - 1]` when shifted, at least 0; 0 where nothing is predicted.
    """
    if shift:
        logits, labels = logits[:, :-1], labels[:, 1:]
    # Rows of scores stay in one piece: sums over a whole vocabulary lose digits otherwise.
    losses = F.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(labels.shape)


def sequence_log_probabilities(logits: Tensor, labels: Tensor, *, shift: bool = True) -> Tensor:
    """Log-probability of each row's labels: summed over its tokens, not averaged.

    Args:
        logits: Float `[B, L, V]`.
        labels: As of `token_losses`.
        shift: As of `token_losses`.

    Returns:
        float32 `[B]`, at most 0; 0 for a row without labels.
    """
    return -token_losses(logits, labels, shift=shift).sum(1)


def label_counts(labels: Tensor, *, shift: bool = True) -> Tensor:
    """Labels of each row that `sequence_log_probabilities` sums over, int64 `[B]`.

    Minus the sum of all log-probabilities over the sum of these is the mean loss per token.
    """
    return (labels[:, 1:] if shift else labels).ne(IGNORED).sum(1)


def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    kind: LossKind = "sigmoid",
) -> PreferenceLoss:
    """Direct preference optimisation on pairs of sequences.

    With `z = (policy_chosen - policy_rejected) - (reference_chosen - reference_rejected)` and
    smoothing e:

    - `sigmoid`: `-(1 - e) log s(beta z) - e log s(-beta z)` (arXiv 2305.18290, equation 7; e = 0
      in the paper, whose runs use beta 0.1);
    - `ipo`: `(z - 1 / (2 beta))^2` (arXiv 2310.12036, equation 17).

    Args:
        policy_chosen: Log-probabilities `[B]` of the liked sequences under the trained model.
        policy_rejected: The same of the disliked ones.
        reference_chosen: `[B]` under the model before this stage, computed from the same inputs.
        reference_rejected: The same of the disliked ones.
        beta: How dear it is to leave the reference, above 0.
        label_smoothing: Share of pairs taken to be the wrong way round, in [0, 0.5).
        kind: Form of the loss.

    Raises:
        ValueError: A number is out of its range, or `ipo` is asked for with smoothing.
    """
    _check(beta, label_smoothing, kind)
    chosen, rejected = policy_chosen - reference_chosen, policy_rejected - reference_rejected
    z = chosen - rejected
    if kind == "ipo":
        losses = (z - 1 / (2 * beta)) ** 2
    else:
        right, wrong = F.logsigmoid(beta * z), F.logsigmoid(-beta * z)
        losses = -(1 - label_smoothing) * right - label_smoothing * wrong
    return PreferenceLoss(losses, (beta * chosen).detach(), (beta * rejected).detach())


def _check(beta: float, label_smoothing: float, kind: str) -> None:
    if beta <= 0:
        raise ValueError(f"`beta` must be above 0, received {beta}")
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"`label_smoothing` must be in [0, 0.5), received {label_smoothing}")
    if kind == "ipo" and label_smoothing:
        raise ValueError("`ipo` knows no label smoothing")
