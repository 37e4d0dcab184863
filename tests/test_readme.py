"""Every example of the README runs as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.docs.conftest import served
from tests.docs.pages import blocks

__all__ = ["served"]  # a fixture

README = (ROOT / "README.md").read_text("utf-8")


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_simulated_users_are_named_at_first_mention() -> None:
    assert "**simulated**" in README.partition("## Two commands")[0]


@pytest.mark.parametrize("statement", blocks(README, "sql"))
def test_sql_runs_in_the_served_snapshot(served: Path, statement: str) -> None:
    from pigeon_rec.warehouse import ask

    assert ask(served, statement).columns


def test_commands_exist_with_their_options(pigeon: Callable[..., Any]) -> None:
    lines = [line for block in blocks(README, "bash") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if "pigeon-rec" in line]
    assert len(commands) == 4
    for words in commands:
        outcome = pigeon(*words[:2], "--help")
        assert outcome.code == 0
        assert all(word in outcome.out for word in words if word.startswith("--"))


@pytest.mark.slow
def test_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [code] = blocks(README, "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102
    assert re.fullmatch(
        r"\d pictures are served from var/.*duckdb", capsys.readouterr().out.strip()
    )
