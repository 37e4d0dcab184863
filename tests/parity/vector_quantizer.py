"""The nearest row of a codebook as it is stored."""

from __future__ import annotations

import torch

from pigeon_rec.model.visual_tokenizer import VectorQuantizer
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["vector_quantizer"]


@torch.no_grad()
def vector_quantizer(golden: Golden, checks: Checks) -> None:
    """Ids and rows, for rows of unit length and of any."""
    sizes = golden.settings
    for case in golden.cases:
        module = VectorQuantizer(sizes["n_code"], sizes["code_dim"], published=True)
        module.load_state_dict(golden.under(f"param.{case}."))
        ids, rows, _ = module(golden[f"in.{case}.z"])
        checks.equal(f"{case}: index", ids, golden[f"out.{case}.index"])
        checks.close(f"{case}: z_q", module.embedding(ids), golden[f"out.{case}.z_q"])
        checks.close(f"{case}: straight-through z_q", rows, golden[f"out.{case}.z_q"])
