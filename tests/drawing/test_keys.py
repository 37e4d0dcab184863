"""The key of an asset depends on everything that determines its picture, and on nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing.keys import KeyContext, asset_key, settings_hash
from pigeon_rec.placement import Placement

DEFAULT = "4f05525e077ff1ef08115a04aac16fc783278e1e8da0f8b24d480e6832ba9c2a"
"""Hash from before placements existed: keys of older assets stay valid."""


def hash_of(placement: Placement) -> str:
    return settings_hash(NightlyConfig(placement=placement), load_prompt("sticker"))


@pytest.mark.parametrize(
    "placement", [Placement(), Placement(device="cuda"), Placement(memory={"cpu": "9GB"})]
)
def test_the_default_arithmetic_keeps_every_key_on_any_device(placement: Placement) -> None:
    assert hash_of(placement) == DEFAULT


def test_other_arithmetic_changes_the_hash() -> None:
    others = [
        Placement(dtype="bfloat16"),
        Placement(dtype="float16"),
        Placement(dtype="bfloat16", quantisation="int8"),
        Placement(dtype="bfloat16", quantisation="int4"),
    ]
    assert len({DEFAULT, *map(hash_of, others)}) == 5


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
