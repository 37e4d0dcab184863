"""Plans of sampled users, and their table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import capacity
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.tables import write_between

SAMPLED = capacity.Scenario(8_000, 400, own=200, cohorts=2, references=3)


def test_a_sampled_plan_is_scaled_to_all_users() -> None:
    outcome = capacity.simulate(SAMPLED)
    assert (outcome.own, outcome.shared, outcome.budget) == (10, 6, 16)
    assert outcome.in_cohorts == 400
    assert outcome.assets == 200 + 6


def test_the_table_follows_the_formula(tmp_path: Path) -> None:
    outcome = capacity.Outcome(SAMPLED, 10, 6, 400, 16, 2.0, 3.0, 0.5, busy=False)
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- capacity -->\nold\n<!-- end of capacity -->\nb\n", "utf-8")
    text = capacity.table([outcome], 3600.0) + "\n"
    write_between(text, page, capacity.BEGIN, capacity.END)
    lines = page.read_text("utf-8").splitlines()
    assert (lines[0], lines[1], lines[-2], lines[-1]) == (
        *("a", "<!-- capacity -->", "<!-- end of capacity -->", "b"),
    )
    assert lines[-3].split(" | ")[3:] == [
        *("200 (10 x 20)", "6", "100%", "40 s, 0.5 GB (estimate)", "206", "26 |"),
    ]
    bare = tmp_path / "bare.md"
    bare.write_text("no marks", "utf-8")
    with pytest.raises(ConfigError, match="no marks"):
        write_between("", bare, capacity.BEGIN, capacity.END)


def test_the_seconds_per_asset_are_those_of_measured_nights(tmp_path: Path) -> None:
    for nights, name in ((0, "first.json"), (3, "later.json")):
        facts = {"measured_nights": nights, "seconds_per_asset": 0.9}
        (tmp_path / name).write_text(json.dumps(facts), "utf-8")
    assert capacity.measured_seconds(tmp_path / "later.json") == 0.9
    with pytest.raises(LookupError, match="before any night was measured"):
        capacity.measured_seconds(tmp_path / "first.json")
