"""Backbones of one's own: what a function must return, and what is said if it does not."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pigeon_rec.config import BackboneConfig, GenerationConfig
from pigeon_rec.errors import ConfigError, ModelError
from pigeon_rec.model.backbones.load import load_backbone
from pigeon_rec.model.backbones.protocol import Candidates, PictureRequests
from pigeon_rec.placement import Placement
from tests.model.backbones.test_library_backbones import requests


@dataclass
class Mean:
    version: Any = "1"
    image_size: Any = 32
    bit_exact: Any = True
    placement: Placement | None = None

    def draw(self, requests: PictureRequests, generation: GenerationConfig) -> Candidates:
        mean = requests.history.mean(axis=1).astype(np.uint8)
        return Candidates(np.stack([mean, requests.reference], axis=1))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("shop_draws")
    monkeypatch.setitem(sys.modules, "shop_draws", module)
    module.load = lambda placement: Mean(placement=placement)  # type: ignore[attr-defined]
    return module


def test_the_function_gets_the_placement_and_draws(own: ModuleType) -> None:
    made: list[Mean] = []

    def load(placement: Placement) -> Mean:
        made.append(Mean(placement=placement))
        return made[-1]

    own.load = load  # type: ignore[attr-defined]
    backbone = load_backbone("shop_draws:load", Placement(dtype="float16"))
    assert made[0].placement == Placement(dtype="float16")
    assert (backbone.version, backbone.image_size) == ("shop_draws:load-1", 32)
    asked = requests("a", "b")
    drawn = backbone.draw(asked, GenerationConfig())
    assert np.array_equal(drawn.images[:, 1], asked.reference)
    assert drawn.mask_ratio(0, 0) == 0.0


@pytest.mark.parametrize(
    ("name", "message"),
    [("no_such_module:load", "No module"), ("shop_draws:nothing", "nothing")],
)
@pytest.mark.usefixtures("own")
def test_what_cannot_be_imported_says_so(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_backbone(name)
    assert "PYTHONPATH" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "a NoneType without version, image_size, bit_exact, draw"),
        (Mean(version=""), "has the version ''"),
        (Mean(version="a b"), "has the version 'a b'"),
        (Mean(version=1), "has the version 1"),
        (Mean(image_size=0), "has the image_size 0"),
        (Mean(image_size=True), "has the image_size True"),
        (Mean(bit_exact="yes"), "has bit_exact 'yes'"),
    ],
)
def test_what_is_no_backbone_is_refused(own: ModuleType, returned: object, message: str) -> None:
    own.load = lambda _: returned  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=message):
        load_backbone("shop_draws:load")


def test_a_function_that_raises_is_our_error(own: ModuleType) -> None:
    def refuse() -> Mean:
        return Mean()

    own.load = refuse  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="raised TypeError"):
        load_backbone("shop_draws:load")


def test_it_has_no_options_of_ours(own: ModuleType) -> None:
    with pytest.raises(ConfigError, match="it has its own code"):
        load_backbone("shop_draws:load", options=BackboneConfig(steps=3))


def test_what_it_draws_is_checked(own: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = load_backbone("shop_draws:load")
    monkeypatch.setattr(Mean, "draw", lambda _, requests, __: requests.reference)
    with pytest.raises(ConfigError, match="drew a ndarray, not `Candidates`"):
        backbone.draw(requests("a"), GenerationConfig())


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 4, 4, 3), np.uint8),
        ((1, 1, 4, 4, 3), np.float32),
        ((1, 1, 4, 5, 3), np.uint8),
        ((1, 1, 4, 4, 4), np.uint8),
        ((1, 0, 4, 4, 3), np.uint8),
    ],
)
def test_candidates_are_squares(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(ModelError, match="must be squares"):
        Candidates(np.zeros(shape, dtype))


@pytest.mark.parametrize("ratios", [np.zeros(2), np.full((1, 2), 1.5), np.full((1, 2), np.nan)])
def test_mask_ratios_are_shares(ratios: Any) -> None:
    whole = Candidates(np.zeros((1, 2, 4, 4, 3), np.uint8), np.array([[0.0, 1.0]]))
    assert whole.mask_ratio(0, 1) == 1.0
    with pytest.raises(ModelError, match="mask_ratios"):
        replace(whole, mask_ratios=ratios)
