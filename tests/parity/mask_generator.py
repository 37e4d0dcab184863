"""Relevance scores, probabilities, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pigeon_rec.model.configuration import MaskGeneratorConfig
from pigeon_rec.model.mask_generator import PADDING, TARGET, MaskGenerator, keep_counts
from pigeon_rec.model.published.key_maps import KEY_MAPS
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["generator_config", "load_generator", "mask_generator"]


def generator_config(
    sizes: Mapping[str, int], weights: Mapping[str, Tensor]
) -> MaskGeneratorConfig:
    """Of the published generator; feed-forward width and positions are those of the weights."""
    return MaskGeneratorConfig(
        layers=sizes["num_layers"],
        heads=sizes["num_heads"],
        feedforward=len(weights["encoder.layers.0.linear1.bias"]),
        max_position=len(weights["position_embedding.pe"]) - 1,
        published=True,
    )


def load_generator(module: MaskGenerator, weights: Mapping[str, Tensor], checks: Checks) -> None:
    """Loads published weights; our own table of positions must be theirs."""
    own = module.positions.clone()  # loading overwrites it in place
    named = KEY_MAPS["mask_generator"].weights(module.state_dict(), weights, "the recorded file")
    module.load_state_dict(named)
    checks.close("position table", own, weights["position_embedding.pe"])


@torch.no_grad()
def mask_generator(golden: Golden, checks: Checks) -> None:
    """Embeddings, similarities, probabilities, counts, and every case's decisions."""
    weights = golden.under("param.")
    module = MaskGenerator(
        golden.settings["emb_dim"], generator_config(golden.settings, weights)
    ).eval()
    load_generator(module, weights, checks)
    embeds, types = golden["in.token_embeds"], golden["in.type_ids"]
    positions, padding = golden["in.position_ids"], types == PADDING
    checks.equal("padding", padding, golden["in.pad_mask"])
    placed = module.place(embeds, positions, types)
    gone = padding.unsqueeze(-1)
    checks.close("input_embeds", placed.masked_fill(gone, 0), golden["out.input_embeds"])
    encoded = module.encode(placed, padding).masked_fill(gone, 0)
    checks.close("output_embeds", encoded, golden["out.output_embeds"])
    scores = module(embeds, positions, types)
    checks.close("cos_sim", scores.cosine, golden["out.cos_sim"])
    checks.close("hist_prob", scores.history, golden["out.hist_prob"])
    checks.close("target_prob", scores.target, golden["out.target_prob_inference"])
    training = (1 - scores.target).masked_fill(types != TARGET, 0)
    checks.close("target_prob in training", training, golden["out.target_prob_train"])
    for column, ratio in enumerate(golden.settings["count_ratios"]):
        counts = keep_counts(golden["in.count_n"], ratio)
        checks.equal(f"{ratio}: keep_count", counts, golden["out.keep_count"][:, column])
    for case, options in golden.cases.items():
        noise = golden[f"in.{case}.gumbel"]
        rebuild = not options["inference"]
        keep = module.keep_history(scores, types, options["hist_mask_ratio"], noise)
        keep = keep + module.keep_target(
            scores, types, options["mask_ratio"], noise, rebuild=rebuild
        )
        wanted = golden[f"out.{case}.keep"]
        checks.equal(f"{case}: keep", keep.round().long(), wanted)
        checks.close(f"{case}: straight-through keep", keep, wanted.float())
        checks.equal(f"{case}: exact zeros", keep == 0, wanted == 0)
