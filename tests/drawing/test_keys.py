"""What decides a picture is in its key, and nothing else is."""

from __future__ import annotations

import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.nightly.plan.keys import settings_hash
from pigeon_rec.placement import Placement

DEFAULT = "4f05525e077ff1ef08115a04aac16fc783278e1e8da0f8b24d480e6832ba9c2a"
"""As it was before there were placements: keys of pictures that were drawn then still hold."""


def hash_of(placement: Placement) -> str:
    return settings_hash(NightlyConfig(placement=placement), load_prompt("sticker"))


@pytest.mark.parametrize(
    "placement", [Placement(), Placement(device="cuda"), Placement(memory={"cpu": "9GB"})]
)
def test_the_usual_numbers_keep_every_key_wherever_they_are_computed(placement: Placement) -> None:
    assert hash_of(placement) == DEFAULT


def test_other_numbers_are_other_pictures() -> None:
    others = [
        Placement(dtype="bfloat16"),
        Placement(dtype="float16"),
        Placement(dtype="bfloat16", quantisation="int8"),
        Placement(dtype="bfloat16", quantisation="int4"),
    ]
    assert len({DEFAULT, *map(hash_of, others)}) == 5
