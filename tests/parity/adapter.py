"""The reference adapter."""

from __future__ import annotations

import torch

from pigeon_rec.model.configuration import AdapterConfig
from pigeon_rec.model.personalisation import ReferenceAdapter
from pigeon_rec.model.tokenizer_decoder import DecoderOutput
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["adapter", "mean_prompt"]


def mean_prompt(mean: torch.Tensor) -> DecoderOutput:
    """A decoder's output of one query, which is its own mean `[B, width]`."""
    prompt = mean.unsqueeze(1)
    return DecoderOutput(prompt, None, prompt)


@torch.no_grad()
def adapter(golden: Golden, checks: Checks) -> None:
    """Linear, linear, tanh on the mean of the prompt embeddings."""
    sizes = golden.settings
    config = AdapterConfig(hidden=sizes["hid_dim"], dropout=sizes["drop_prob"], reference_tokens=1)
    module = ReferenceAdapter(sizes["in_dim"], sizes["out_dim"], config).eval()
    module.load_state_dict(golden.under("param."))
    checks.close("y", module(mean_prompt(golden["in.x"]))[:, 0], golden["out.y"])
