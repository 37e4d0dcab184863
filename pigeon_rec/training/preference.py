"""Stage 2, pairwise preference alignment: log-probabilities of sequences, and the loss on pairs.

The loss raises the chosen sequence of a pair over the rejected one, relative to the stage-1 model
(arXiv 2410.14170, "pairwise preference alignment"; equation 7 of arXiv 2305.18290, or equation 17
of arXiv 2310.12036).
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
    "sequence_log_probabilities",
    "token_losses",
]

IGNORED = -100
"""Label of a position that is not predicted."""

LossKind = Literal["sigmoid", "ipo"]


@dataclass(frozen=True)
class PreferenceLoss:
    """Loss and rewards of a batch of pairs; all float `[B]`, rewards without gradient.

    Attributes:
        losses: The loss of each pair; train on their mean.
        chosen_rewards: `beta * (policy - reference)` of the chosen sequence (arXiv 2305.18290,
            section 4, implicit reward), in nats times `beta`.
        rejected_rewards: The same of the rejected sequence.
    """

    losses: Tensor
    chosen_rewards: Tensor
    rejected_rewards: Tensor

    @property
    def margins(self) -> Tensor:
        """Chosen reward minus rejected reward, `[B]`."""
        return self.chosen_rewards - self.rejected_rewards

    @property
    def accuracy(self) -> Tensor:
        """Share of pairs with a positive margin, scalar in [0, 1]."""
        return (self.chosen_rewards > self.rejected_rewards).float().mean()


def token_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Negative log-probability of every label.

    Args:
        logits: Float `[B, L, V]`; position t predicts label t. Normalised in float32.
        labels: int64 `[B, L]`, columns of `logits`; `IGNORED` where nothing is predicted.

    Returns:
        float32 `[B, L]`, at least 0; 0 at ignored positions.
    """
    # Flattened to rows: cross_entropy on `[B, V, L]` sums over the vocabulary less accurately.
    losses = F.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(labels.shape)


def sequence_log_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of each row's labels, summed over its tokens; arguments as `token_losses`.

    Returns:
        float32 `[B]`, at most 0; 0 for a row without labels.
    """
    return -token_losses(logits, labels).sum(1)


def dpo_loss(
    policy: Tensor,
    reference: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    kind: LossKind = "sigmoid",
) -> PreferenceLoss:
    """Direct preference optimisation on pairs of sequences.

    With `z = (policy chosen - policy rejected) - (reference chosen - reference rejected)` and
    smoothing e:

    - `sigmoid`: `-(1 - e) log s(beta z) - e log s(-beta z)` (arXiv 2305.18290, equation 7; e = 0
      in the paper, whose runs use beta 0.1);
    - `ipo`: `(z - 1 / (2 beta))^2` (arXiv 2310.12036, equation 17).

    Args:
        policy: Log-probabilities `[2, B]` under the trained model: chosen, rejected.
        reference: The same under the model before this stage, computed from the same inputs.
        beta: Strength of the penalty for leaving the reference, above 0.
        label_smoothing: Assumed share of pairs with swapped preference, in [0, 0.5).
        kind: Form of the loss.

    Raises:
        ValueError: A number is out of its range, or `ipo` is combined with smoothing.
    """
    _check(beta, label_smoothing, kind)
    chosen, rejected = policy - reference
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
        raise ValueError("`ipo` has no label smoothing")
