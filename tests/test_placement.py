"""Placements are checked where they are written, and say what decides about the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pigeon_rec.placement import Placement


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dtype": "float64"}, "dtype"),
        ({"device": "the fast one"}, "device"),
        ({"memory": {"cpu": "much"}}, "memory"),
        ({"memory": {"cpu": 3}}, "memory"),
        ({"offload": Path("x")}, "needs a `memory` budget"),
        ({"quantisation": "int8", "memory": {"cpu": "1GB"}}, "leave `memory` out"),
        ({"quantization": "int8"}, "quantization"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Placement.model_validate(wrong)


def test_places_do_not_decide_about_the_numbers() -> None:
    assert Placement().arithmetic == {}
    assert Placement(device="cuda:1", memory={"cuda:1": "20 GiB"}).arithmetic == {}
    message = Placement(dtype="bfloat16", quantisation="int4").arithmetic
    assert message == {"dtype": "bfloat16", "quantisation": "int4"}
    assert Placement(quantisation="int8").arithmetic == {"quantisation": "int8"}
