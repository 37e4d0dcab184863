"""Every example of the README runs as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    """The README's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published and promoted small night of real files."""
    from pigeon_rec.config import NightlyConfig
    from pigeon_rec.nightly.publish import promote_night, publish_night
    from tests.nightly.made_night import NIGHT, MadeNight, Pair, write_catalogue

    folder = tmp_path_factory.mktemp("night")
    config = NightlyConfig(catalogue=str(write_catalogue(folder)), work_dir=folder / "var")
    MadeNight([Pair("u00001", "line/apple")]).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    return config.work_dir / "warehouse" / "serving.duckdb"


@pytest.mark.parametrize("statement", blocks("sql"))
def test_sql_runs_in_the_served_snapshot(served: Path, statement: str) -> None:
    from pigeon_rec.warehouse import ask

    assert ask(served, statement).columns


def test_yaml_is_a_complete_valid_configuration(tmp_path: Path) -> None:
    from pigeon_rec.config import NightlyConfig, load_config

    (text,) = blocks("yaml")
    (tmp_path / "night.yaml").write_text(text, "utf-8")
    assert load_config(tmp_path / "night.yaml") == NightlyConfig()


def test_commands_exist_with_their_options(pigeon: Callable[..., Any]) -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if "pigeon-rec" in line]
    assert len(commands) > 5
    for words in commands:
        names = [w for w in words if not w.startswith("-")][:2]
        outcome = pigeon(*names, "--help")
        assert outcome.code == 0
        assert all(w in outcome.out for w in words if w.startswith("--"))


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), {"__name__": "__main__"})  # noqa: S102
    assert capsys.readouterr().out
