"""The examples of docs/parity.md run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.parity.__main__ import main
from tests.parity.recorded import record


@pytest.fixture
def page(repository: Path) -> str:
    return (repository / "docs" / "parity.md").read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.M | re.S)


def test_the_command(page: str, tmp_path: Path) -> None:
    (command,) = blocks(page, "bash")
    words = shlex.split(command)
    assert words[:-1] == ["python", "-m", "tests.parity"]
    record("adapter", tmp_path)
    assert main([str(tmp_path)]) == 0


def test_the_example(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks(page, "python")
    exec(compile(code, "parity.md", "exec"), {"__name__": "__main__"})  # noqa: S102
    ids, labels = capsys.readouterr().out.split("tensor(")[1:]
    numbers = [int(n) for n in re.findall(r"-?\d+", ids)]
    assert numbers == [
        100, 32009, 32010, 101, 32011, 32006, 102, -2, 103, 32000, 32007, 32008, 32001
    ]  # fmt: skip
    labelled = [int(n) for n in re.findall(r"-?\d+", labels)]
    assert labelled == [-100] * 10 + [32007, 32008, 32001]
