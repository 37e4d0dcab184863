"""The personalisation module with a recorded file's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pigeon_rec.model.configuration import (
    AdapterConfig,
    AutoencoderConfig,
    DecoderConfig,
    LanguageModelConfig,
    MaskGeneratorConfig,
    PigeonConfig,
    VisualTokenizerConfig,
)
from pigeon_rec.model.merging import Instruction
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.tokens import MASKED, ImageTokens
from pigeon_rec.model.visual_tokenizer import NO_CODE
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["TEXT_IDS", "build_personalisation", "logits", "merged_ids", "token_ids"]

TEXT_IDS = 32000
"""Text ids before image start, as published; the files store the used rows of them only."""

_HEAD, _TABLE = "lm_head.weight", "model.embed_tokens.weight"


def build_personalisation(
    golden: Golden, checks: Checks, generator: MaskGeneratorConfig | None = None
) -> Personalisation:
    """The published model; without `generator`, its mask generator keeps fresh weights."""
    llama, adapter = golden.settings["llama"], golden.settings["adapter"]
    codes = llama["vocab_size"] - TEXT_IDS - 2
    config = PigeonConfig(
        # Sizes of parts that the personalisation module has none of are as small as they go.
        tokenizer=VisualTokenizerConfig(
            image_size=1, patch_size=1, width=1, heads=1, code_dim=1, codebook_size=codes,
            keep="dynamic", published=True,
        ),
        decoder=DecoderConfig(code_dim=1, queries=1, projections=(adapter["in_dim"],)),
        autoencoder=AutoencoderConfig(patch=1),
        mask_generator=generator or MaskGeneratorConfig(heads=1, published=True),
        adapter=AdapterConfig(hidden=adapter["hid_dim"], reference_tokens=1),
        language_model=LanguageModelConfig(
            text_vocabulary=TEXT_IDS,
            hidden=llama["hidden_size"],
            layers=llama["num_hidden_layers"],
            heads=llama["num_attention_heads"],
            intermediate=llama["intermediate_size"],
            tie_embeddings=llama["tie_word_embeddings"],
        ),
    )  # fmt: skip
    model = Personalisation(config).eval()
    _compare_settings(model, llama, checks)
    model.language_model.load_state_dict(_dense(golden, llama["vocab_size"]))
    model.adapter.load_state_dict(golden.under("param.adapter."))
    return model


def _compare_settings(model: Personalisation, llama: Mapping[str, Any], checks: Checks) -> None:
    ours = model.language_model.config.to_dict()
    ours.update(ours.get("rope_parameters") or {})
    for name, theirs in llama.items():
        checks.same_setting(f"llama {name}", ours.get(name), theirs)


def _dense(golden: Golden, size: int) -> dict[str, Tensor]:
    """The language model's weights; both tables have the stored rows, and zeros elsewhere."""
    weights = golden.under("param.llama.")
    for name in (_HEAD, _TABLE):
        table = torch.zeros(size, weights[name].shape[1])
        table[golden["in.vocab_rows"]] = weights[name]
        weights[name] = table
    return weights


def logits(model: Personalisation, instruction: Instruction, embeds: Tensor) -> Tensor:
    """Scores of all ids at all places, `[B, M, V]`."""
    out = model.language_model(
        inputs_embeds=embeds,
        attention_mask=instruction.attention.long(),
        position_ids=instruction.positions,
    )
    return torch.as_tensor(out.logits)


def merged_ids(instruction: Instruction) -> Tensor:
    """Ids as they are recorded: a masked token is -1, where we close its gate."""
    return torch.where(instruction.gate > 0.5, instruction.ids, MASKED)


def token_ids(tokens: ImageTokens) -> Tensor:
    """The same of images that are not merged yet; padded by -100."""
    shown = torch.where(tokens.keep > 0.5, tokens.ids, MASKED)
    return torch.where(tokens.present, shown, NO_CODE)
