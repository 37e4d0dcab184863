"""Parts worked on by several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pigeon_rec.errors import ModelError, PigeonError
from pigeon_rec.runtime.parallel import Report, map_processes


def squares(part: list[int], report: Report) -> tuple[int, list[int]]:
    for _ in part:
        report(1)
    return os.getpid(), [number**2 for number in part]


def fails_on_three(part: int, report: Report) -> int:
    if part == 3:
        raise ModelError("no such model", location="folder", remedy="Name another")
    report(part)
    return part


def dies_on_three(part: int, _: Report) -> int:
    if part == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return part


def test_one_part_stays_in_this_process() -> None:
    reported: list[int] = []
    assert map_processes(squares, [[1, 2]], reported.append) == [(os.getpid(), [1, 4])]
    assert reported == [1, 1]


def test_several_parts_have_a_process_each_and_keep_their_order() -> None:
    reported: list[int] = []
    results = map_processes(squares, [[3], [1, 2], [4]], reported.append)
    assert [numbers for _, numbers in results] == [[9], [1, 4], [16]]
    assert len({process for process, _ in results} | {os.getpid()}) == 4
    assert sum(reported) == 4


def test_an_error_of_a_part_is_raised_here() -> None:
    with pytest.raises(ModelError, match="no such model") as caught:
        map_processes(fails_on_three, [1, 3, 2], lambda _: None)
    assert (caught.value.location, caught.value.remedy) == ("folder", "Name another")


def test_a_killed_process_is_an_error() -> None:
    with pytest.raises(PigeonError, match="before its work was done") as caught:
        map_processes(dies_on_three, [1, 3], lambda _: None)
    assert caught.value.location == "part 2 of 2"


def test_an_unguarded_script_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "task.py"
    script.write_text(
        "from tests.runtime.test_parallel import squares\n"
        "from pigeon_rec.runtime.parallel import map_processes\n"
        "print('started')\n"
        "print([found for _, found in map_processes(squares, [[2], [3]], lambda _: None)])\n"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert answer.stdout == "started\n[[4], [9]]\n"
