"""The tally of a blind comparison, from small files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pigeon_rec.errors import ConfigError, PlanError
from pigeon_rec.evaluation.compare import tally_answers, write_comparison

PAIRS = {
    "0": {"case_id": "a", "left": "full"},
    "1": {"case_id": "b", "left": "plain"},
    "2": {"case_id": "c", "left": "plain"},
}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.json"
    path.write_text(
        json.dumps({"page_id": "p1", "first": "full", "second": "plain", "pairs": PAIRS})
    )
    return path


def answers(folder: Path, name: str, given: dict[str, str], page_id: str = "p1") -> Path:
    path = folder / name
    path.write_text(json.dumps({"page_id": page_id, "answers": given, "finished": "now"}))
    return path


def test_sides_are_mapped_to_methods(key: Path, tmp_path: Path) -> None:
    tally = tally_answers([answers(tmp_path, "a", {"0": "left", "1": "left", "2": "tie"})], key)
    assert (tally.wins, tally.losses, tally.ties, tally.cases) == (1, 1, 1, 3)
    assert tally.win_rate == pytest.approx(0.5)
    assert tally.low <= tally.win_rate <= tally.high


def test_two_answers_to_a_pair_are_one_case(key: Path, tmp_path: Path) -> None:
    files = [answers(tmp_path, "a", {"0": "left"}), answers(tmp_path, "b", {"0": "right"})]
    tally = tally_answers(files, key)
    assert (tally.answers, tally.cases, tally.win_rate) == (2, 1, 0.5)


@pytest.mark.parametrize(
    ("given", "page_id", "message"),
    [
        ({"0": "left"}, "p2", "page p2"),
        ({"9": "left"}, "p1", "no pair 9"),
        ({}, "p1", "no answers"),
        ({"0": "both"}, "p1", "cannot be used"),
    ],
)
def test_answers_that_do_not_fit_are_refused(
    key: Path, tmp_path: Path, given: dict[str, str], page_id: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tally_answers([answers(tmp_path, "a", given, page_id)], key)


def test_a_method_that_was_not_evaluated_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no pictures of 'full'"):
        write_comparison(tmp_path, "full", "plain")
    with pytest.raises(ConfigError, match="with itself"):
        write_comparison(tmp_path, "full", "full")
