"""Small recorded files of our own: seeded weights and inputs, and what each kind makes of them.

Where a few lines of plain Python say what must come out, they do; the rest is what our modules
computed when the file was written. They test the command, not the modules.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from pigeon_rec.model.configuration import AdapterConfig, MaskGeneratorConfig
from pigeon_rec.model.mask_generator import HISTORY, PADDING, TARGET, MaskGenerator
from pigeon_rec.model.personalisation import ReferenceAdapter
from pigeon_rec.model.visual_tokenizer import TokenPredictor
from tests.model.tiny import seeded

__all__ = ["RECORDED", "record"]

Recording = tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]
"""Tensors, settings, cases."""


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {f"param.{name}": weight.clone() for name, weight in module.state_dict().items()}


def _adapter() -> Recording:
    module, x = (
        ReferenceAdapter(6, 8, AdapterConfig(hidden=4, reference_tokens=1)),
        torch.randn(3, 6),
    )
    y = torch.tanh(module.decoder(module.encoder(x)))
    sizes = {"in_dim": 6, "hid_dim": 4, "out_dim": 8, "drop_prob": 0.2}
    return {**_weights(module), "in.x": x, "out.y": y}, sizes, {}


def _token_predictor() -> Recording:
    module, x, policy = TokenPredictor(8), torch.randn(2, 5, 8), torch.rand(2, 5, 1)
    tensors = {"in.x": x, "in.some.policy": policy, "out.some.log_prob": module(x, policy)}
    return {**_weights(module), **tensors}, {"embed_dim": 8}, {"some": {}}


def _vector_quantizer() -> Recording:
    rows, z = torch.randn(9, 4) * torch.rand(9, 1), torch.randn(30, 4)
    unit = F.normalize(z, dim=-1)
    index = (unit[:, None] - rows[None]).square().sum(-1).argmin(1)
    tensors = {
        "param.raw.embedding.weight": rows,
        "in.raw.z": z,
        "out.raw.index": index,
        "out.raw.z_q": rows[index],
    }
    return tensors, {"n_code": 9, "code_dim": 4}, {"raw": {}}


def _mask_generator() -> Recording:
    config = MaskGeneratorConfig(heads=2, feedforward=16, max_position=8, published=True)
    module = MaskGenerator(8, config).eval()
    weights = _weights(module)
    weights["param.position_embedding.pe"] = weights.pop("param.positions")
    types = torch.tensor(
        [[HISTORY] * 5 + [TARGET] * 4, [HISTORY] * 4 + [TARGET] * 3 + [PADDING] * 2]
    )
    positions = torch.tensor([[1, 2, 3, 4, 5, 1, 2, 3, 4], [1, 2, 3, 4, 1, 2, 3, 0, 0]])
    embeds, padding = torch.randn(2, 9, 8), types == PADDING
    scores, placed = module(embeds, positions, types), module.place(embeds, positions, types)
    gone, noise = padding.unsqueeze(-1), -torch.empty(2, 9).exponential_().log()
    keep = module.keep_history(scores, types, 0.2, noise)
    keep = keep + module.keep_target(scores, types, 0.5, noise, rebuild=True)
    lengths = torch.arange(1, 12)
    counts = [[max(1, int(n * (1 - ratio))) for ratio in (0.0, 0.9)] for n in range(1, 12)]
    tensors = {
        "in.token_embeds": embeds,
        "in.pad_mask": padding,
        "in.position_ids": positions,
        "in.type_ids": types,
        "in.count_n": lengths,
        "in.half.gumbel": noise,
        "out.input_embeds": placed.masked_fill(gone, 0),
        "out.output_embeds": module.encode(placed, padding).masked_fill(gone, 0),
        "out.cos_sim": scores.cosine,
        "out.hist_prob": scores.history,
        "out.target_prob_inference": scores.target,
        "out.target_prob_train": (1 - scores.target).masked_fill(types != TARGET, 0),
        "out.keep_count": torch.tensor(counts),
        "out.half.keep": keep.round().long(),
    }
    sizes = {"emb_dim": 8, "num_heads": 2, "num_layers": 1, "count_ratios": [0.0, 0.9]}
    cases = {"half": {"hist_mask_ratio": 0.2, "mask_ratio": 0.5, "inference": False}}
    return {**weights, **tensors}, sizes, cases


def _merge_inputs() -> Recording:
    """Texts and images written out by hand; image start is 100.

    Samples of `ragged` differ in their number of images; its first text is padded on both sides.
    """
    ignored = -100
    ragged = {
        "in.ragged.text_ids": torch.tensor([[2, 5, 101, 100, 2], [100, 6, 100, 101, 100]]),
        "in.ragged.text_mask": torch.tensor([[0, 1, 1, 1, 0], [1, 1, 1, 1, 1]]),
        "in.ragged.image_tokens": torch.tensor(
            [[100, 104, 101] + [ignored] * 5, [105, -1, 106, 100, 103, 102, 107, 101]]
        ),
        "in.ragged.image_lengths": torch.tensor([[3, 0, 0], [2, 1, 5]]),
        "out.ragged.input_ids": torch.tensor(
            [[2] * 5 + [5, -2, 100, 104, 101], [105, -1, 6, 106, -2, 100, 103, 102, 107, 101]]
        ),
        "out.ragged.attention_mask": torch.tensor([[0] * 5 + [1] * 5, [1] * 10]),
        "out.ragged.labels": torch.tensor(
            [[ignored] * 8 + [104, 101], [ignored] * 6 + [103, 102, 107, 101]]
        ),
    }
    tensors = {
        "in.one.text_ids": torch.tensor([[2, 2, 5, 100, 101, 100], [7, 100, 6, 101, 8, 100]]),
        "in.one.text_mask": torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]),
        "in.one.image_tokens": torch.tensor(
            [[103, -1, 100, 104, 101, ignored], [105, 100, 103, 102, 101, ignored]]
        ),
        "in.one.image_lengths": torch.tensor([[2, 3], [1, 4]]),
        "out.one.input_ids": torch.tensor(
            [[2, 2, 5, 103, -1, -2, 100, 104, 101], [7, 105, 6, -2, 8, 100, 103, 102, 101]]
        ),
        "out.one.attention_mask": torch.tensor([[0, 0] + [1] * 7, [1] * 9]),
        "out.one.labels": torch.tensor(
            [[ignored] * 7 + [104, 101], [ignored] * 6 + [103, 102, 101]]
        ),
    }
    settings = {
        "emb_placeholder": -2, "emb_token": 101, "ignore": ignored, "img_token": 100,
        "masked": -1, "pad_token_id": 2, "visual_offset": 102,
    }  # fmt: skip
    cases = {
        "one": {"images_per_sample": [2, 2], "inference": False},
        "ragged": {"images_per_sample": [1, 3], "inference": False},
    }
    return tensors | ragged, settings, cases


def _dpo_loss() -> Recording:
    logits, sides = torch.randn(2, 4, 6), torch.randn(4, 3)
    labels = torch.tensor([[-100, 3, 1, -100], [0, 5, 2, 4]])
    log = logits.log_softmax(-1)
    sums = torch.stack([log[0, 0, 3] + log[0, 1, 1], log[1, 0, 5] + log[1, 1, 2] + log[1, 2, 4]])
    policy, reference = sides[0] - sides[2], sides[1] - sides[3]
    losses = F.softplus(-0.2 * (policy - reference))
    chosen, rejected = torch.randint(3, 9, (2, 3)), torch.randint(3, 9, (2, 5))
    stacked = {fill: torch.cat([F.pad(chosen, (2, 0), value=fill), rejected]) for fill in (2, -100)}
    tensors = {
        "in.logits": logits,
        "in.labels": labels,
        "out.logps": sums,
        "out.label_count": torch.tensor([2, 3]),
        "out.nll": -sums.sum() / 5,
        "in.policy_chosen": sides[0],
        "in.policy_rejected": sides[1],
        "in.reference_chosen": sides[2],
        "in.reference_rejected": sides[3],
        "out.mild.loss": losses,
        "out.mild.mean_loss": losses.mean(),
        "out.mild.chosen_reward": 0.2 * policy,
        "out.mild.rejected_reward": 0.2 * reference,
        "out.mild.accuracy": (policy > reference).float().mean(),
        "in.concat.chosen": chosen,
        "in.concat.rejected": rejected,
        "out.concat.ids": stacked[2],
        "out.concat.labels": stacked[-100],
        "out.concat.mask": (stacked[-100] != -100).long(),
    }
    case = {"beta": 0.2, "label_smoothing": 0.0, "loss_type": "sigmoid"}
    return tensors, {"ignore": -100}, {"mild": case}


def _selection() -> Recording:
    """Two samples, three ratios; the second sample's history scores tie."""
    target = torch.tensor([[0.9, 0.2, 0.1], [0.1, 0.1, 0.3]]).view(2, 3, 1, 1)
    history = torch.tensor([[0.1, 0.5, 0.3], [0.4, 0.4, 0.4]]).view(2, 3, 1, 1)
    tokens = torch.tensor([[[5, 2, 2], [6, 7, 2], [5, 2, 6]], [[8, 8, 8], [9, 2, 2], [9, 9, 2]]])
    zero = torch.zeros(2, dtype=torch.long)
    tensors = {"in.tgt_score": target, "in.hist_score": history, "in.tokens": tokens.unsqueeze(2)}
    for name, ratios, scores in (
        ("selected", [0, 2], [0.5, 0.35]),
        ("chosen", [1, 0], [0.5, 0.4]),
        ("rejected", [0, 0], [0.1, 0.4]),
    ):
        tensors |= {
            f"out.{name}.ratio_index": torch.tensor(ratios),
            f"out.{name}.seq": zero.clone(),
            f"out.{name}.image": zero.clone(),
            f"out.{name}.score": torch.tensor(scores),
        }
    tensors |= {
        "out.chosen.tokens": torch.tensor([[6, 7, -100], [8, 8, 8]]),
        "out.chosen.token_count": torch.tensor([2, 3]),
        "out.rejected.tokens": torch.tensor([[5, -100, -100], [8, 8, 8]]),
        "out.rejected.token_count": torch.tensor([1, 3]),
    }
    return tensors, {"pad_token_id": 2, "ratios": [0.0, 0.5, 1.0], "target_weight": 0.5}, {}


RECORDED: dict[str, Callable[[], Recording]] = {
    "adapter": _adapter,
    "dpo_loss": _dpo_loss,
    "mask_generator": _mask_generator,
    "merge_inputs": _merge_inputs,
    "selection": _selection,
    "token_predictor": _token_predictor,
    "vector_quantizer": _vector_quantizer,
}
"""Kind -> what a file of it holds."""


def record(kind: str, folder: Path) -> Path:
    """Writes `<folder>/<kind>.safetensors`."""
    with seeded(), torch.no_grad():
        tensors, settings, cases = RECORDED[kind]()
    metadata = {"kind": kind, "settings": json.dumps(settings), "cases": json.dumps(cases)}
    path = folder / f"{kind}.safetensors"
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata)
    return path
