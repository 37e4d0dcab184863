"""Failures while drawing: each concerns its own request, and only a general one stops the shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pigeon_rec.drawing.attempt import DrawingError, attempt, check_failures
from pigeon_rec.drawing.drawer import Drawer, DrawnAsset
from pigeon_rec.drawing.items import ItemTable
from pigeon_rec.drawing.request import Request
from pigeon_rec.errors import ModelError
from pigeon_rec.scoring import Rejection
from tests.drawing.tiny_drawer import REQUESTS, tiny_drawer


@pytest.fixture
def drawer(tmp_path: Path) -> Drawer:
    return tiny_drawer(tmp_path)


def pictures(drawn: Sequence[DrawnAsset | Rejection]) -> list[NDArray[np.uint8] | str]:
    return [one.reason if isinstance(one, Rejection) else one.image for one in drawn]


def test_an_unreadable_picture_fails_its_own_requests(tmp_path: Path) -> None:
    drawer = tiny_drawer(tmp_path)
    whole = drawer.draw(REQUESTS, drawer.items(REQUESTS))
    (tmp_path / "images" / "i03.png").write_bytes(b"")  # in the history of the last request
    drawn = attempt(drawer, REQUESTS, drawer.items(REQUESTS))
    assert [isinstance(one, Rejection) for one in drawn] == [False, False, True]
    assert all(
        isinstance(one, DrawnAsset) and np.array_equal(one.image, before.image)
        for one, before in zip(drawn[:2], whole, strict=False)
    )
    assert isinstance(drawn[2], Rejection)
    assert drawn[2].reason == "unreadable_input"
    assert "i03" in drawn[2].detail


def test_a_checker_that_raises_for_one_picture_fails_that_request(drawer: Drawer) -> None:
    items = drawer.items(REQUESTS)
    second = drawer.draw(REQUESTS, items)[1].image

    def checker(image: NDArray[np.uint8]) -> float:
        if np.array_equal(image, second):
            raise ZeroDivisionError(f"in {object()}")
        return 0.0

    drawn = attempt(replace(drawer, unsafe=checker), REQUESTS, items)
    assert [isinstance(one, DrawnAsset) for one in drawn] == [True, False, True]
    # Without the object's address, which would make two equal nights differ.
    assert drawn[1] == Rejection("drawing_failed", "ZeroDivisionError: in")


def test_too_little_memory_for_a_batch_is_enough_for_its_requests(
    drawer: Drawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = drawer.items(REQUESTS)
    whole = drawer.draw(REQUESTS, items)
    draw = Drawer.draw

    def small(one: Drawer, requests: Sequence[Request], table: ItemTable) -> list[DrawnAsset]:
        if len(requests) > 1:
            raise MemoryError
        return draw(one, requests, table)

    monkeypatch.setattr(Drawer, "draw", small)
    drawn = attempt(drawer, REQUESTS, items)
    for one, before in zip(drawn, whole, strict=True):
        assert isinstance(one, DrawnAsset)
        assert np.array_equal(one.image, before.image)


def test_an_unusable_model_is_no_failure_of_the_requests(
    drawer: Drawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusable(*_: object) -> None:
        raise ModelError("the weights do not fit")

    monkeypatch.setattr(Drawer, "draw", unusable)
    with pytest.raises(ModelError, match="do not fit"):
        attempt(drawer, REQUESTS, drawer.items(REQUESTS))


@pytest.mark.parametrize(
    "reasons",
    [
        ["drawing_failed"] * 2,
        ["drawing_failed"] * 3 + [None],
        ["drawing_failed"] * 3 + ["off_target"],
        ["unreadable_input"] * 9,
        [],
    ],
)
def test_some_failures_do_not_stop_the_shard(reasons: list[str | None]) -> None:
    check_failures(reasons, "shard 0")


def test_if_nothing_can_be_drawn_the_step_is_to_be_retried() -> None:
    with pytest.raises(DrawingError, match=r"none of 3 requests .*\[shard 7\]") as caught:
        check_failures(["drawing_failed"] * 3 + ["unreadable_input"], "shard 7")
    assert caught.value.retryable
