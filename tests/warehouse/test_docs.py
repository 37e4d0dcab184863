"""Every example of docs/warehouse.md runs as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pigeon_rec.config import NightlyConfig, WarehouseConfig, load_config
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.warehouse import AssetReader, ask, query_names
from tests.nightly.made_night import NIGHT, MadeNight, Pair

PAGE = Path(__file__).resolve().parents[2] / "docs" / "warehouse.md"
PAIRS = [
    Pair("u00001", "noto/red-apple"),
    Pair("u00001", "fluent/sailboat"),
    Pair("u00002", "line/cat"),
]


def blocks(language: str) -> list[str]:
    """The page's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines()]


def at_home(text: str, folder: Path) -> str:
    """The page's text with the address of the fixture's mirror."""
    return text.replace("file:///srv/mirror", f"file://{folder}/mirror")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a promoted night in `var`, its pictures outside the table, and a mirror."""
    folder = tmp_path_factory.mktemp("night")
    warehouse = WarehouseConfig(
        images=f"file://{folder}/pictures",
        mirror="parquet",
        mirror_address=f"file://{folder}/mirror",
    )
    config = NightlyConfig(work_dir=folder / "var", warehouse=warehouse)
    pairs = [*PAIRS, Pair("u00002", "line/drum", reason="off_target")]
    MadeNight(pairs).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    with AssetReader(folder / "var" / "warehouse" / "serving.duckdb") as reader:
        shown = reader.get("u00001", "noto/red-apple")
    assert shown is not None
    (folder / "picture.png").write_bytes(shown.read())
    return folder


@pytest.mark.parametrize("statement", blocks("sql"))
def test_sql_answers(folder: Path, statement: str) -> None:
    link = folder / "var" / "warehouse" / "serving.duckdb"
    with duckdb.connect(str(link), read_only=True) as client:
        assert client.execute(at_home(statement, folder)).fetchall()


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(
    folder: Path, code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    program = compile(at_home(code, folder), str(PAGE), "exec")
    exec(program, {"__name__": "__main__"})  # noqa: S102
    said = capsys.readouterr().out
    assert "fluent/sailboat" in said
    assert said.startswith("shape: (2, 3)" if "scan_parquet" in code else "own 0.5 ")


@pytest.mark.parametrize("line", commands())
def test_commands_run(
    pigeon: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(folder)
    outcome = pigeon(*shlex.split(line)[1:])
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out


def test_yaml_is_a_valid_setting(tmp_path: Path) -> None:
    images, mirror = blocks("yaml")
    (tmp_path / "night.yaml").write_text(images, "utf-8")
    assert load_config(tmp_path / "night.yaml") == NightlyConfig()
    (tmp_path / "night.yaml").write_text(mirror, "utf-8")
    changed = load_config(tmp_path / "night.yaml").warehouse
    assert changed == WarehouseConfig(mirror="parquet", mirror_address="file:///srv/mirror")


def test_the_named_queries_exist() -> None:
    named = {words[2] for words in map(shlex.split, commands()) if words[1] == "sql"}
    assert named <= set(query_names())
    for name in named:
        assert f"`{name}`" in PAGE.read_text("utf-8")


def test_the_named_tables_exist(folder: Path) -> None:
    table = PAGE.read_text("utf-8").split("## Tables")[1].split("The views")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.M))
    rows = ask(
        folder / "var" / "warehouse" / "serving.duckdb", "SELECT table_name FROM duckdb_tables()"
    )
    assert len(named) > 5
    assert named <= set(rows["table_name"])
