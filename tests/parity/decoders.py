"""Code vectors to prompt embeddings, in both resolutions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pigeon_rec.model.configuration import DecoderConfig
from pigeon_rec.model.published.key_maps import KEY_MAPS
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["build_decoder", "highres_decoder", "lowres_decoder"]


def build_decoder(
    sizes: Mapping[str, int | None], weights: Mapping[str, Tensor]
) -> TokenizerDecoder:
    """The decoder with published weights; two projections make it the high-resolution one."""
    hidden, width = weights["blocks.0.mlp.fc1.weight"].shape
    second = sizes.get("proj_2")
    config = DecoderConfig.model_validate(
        {
            "code_dim": sizes["in_chans"],
            "width": width,
            "layers": sizes["depth"],
            "heads": sizes["num_heads"],
            "mlp_ratio": (hidden + 0.5) / width,
            "queries": sizes["num_queries"],
            "output_width": sizes["decoder_out_dim"],
            "projections": [p for p in (sizes["proj_1"], second) if p is not None],
            "pooled": second is not None,
            "preview_patch": 0,
        }
    )
    module = TokenizerDecoder(config).eval()
    key_map = KEY_MAPS["tokenizer_decoder" if config.pooled else "tokenizer_decoder/lowres"]
    module.load_state_dict(key_map.weights(module.state_dict(), weights, "the recorded file"))
    return module


@torch.no_grad()
def lowres_decoder(golden: Golden, checks: Checks) -> None:
    """Prompt embeddings of images with different numbers of codes."""
    module = build_decoder(golden.settings, golden.under("param."))
    for case, options in golden.cases.items():
        counts: list[int] = golden[f"in.{case}.token_num"].tolist()
        checks.same_setting(f"{case}: token_num", counts, options["token_num"])
        rows = torch.split(golden[f"in.{case}.codes"], counts)
        codes = pad_sequence(list(rows), batch_first=True)
        present = torch.arange(codes.shape[1]) < torch.tensor(counts).unsqueeze(1)
        found, allowed = module(codes, present), options["tolerance"]
        checks.close(f"{case}: prompt", found.prompt, golden[f"out.{case}.prompt_embeds"], allowed)
        if found.pooled is not None:
            pooled = golden[f"out.{case}.pooled_prompt_embeds"]
            checks.close(f"{case}: pooled", found.pooled, pooled, allowed)
            mean = golden[f"out.{case}.prompt_mean"]
            checks.close(f"{case}: mean", found.prompt.mean(1), mean, allowed)


highres_decoder = lowres_decoder
