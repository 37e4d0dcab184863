"""Log lines of a long step: their number, rate and time left."""

from __future__ import annotations

import logging

import pytest

from pigeon_rec.runtime.progress import log_progress, silent


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_one_line_per_interval_and_the_last(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    progress = log_progress(seconds=5.0, clock=clock)
    with caplog.at_level(logging.INFO):
        for done in range(11):
            progress("assets", done * 10, 100, loss=0.12345)
            clock.now += 2.0
    assert caplog.messages == [
        "assets: 30/100 (30%), 5.0/s, 14 s left, loss 0.1235",
        "assets: 60/100 (60%), 5.0/s, 8 s left, loss 0.1235",
        "assets: 90/100 (90%), 5.0/s, 2 s left, loss 0.1235",
        "assets: 100/100 (100%), 5.0/s, loss 0.1235",
    ]


def test_labels_are_counted_apart_and_may_begin_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    progress = log_progress(seconds=5.0, clock=clock)
    with caplog.at_level(logging.INFO):
        progress("a", 0, 2)
        progress("b", 3, 3)
        clock.now += 1.0
        progress("a", 2, 2)
        clock.now += 1.0
        progress("a", 0, 2)
        clock.now += 4.0
        progress("a", 2, 2)
    assert caplog.messages == [
        "b: 3/3 (100%)",
        "a: 2/2 (100%), 2.0/s",
        "a: 2/2 (100%), 0.5/s",
    ]


def test_silence(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        silent("assets", 1, 2, loss=0.5)
    assert caplog.messages == []
