"""The commands `pigeon-rec recbole ...`, and the shipped examples."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.interactions import load_interactions

Pigeon = Callable[..., Any]
EXAMPLES = Path(__file__).resolve().parents[2] / "pigeon_rec" / "recbole_plugin" / "examples"


@pytest.fixture
def stickers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pigeon: Pigeon) -> Path:
    """A folder with the examples and the data set `stickers` of 25 users."""
    monkeypatch.chdir(tmp_path)
    rows, _ = load_interactions("bundled", load_catalogue("bundled"))
    users = rows["user_id"].unique().sort()[:25].implode()
    rows.filter(pl.col("user_id").is_in(users)).write_parquet("some.parquet")
    outcome = pigeon(
        "recbole", "features", "--dataset", "stickers", "--interactions", "some.parquet", "--json"
    )
    assert outcome.code == 0, outcome.err
    facts = json.loads(outcome.out)
    assert facts["dimensions"] == 192
    assert facts["without_image"] == 0
    for name in ("stickers.yaml", "train.py"):
        shutil.copy(EXAMPLES / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow
def test_the_examples_run(stickers: Path, pigeon: Pigeon) -> None:
    ran = subprocess.run(
        [sys.executable, "train.py"], capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert "ndcg@10" in ran.stdout
    outcome = pigeon("recbole", "run", "--config", "stickers.yaml", "--json")
    assert outcome.code == 0, outcome.err
    assert set(json.loads(outcome.out.splitlines()[-1])) >= {"ndcg@10", "recall@10", "mrr@10"}
    checkpoint = sorted((stickers / "saved").glob("*.pth"))[-1]
    exported = pigeon(
        *("recbole", "export", "--checkpoint", checkpoint, "--out", "top.parquet"),
        *("--top-k", "3", "--json"),
    )
    assert json.loads(exported.out.splitlines()[-1])["pairs"] == 75


def test_an_unknown_base_is_an_error(tmp_path: Path, pigeon: Pigeon) -> None:
    (tmp_path / "x.yaml").write_text("dataset: d\npigeon_base_model: BRP\n", encoding="utf-8")
    outcome = pigeon("recbole", "run", "--config", tmp_path / "x.yaml", "--json")
    assert outcome.code == 2
    error = json.loads(outcome.out)["error"]
    assert error["what"] == "RecBole has no model 'BRP'"
    assert error["location"] == "pigeon_base_model"


def test_seeds_that_are_no_numbers_are_an_error(tmp_path: Path, pigeon: Pigeon) -> None:
    outcome = pigeon("recbole", "experiment", "--out", tmp_path, "--seeds", "0,x")
    assert outcome.code == 2
    assert "received '0,x' [--seeds]" in outcome.err


def test_a_missing_config_is_an_error(tmp_path: Path, pigeon: Pigeon) -> None:
    outcome = pigeon("recbole", "run", "--config", tmp_path / "none.yaml")
    assert outcome.code == 2
    assert "cannot read the RecBole config file" in outcome.err


def test_a_data_set_without_interactions_is_an_error(tmp_path: Path, pigeon: Pigeon) -> None:
    outcome = pigeon("recbole", "features", "--dataset", "d", "--data-path", tmp_path)
    assert outcome.code == 3
    assert "there is no d.inter" in outcome.err


def test_the_examples_are_short() -> None:
    code = (EXAMPLES / "train.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in code if line.strip()]) <= 16  # and its docstring
