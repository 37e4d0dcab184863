"""`pigeon-rec sql` on a real night: whatever a query returns is printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.publish import promote_night, publish_night
from tests.nightly.made_night import small_night

Pigeon = Callable[..., Any]
UNPRINTABLE = "chr(27) || '[31m' || chr(0) || chr(155) || chr(8238) || 'crème' || chr(128512)"


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = NightlyConfig(work_dir=tmp_path_factory.mktemp("var"))
    night = small_night()
    night.write(config)
    publish_night(config, night.date)
    promote_night(config)
    return config.work_dir


@pytest.fixture
def sql(pigeon: Pigeon, work_dir: Path) -> Pigeon:
    return lambda *arguments: pigeon("sql", *arguments, "--work-dir", work_dir)


def test_columns_of_one_name_are_both_shown(sql: Pigeon) -> None:
    assert sql("SELECT 1 AS a, 2 AS a").out == "a  a\n-  -\n1  2\n"
    assert json.loads(sql("SELECT 1 AS a, 2 AS a", "--json").out) == {
        "columns": ["a", "a"],
        "rows": [[1, 2]],
    }


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'nan'::DOUBLE", None),
        ("['infinity'::FLOAT, 1.5::FLOAT]", [None, 1.5]),
        ("{'a': MAP {1: 'nan'::DOUBLE}}", {"a": {"1": None}}),
        ("MAP {X'00': X'0001'}", {"<1 bytes>": "<2 bytes>"}),
        ("[X'0001']", ["<2 bytes>"]),
        ("INTERVAL 14 MONTH", "1 year 2 months"),
        ("'infinity'::DATE", "infinity"),
    ],
)
def test_json_of_any_value_is_valid(sql: Pigeon, expression: str, value: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    outcome = sql(f"SELECT {expression}", "--json")
    assert json.loads(outcome.out, parse_constant=refuse)["rows"] == [[value]]
    assert sql(f"SELECT {expression}").code == 0


def test_control_characters_are_escaped(sql: Pigeon) -> None:
    table = sql(f'SELECT {UNPRINTABLE} AS "a{chr(27)}b"').out
    assert table.splitlines()[0] == "a\\x1bb"
    assert table.splitlines()[2] == "\\x1b[31m\\x00\\x9b\\u202ecrème😀"
    text = sql(f"SELECT {UNPRINTABLE}", "--json").out
    assert text.rstrip("\n").isprintable()
    assert json.loads(text)["rows"] == [["\x1b[31m\0\x9b\u202ecrème😀"]]
    assert sql(f'SELECT "no{chr(27)}such"').err.rstrip("\n").isprintable()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_terminal_gets_a_result(work_dir: Path, encoding: str) -> None:
    query = "SELECT 'crème' || chr(128512) || repeat('x', 99) AS \"é\""
    command = [sys.executable, "-m", "pigeon_rec.cli", "sql", query, "--work-dir", str(work_dir)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    shown = subprocess.run(command, env=environment, capture_output=True, check=True)
    told = subprocess.run([*command, "--json"], env=environment, capture_output=True, check=True)
    assert "crème".encode(encoding, "backslashreplace") in shown.stdout
    assert json.loads(told.stdout.decode(encoding))["rows"] == [["crème😀" + "x" * 99]]


def test_a_statement_that_is_no_query_is_an_error(sql: Pigeon, work_dir: Path) -> None:
    outcome = sql(f"COPY (SELECT 1) TO '{work_dir}/x.csv'")
    assert outcome.code == 5
    assert "queries are read-only" in outcome.err
    outcome = sql("SELECT * FROM read_text('/proc/self/environ')", "--json")
    assert json.loads(outcome.out)["error"]["kind"] == "WarehouseError"
    assert not (work_dir / "x.csv").exists()


def test_a_work_directory_that_is_a_link_in_a_loop_has_no_tables(
    pigeon: Pigeon, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    outcome = pigeon("sql", "night", "--work-dir", tmp_path / "loop")
    assert outcome.code == 5
    assert "there is no warehouse" in outcome.err
