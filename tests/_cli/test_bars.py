from __future__ import annotations

import logging

import pytest

from pigeon_rec._cli.bars import Bars, choose_progress


def test_bar_shows_label_count_unit_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    bars("assets of shard 3", 0, 4)
    bars("assets of shard 3", 4, 4, rejected=1.0)
    shown = capsys.readouterr()
    assert shown.out == ""
    last = shown.err.rstrip().split("\r")[-1]
    assert last.startswith("assets of shard 3: 100%")
    assert "4/4" in last
    assert "assets/s" in last
    assert "rejected=1" in last


def test_a_new_label_starts_a_new_bar(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    bars("images", 1, 2)
    bars("assets", 3, 6)
    bars.close()
    lines = capsys.readouterr().err.rstrip("\n").split("\n")
    assert len(lines) == 2
    assert "images:  50%" in lines[0]
    assert "assets:  50%" in lines[1]


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    choose_progress(quiet=True)("assets", 1, 1)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_without_a_terminal_progress_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        choose_progress(quiet=False)("assets", 3, 3)
    assert caplog.messages == ["assets: 3/3 (100%)"]
