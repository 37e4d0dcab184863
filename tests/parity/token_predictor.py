"""Keep or drop, patch by patch."""

from __future__ import annotations

import torch

from pigeon_rec.model.visual_tokenizer import TokenPredictor
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["token_predictor"]


@torch.no_grad()
def token_predictor(golden: Golden, checks: Checks) -> None:
    """Log-probabilities under each case's policy."""
    module = TokenPredictor(golden.settings["embed_dim"])
    module.load_state_dict(golden.under("param."))
    for case in golden.cases:
        found = module(golden["in.x"], golden[f"in.{case}.policy"])
        checks.close(f"{case}: log_prob", found, golden[f"out.{case}.log_prob"])
