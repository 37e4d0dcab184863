"""Log-probabilities of sequences and the loss on pairs of them."""

from __future__ import annotations

import torch

from pigeon_rec.model.text_tokenizer import PAD_ID
from pigeon_rec.training.preference import IGNORED, dpo_loss, sequence_log_probabilities
from tests.parity.batches import stack_rows
from tests.parity.checks import LOGITS, Checks
from tests.parity.golden import Golden
from tests.parity.sequences import label_counts, shifted

__all__ = ["check_dpo_loss"]


@torch.no_grad()
def check_dpo_loss(golden: Golden, checks: Checks) -> None:
    """Sums over labels, every case's loss and rewards, and pairs in one batch."""
    checks.same_setting("ignored label", IGNORED, golden.settings["ignore"])
    labels = golden["in.labels"]
    logps = sequence_log_probabilities(*shifted(golden["in.logits"], labels))
    counts = label_counts(labels)
    checks.close("logps", logps, golden["out.logps"], LOGITS)
    checks.equal("label_count", counts, golden["out.label_count"])
    checks.close("nll", -logps.sum() / counts.sum(), golden["out.nll"])
    policy, reference = (
        torch.stack([golden[f"in.{model}_{side}"] for side in ("chosen", "rejected")])
        for model in ("policy", "reference")
    )
    for case, options in golden.cases.items():
        found = dpo_loss(
            policy,
            reference,
            beta=options["beta"],
            label_smoothing=options["label_smoothing"],
            kind=options["loss_type"],
        )
        for name, ours in (
            ("loss", found.losses),
            ("mean_loss", found.losses.mean()),
            ("chosen_reward", found.chosen_rewards),
            ("rejected_reward", found.rejected_rewards),
            ("accuracy", found.accuracy),
        ):
            checks.close(f"{case}: {name}", ours, golden[f"out.{case}.{name}"])
    rows = golden["in.concat.chosen"], golden["in.concat.rejected"]
    ones = torch.ones_like(rows[0]), torch.ones_like(rows[1])
    checks.equal("concat: ids", stack_rows(*rows, PAD_ID), golden["out.concat.ids"])
    checks.equal("concat: labels", stack_rows(*rows, IGNORED), golden["out.concat.labels"])
    checks.equal("concat: mask", stack_rows(*ones, 0), golden["out.concat.mask"])
