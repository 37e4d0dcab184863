"""Stage 2 from merged pairs to the loss, the rewards and a gradient of the policy's adapters."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from pigeon_rec.model.merging import Instruction, merge_images
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.text_tokenizer import PAD_ID
from pigeon_rec.model.tokens import ImageTokens
from pigeon_rec.training.preference import (
    IGNORED,
    PreferenceLoss,
    dpo_loss,
    sequence_log_probabilities,
)
from tests.parity.adapter import mean_prompt
from tests.parity.batches import label_last, stack_rows
from tests.parity.checks import GRADIENT, LOGITS, Checks
from tests.parity.golden import Golden
from tests.parity.language_model import build_personalisation, logits, merged_ids
from tests.parity.sequences import label_counts, shifted

__all__ = ["stage2_forward"]

_WRAPPER = "base_model.model."
"""What peft's own wrapper puts before every name; ours are injected without it."""


@dataclass(frozen=True)
class _Side:
    instruction: Instruction
    labels: Tensor


def stage2_forward(golden: Golden, checks: Checks) -> None:
    """Both sides of every pair, under the reference's adapters and the policy's."""
    model = build_personalisation(golden, checks)
    _add_adapters(model.language_model, golden)
    chosen, rejected = (_merge(golden, checks, model, name) for name in ("chosen", "rejected"))
    both = _stack(golden, checks, chosen, rejected)
    reference = model.adapter(mean_prompt(golden["in.ref_embed"])).repeat(2, 1, 1)
    embeds = model.embed(both.instruction, reference).detach()
    with torch.no_grad():
        before = _log_probabilities(model, both, embeds, "reference")
    after = _log_probabilities(model, both, embeds, "policy")
    found = dpo_loss(
        after,
        before,
        beta=golden.settings["beta"],
        label_smoothing=golden.settings["label_smoothing"],
        kind=golden.settings["loss_type"],
    )
    _compare(golden, checks, before, after, found)
    nll = -after[0].sum() / label_counts(chosen.labels).sum()
    checks.close("policy_chosen_nll", nll, golden["out.policy_chosen_nll"], GRADIENT)
    name = "model.layers.0.self_attn.q_proj.lora_B.policy.weight"
    weight = model.language_model.get_parameter(name)
    (gradient,) = torch.autograd.grad(found.losses.mean(), weight)
    checks.close("gradient of lora_B", gradient, golden["out.grad_layer0_q_lora_B"], GRADIENT)


def _add_adapters(language_model: nn.Module, golden: Golden) -> None:
    """Two sets of LoRA adapters, `policy` and `reference`, with the recorded weights."""
    options = golden.settings["lora"]
    config = LoraConfig(
        r=options["r"],
        lora_alpha=options["alpha"],
        lora_dropout=options["dropout_used"],
        target_modules=options["target_modules"],
    )
    with warnings.catch_warnings():
        # Two sets of adapters in one model are meant.
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        for name in ("policy", "reference"):
            inject_adapter_in_model(config, language_model, adapter_name=name)
    stored = golden.under(f"param.lora.{_WRAPPER}")
    fresh = {name for name in language_model.state_dict() if "lora_" in name}
    if fresh != stored.keys():
        raise ValueError(f"adapters differ in {sorted(fresh ^ stored.keys())[:4]}")
    language_model.load_state_dict(stored, strict=False)
    language_model.eval()


def _merge(golden: Golden, checks: Checks, model: Personalisation, name: str) -> _Side:
    """As published: the first id of a sequence is dropped, and the second is no label."""
    history = ImageTokens.from_rows(golden["in.history"], golden["in.history_lengths"])
    lengths = golden[f"in.{name}_length"].unsqueeze(1) - 1
    written = ImageTokens.from_rows(golden[f"in.{name}"][:, 1:], lengths)
    text, mask = golden["in.text_ids"], golden["in.text_mask"]
    merged = merge_images(text, mask.bool(), history.join(written), model.vocabulary)
    labels = label_last(merged.ids, lengths[:, 0] - 1)
    checks.equal(f"{name}: input_ids", merged_ids(merged), golden[f"out.{name}_input_ids"])
    attention = golden[f"out.{name}_attention_mask"]
    checks.equal(f"{name}: attention_mask", merged.attention, attention)
    checks.equal(f"{name}: labels", labels, golden[f"out.{name}_labels"])
    return _Side(merged, labels)


def _stack(golden: Golden, checks: Checks, chosen: _Side, rejected: _Side) -> _Side:
    """Chosen rows, then rejected ones."""
    one, other = chosen.instruction, rejected.instruction
    both = Instruction(
        ids=stack_rows(one.ids, other.ids, PAD_ID),
        gate=stack_rows(one.gate, other.gate, 1.0),
        attention=stack_rows(one.attention, other.attention, False),
    )
    labels = stack_rows(chosen.labels, rejected.labels, IGNORED)
    checks.equal("concat: input_ids", merged_ids(both), golden["out.concat_input_ids"])
    checks.equal("concat: attention_mask", both.attention, golden["out.concat_attention_mask"])
    checks.equal("concat: labels", labels, golden["out.concat_labels"])
    return _Side(both, labels)


def _log_probabilities(
    model: Personalisation, both: _Side, embeds: Tensor, adapters: str
) -> Tensor:
    """Of the chosen and of the rejected sequences, `[2, B]`."""
    for layer in model.language_model.modules():
        if isinstance(layer, BaseTunerLayer):
            layer.set_adapter(adapters)
    scores = logits(model, both.instruction, embeds)
    return sequence_log_probabilities(*shifted(scores, both.labels)).view(2, -1)


def _compare(
    golden: Golden,
    checks: Checks,
    before: Tensor,
    after: Tensor,
    found: PreferenceLoss,
) -> None:
    for model, pair in (("reference", before), ("policy", after)):
        for side, ours in zip(("chosen", "rejected"), pair, strict=True):
            checks.close(f"{model}_{side}_logps", ours, golden[f"out.{model}_{side}_logps"], LOGITS)
    for name, ours in (
        ("losses", found.losses),
        ("loss", found.losses.mean()),
        ("chosen_rewards", found.chosen_rewards),
        ("rejected_rewards", found.rejected_rewards),
        ("reward_accuracy", found.accuracy),
        ("reward_margin", found.margins.mean()),
    ):
        checks.close(name, ours, golden[f"out.{name}"], GRADIENT)
