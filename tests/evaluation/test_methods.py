"""The candidates of each method."""

from __future__ import annotations

from typing import Any

import pytest

from pigeon_rec.config import GenerationConfig
from pigeon_rec.evaluation.methods import CURVES, METHODS, RATIOS, curve_methods

SETTINGS = GenerationConfig(mask_ratios=(0.0, 0.2))
CASE: dict[str, Any] = {
    "case_id": "u/noto/apple",
    "reference_id": "twemoji/apple",
    "truth_id": "noto/apple",
    **{
        f"{name}_ids": [f"{name}-{number}" for number in range(10)]
        for name in ("retrieved", "recent", "random", "noise")
    },
}


def candidates(name: str) -> list[Any]:
    return METHODS[name].candidates(CASE, SETTINGS, seed=3)


def test_original_artwork_asks_nothing() -> None:
    assert candidates("unchanged") == candidates("truth") == []


def test_the_full_model_draws_each_mask_ratio_from_the_retrieved_history() -> None:
    drawn = candidates("full")
    assert [candidate.mask_ratio for candidate in drawn] == [0.0, 0.2]
    assert {candidate.request.history for candidate in drawn} == {tuple(CASE["retrieved_ids"][:5])}
    assert {candidate.history_mask_ratio for candidate in drawn} == {SETTINGS.history_mask_ratio}


def test_ablations_differ_from_the_full_model_in_one_thing() -> None:
    full = candidates("full")[0]
    assert candidates("recent_history")[0].request.history == tuple(CASE["recent_ids"][:5])
    assert candidates("random_history")[0].request.history == tuple(CASE["random_ids"][:5])
    assert candidates("stage1")[0].model == "stage1"
    for name in ("no_history", "averaged_history"):
        other = candidates(name)[0]
        assert (other.conditioning, other.request.history, other.request.key) == (
            name,
            full.request.history,
            full.request.key,
        )


def test_no_mask_has_as_many_candidates_and_shows_everything() -> None:
    drawn = candidates("no_mask")
    assert len(set(drawn)) == len(candidates("full"))
    assert {(candidate.mask_ratio, candidate.history_mask_ratio) for candidate in drawn} == {
        (0.0, 0.0)
    }
    assert len({candidate.request.key for candidate in drawn}) == len(SETTINGS.mask_ratios)


def test_round_trips_tokenise_their_artwork() -> None:
    assert [r.request.reference for r in candidates("reference_round_trip")] == ["twemoji/apple"]
    assert [r.request.reference for r in candidates("truth_round_trip")] == ["noto/apple"]


def test_noise_replaces_the_said_share_from_the_end() -> None:
    histories = {x: method.history(CASE) for x, method in curve_methods("noise")}
    assert histories[0] == tuple(CASE["retrieved_ids"][:5])
    for share, history in histories.items():
        strangers = [item for item in history if item.startswith("noise")]
        assert len(history) == 5
        assert len(strangers) == share // 20
        assert history[: 5 - len(strangers)] == histories[0][: 5 - len(strangers)]


def test_curves_reach_as_far_as_they_say() -> None:
    assert [x for x, _ in curve_methods("history_length")] == list(range(1, 11))
    assert [x for x, _ in curve_methods("mask_ratio")] == list(RATIOS)
    sizes = [len(m.candidates(CASE, SETTINGS, 0)) for _, m in curve_methods("candidates")]
    assert sizes == list(range(1, 12))
    names = [method.name for curve in CURVES for _, method in curve_methods(curve)]
    assert len(names) == len(set(names))
    with pytest.raises(KeyError):
        curve_methods("nothing")


def test_curves_share_the_pictures_of_the_full_model() -> None:
    full = set(candidates("full"))
    ratios = {r for _, m in curve_methods("mask_ratio") for r in m.candidates(CASE, SETTINGS, 3)}
    assert full <= ratios
    most = curve_methods("candidates")[-1][1].candidates(CASE, SETTINGS, 3)
    assert set(most) == ratios
    assert set(curve_methods("noise")[0][1].candidates(CASE, SETTINGS, 3)) == full
