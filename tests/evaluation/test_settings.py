"""Evaluation settings."""

from __future__ import annotations

import pytest

from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.settings import load_settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"methods": ("nothing",)}, "there is no nothing"),
        ({"curves": ("nothing",)}, "there is no nothing"),
        ({"cases": 0}, "greater than or equal to 1"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_bad_settings_stop_before_any_work(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(None, given)
