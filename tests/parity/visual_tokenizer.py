"""Patch features to code ids, all parts together."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from pigeon_rec.model.configuration import VisualTokenizerConfig
from pigeon_rec.model.visual_tokenizer import NO_CODE, VisualCodes, VisualTokenizer
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["build_tokenizer", "compare_ids", "tokenize", "visual_tokenizer"]


def build_tokenizer(
    weights: Mapping[str, Tensor], patches: int, heads: int, layers: int
) -> VisualTokenizer:
    """The published tokenizer; its widths are those of the weights, its encoder takes no part."""
    hidden, width = weights["causal_encoder.blocks.0.mlp.fc1.weight"].shape
    codes, code_dim = weights["quantize.embedding.weight"].shape
    config = VisualTokenizerConfig(
        image_size=math.ceil(patches**0.5),
        patch_size=1,
        width=width,
        encoder_layers=1,
        heads=heads,
        merger_layers=layers,
        mlp_ratio=(hidden + 0.5) / width,
        code_dim=code_dim,
        codebook_size=codes,
        keep="dynamic",
        published=True,
    )
    module = VisualTokenizer(config).eval()
    own = {k: v for k, v in module.state_dict().items() if k.startswith("encoder.")}
    module.load_state_dict({**own, **weights})
    return module


def tokenize(module: VisualTokenizer, features: Tensor, gumbel: Tensor) -> VisualCodes:
    """Codes of `[B, 1 + P, C]` features whose first token is the class token."""
    patches = features[:, 1:]
    codes: VisualCodes = module(patches, module.decide(patches, gumbel).round())
    return codes


def compare_ids(checks: Checks, golden: Golden, ids: Tensor, offset: int) -> None:
    """Code rows `[B, N]` against the recorded lists of ids."""
    counts = golden["out.token_count"]
    rows = [row[row != NO_CODE] + offset for row in ids]
    checks.ragged("token_ids", rows, golden["out.token_ids"], counts)


@torch.no_grad()
def visual_tokenizer(golden: Golden, checks: Checks) -> None:
    """Keep decisions for given noise, merged features, and the codes."""
    sizes, features = golden.settings, golden["in.encoder_features"]
    weights = golden.under("param.")
    module = build_tokenizer(weights, features.shape[1] - 1, sizes["heads"], sizes["layers"])
    predictor = module.token_predictor
    if predictor is None:
        raise ValueError("the tokenizer was built without a token predictor")
    patches = features[:, 1:]
    policy = torch.ones(*patches.shape[:2], 1)
    checks.close("keep_log_prob", predictor(patches, policy), golden["out.keep_log_prob"])
    keep = module.decide(patches, golden["in.gumbel"]).round()
    checks.equal("keep", keep.long(), golden["out.keep"])
    merged = module.causal_encoder(patches, keep)
    checks.close("merged_features", merged, golden["out.merged_features"])
    projected = module.encode_task_layer(merged)[keep.bool()]
    checks.close("code_features", projected, golden["out.code_features"])
    codes = tokenize(module, features, golden["in.gumbel"])
    compare_ids(checks, golden, codes.ids, sizes["visual_offset"])
