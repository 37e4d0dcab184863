"""What folds dropped patches into kept ones."""

from __future__ import annotations

import torch

from pigeon_rec.model.visual_tokenizer import TokenMerger
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["token_merger"]


@torch.no_grad()
def token_merger(golden: Golden, checks: Checks) -> None:
    """All blocks, and the parts of the first."""
    sizes = golden.settings
    module = TokenMerger(
        sizes["dim"], sizes["num_heads"], sizes["depth"], sizes["mlp_hidden"], published=True
    )
    module.load_state_dict(golden.under("param."))
    x, decisions = golden["in.x"], golden["in.decisions"]
    original, block = module.ln_vision(x), module.blocks[0]
    checks.close("ln_vision", original, golden["out.ln_vision"])
    causal = block.get_submodule("token_causal_attn")(block.get_submodule("norm0")(x), decisions)
    checks.close("block0_causal", causal, golden["out.block0_causal"])
    normal = block.get_submodule("norm1")(x)
    cross = block.get_submodule("token_cross_attn")(normal, original, decisions)
    checks.close("block0_cross", cross, golden["out.block0_cross"])
    checks.close("block0", block(x, original, decisions), golden["out.block0"])
    checks.close("y", module(x, decisions), golden["out.y"])
