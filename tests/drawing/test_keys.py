"""The key of an asset depends on everything that determines its picture, and on nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from pigeon_rec.config import GenerationConfig, NightlyConfig, QualityGateConfig
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing.keys import KeyContext, asset_key, settings_hash
from pigeon_rec.placement import Placement

DEFAULT = "4f05525e077ff1ef08115a04aac16fc783278e1e8da0f8b24d480e6832ba9c2a"
"""Hash of `EARLIER` from before placements existed: keys of older assets stay valid."""
EARLIER: dict[str, dict[str, Any]] = {
    "generation": {
        "mask_ratios": tuple(step / 50 for step in range(26)),
        "rendered": 3,
        "language_guidance": 2.5,
        "diffusion_steps": 6,
    },
    "gate": {"min_text_score": 0.25, "max_reference_similarity": 0.995},
}
"""Defaults of an earlier release; whoever keeps them keeps the pictures."""
whole_numbers = st.integers(-(2**31), 2**31 - 1)
PARTS = {"generation": GenerationConfig, "gate": QualityGateConfig}


def earlier(part: str, kind: Any = None, **settings: Any) -> Any:
    return (kind or PARTS[part])(**EARLIER[part] | settings)


def hash_of(scenario: str = "sticker", **settings: Any) -> str:
    parts = {part: earlier(part) for part in PARTS}
    return settings_hash(NightlyConfig().model_copy(update=parts | settings), load_prompt(scenario))


def hash_of_part(part: str, settings: Any) -> str:
    changed: dict[str, Any] = {part: settings}
    return hash_of(**changed)


@pytest.mark.parametrize(
    "placement", [Placement(), Placement(device="cuda"), Placement(memory={"cpu": "9GB"})]
)
def test_the_default_arithmetic_keeps_every_key_on_any_device(placement: Placement) -> None:
    assert hash_of(placement=placement) == DEFAULT


def test_guidance_on_the_history_enters_the_hash_only_if_it_is_on() -> None:
    scales = (1.0, 1.5, 2.0)
    hashes = [hash_of(generation=earlier("generation", history_guidance=scale)) for scale in scales]
    assert hashes[0] == DEFAULT
    assert len(set(hashes)) == len(scales)


def test_other_arithmetic_changes_the_hash() -> None:
    others = [
        Placement(dtype="bfloat16"),
        Placement(dtype="float16"),
        Placement(dtype="bfloat16", quantisation="int8"),
        Placement(dtype="bfloat16", quantisation="int4"),
    ]
    assert len({DEFAULT, *(hash_of(placement=other) for other in others)}) == 5


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"scenario": "movie"}, "34e82e29effc5c3d9317541470db91dff6cd82d3fbcf8ee7140a228b77682c5e"),
        (
            {"generation": earlier("generation", rendered=None)},
            "9d4dadde19210eceb302486ffda84114599603f68542a448935a4792d6a67764",
        ),
        (
            {"generation": earlier("generation", render_guidance=3.0, mask_ratios=(0.1,))},
            "8cbcd93c2e7258d66fea720fd4dd0625ff91b549da3d7f18280d52cc328949a2",
        ),
        (
            {"gate": earlier("gate", min_pixel_std=7.0)},
            "1fba3a64401f5e997a763f2b0f73f9cf5fbdb2e8f0ae79ab0114c004618e950f",
        ),
    ],
)
def test_hashes_do_not_change_from_release_to_release(
    settings: dict[str, Any], expected: str
) -> None:
    assert hash_of(**settings) == expected


@pytest.mark.parametrize("part", PARTS)
@given(default=st.none() | st.booleans() | whole_numbers | st.text(), value=whole_numbers)
def test_a_new_setting_enters_where_it_is_set(part: str, default: object, value: int) -> None:
    kind: Any = create_model("Newer", __base__=PARTS[part], newer=(Any, default))
    assert hash_of_part(part, earlier(part, kind)) == hash_of_part(part, earlier(part)) == DEFAULT
    changed = hash_of_part(part, earlier(part, kind, newer=value))
    assert (changed == DEFAULT) == (value == default)


@pytest.mark.parametrize("part", PARTS)
def test_a_new_setting_that_is_switched_off_enters(part: str) -> None:
    kind: Any = create_model("Newer", __base__=PARTS[part], newer=(int | None, 3))
    assert hash_of_part(part, earlier(part, kind, newer=None)) != DEFAULT


CONTEXT = KeyContext(model_version="model-1", settings="settings-1", seed=0)
REFERENCE = ("i12", "hash-12")
HISTORY = [("i00", "hash-0"), ("i01", "hash-1")]
INGREDIENTS: dict[str, Any] = {
    "history": HISTORY,
    "reference": REFERENCE,
    "target": "a picture of i12",
    "context": CONTEXT,
}


@pytest.mark.parametrize(
    "change",
    [
        {"history": [("i02", "hash-0"), HISTORY[1]]},
        {"history": [("i00", "hash-x"), HISTORY[1]]},
        {"history": HISTORY[::-1]},
        {"history": HISTORY[:1]},
        {"reference": ("i13", "hash-12")},
        {"reference": ("i12", "hash-x")},
        {"target": "a picture of I12"},
        {"context": dataclasses.replace(CONTEXT, model_version="model-2")},
        {"context": dataclasses.replace(CONTEXT, settings="settings-2")},
        {"context": dataclasses.replace(CONTEXT, seed=1)},
    ],
)
def test_every_ingredient_of_a_key_matters(change: dict[str, Any]) -> None:
    assert asset_key(**INGREDIENTS) == asset_key(**INGREDIENTS)
    assert asset_key(**INGREDIENTS | change) != asset_key(**INGREDIENTS)
