"""Model sizes: derived numbers, JSON round trip, and combinations that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pigeon_rec.model.configuration import (
    DecoderConfig,
    PigeonConfig,
    VisualTokenizerConfig,
)
from tests.model.tiny import DYNAMIC, TINY


def changed(part: str, **values: Any) -> dict[str, Any]:
    """`TINY` as plain data with some settings of one part replaced."""
    data = TINY.model_dump()
    data[part] |= values
    return data


@pytest.mark.parametrize("config", [TINY, DYNAMIC, PigeonConfig()])
def test_json_round_trip(config: PigeonConfig) -> None:
    assert PigeonConfig.model_validate_json(config.model_dump_json()) == config


def test_derived_sizes() -> None:
    tokenizer = VisualTokenizerConfig(image_size=224, patch_size=14, width=1408, heads=16)
    assert (tokenizer.grid, tokenizer.patches) == (16, 256)
    assert DecoderConfig(projections=(768, 1280)).prompt_width == 2048


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("tokenizer", {"patch_size": 5}, "patch_size 5 must divide image_size 16"),
        ("tokenizer", {"heads": 3}, "heads 3 must divide width 32"),
        ("tokenizer", {"code_dim": 4}, "decoder.code_dim 8 must equal tokenizer.code_dim 4"),
        ("tokenizer", {"patch_size": 2}, "decoder.queries 16 must be at least the 64 patches"),
        ("adapter", {"reference_tokens": 9}, "reference_tokens 9 must tile decoder.queries 16"),
        ("adapter", {"reference_tokens": 2}, "both being square numbers"),
        ("decoder", {"queries": 32}, "both being square numbers"),
        ("decoder", {"queries": 64}, "adapter.aligned needs"),
        ("tokenizer", {"keep": "dynamic"}, "adapter.aligned needs tokenizer.keep 'all'"),
        ("autoencoder", {"patch": 3}, "image_size 16 over the autoencoder's reduction 3"),
        ("autoencoder", {"patch": 8}, "multiple of the 4 queries along one side"),
        ("language_model", {"heads": 3}, "language_model.heads 3 must divide"),
        ("mask_generator", {"heads": 5}, "mask_generator.heads 5 must divide"),
        ("mask_generator", {"max_position": 15}, "must be at least the 16 patches"),
        ("renderer", {"prediction": "noise"}, "v_prediction"),
        ("adapter", {"dropout": 1.0}, "adapter.dropout"),
        ("decoder", {"layers": 0}, "decoder.layers"),
        ("decoder", {"layer": 4}, "decoder.layer"),
    ],
)
def test_sizes_that_do_not_fit_are_named(part: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PigeonConfig.model_validate(changed(part, **values))
    assert message in str(refused.value)


def test_a_renderer_without_prompt_grid_needs_no_matching_latents() -> None:
    data = changed("autoencoder", patch=8)
    data["renderer"]["grid_channels"] = 0
    assert PigeonConfig.model_validate(data).autoencoder.patch == 8


def test_a_setting_cannot_change_behind_the_weights() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TINY.tokenizer.width = 64  # type: ignore[misc]
