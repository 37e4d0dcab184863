from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.shapes import write_shapes

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"
SUBCOMMANDS = {"judges", "train-judges", "compare", "tally"}


def commands() -> list[list[str]]:
    """The words of every command in the documentation, without `pigeon-rec evaluate`."""
    blocks = re.findall(r"^```bash\n(.*?)^```", DOCS.read_text("utf-8"), re.M | re.S)
    return [shlex.split(line)[2:] for block in blocks for line in block.splitlines() if line]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_documented_commands_exist_with_their_options(
    pigeon: Callable[..., Any], words: list[str]
) -> None:
    outcome = pigeon("evaluate", *(word for word in words[:1] if word in SUBCOMMANDS), "--help")
    assert outcome.code == 0
    assert all(word in outcome.out for word in words if word.startswith("--"))


def test_bad_settings_are_refused_before_any_work(
    pigeon: Callable[..., Any], tmp_path: Path
) -> None:
    outcome = pigeon("evaluate", "--methods", "nothing", "--out", tmp_path / "out", "--json")
    assert outcome.code == 2
    error = json.loads(outcome.out)["error"]
    assert "there is no nothing; choose from unchanged" in error["what"]
    assert not (tmp_path / "out").exists()


def test_answers_are_tallied(pigeon: Callable[..., Any], tmp_path: Path) -> None:
    pairs = {str(n): {"case_id": f"c{n}", "left": "full"} for n in range(4)}
    key, answers = tmp_path / "key.json", tmp_path / "answers.json"
    key.write_text(json.dumps({"page_id": "p", "first": "full", "second": "b", "pairs": pairs}))
    sides = {"0": "left", "1": "left", "2": "left", "3": "right"}
    answers.write_text(json.dumps({"page_id": "p", "answers": sides}))
    tally = json.loads(pigeon("evaluate", "tally", answers, "--key", key, "--json").out)
    assert (tally["wins"], tally["losses"], tally["win_rate"]) == (3, 1, 0.75)
    assert tally["low"] < 0.75 < tally["high"]


def test_a_comparison_needs_an_evaluation(pigeon: Callable[..., Any], tmp_path: Path) -> None:
    outcome = pigeon("evaluate", "compare", "full", "unchanged", "--out", tmp_path)
    assert outcome.code == 3
    assert "there are no pictures of 'full'" in outcome.err


def test_the_texts_of_a_scorer_pass_at_the_limits_of_a_night(
    pigeon: Callable[..., Any], tmp_path: Path
) -> None:
    shapes = write_shapes(tmp_path / "shapes")
    night = tmp_path / "night.yaml"
    tables = f"catalogue: {shapes.catalogue}\ninteractions: {shapes.interactions}\n"
    night.write_text(tables + "work_dir: nights\n", encoding="utf-8")
    ended = pigeon("evaluate", "scorer", "--night", night, "--out", tmp_path / "out", "--json")
    assert ended.code == 0, ended.err
    gate = json.loads(ended.out)["gate"]
    assert (gate["min_text_score"], gate["pictures"]) == (-1.0, 72)
    assert 0.0 < gate["min_reference_likeness"] < 1.0
    night.write_text(tables + "gate: {min_text_score: 1.5}\n", encoding="utf-8")
    ended = pigeon("evaluate", "scorer", "--night", night, "--out", tmp_path / "out", "--json")
    accuracy = json.loads(ended.out)
    assert (accuracy["gate"]["min_text_score"], accuracy["own_text_passes"]) == (1.5, 0.0)
