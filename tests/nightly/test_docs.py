"""Every example of `docs/planning.md` holds."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from pigeon_rec.config import NightlyConfig, PlanConfig
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import DEFAULT_SECONDS
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.warehouse import ask
from tests.nightly.made_night import NIGHT, MadeNight, Pair, write_catalogue

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "planning.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    config = NightlyConfig(catalogue=str(write_catalogue(folder)), work_dir=folder / "var")
    MadeNight([Pair("u00001", "line/apple")]).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    return NightPaths.of(config, NIGHT).serving


@pytest.mark.parametrize("statement", blocks("sql"))
def test_sql_answers_in_the_served_snapshot(served: Path, statement: str) -> None:
    assert ask(served, statement).height == 1


def test_the_settings_are_the_defaults() -> None:
    (text,) = blocks("yaml")
    settings = yaml.safe_load(text)["plan"]
    assert PlanConfig.model_validate(settings) == PlanConfig()
    assert settings.keys() == PlanConfig.model_fields.keys()
    assert settings["cohorts"].keys() == type(PlanConfig().cohorts).model_fields.keys()
    assert f"**{DEFAULT_SECONDS} s**" in PAGE


def test_the_tables_have_the_documented_columns(served: Path) -> None:
    section = PAGE.partition("## Tables")[2]
    described = re.findall(r"^\| `(\w+)` \| [^|]*`([\w, ]+)`", section, re.M)
    assert {name for name, _ in described} == {
        "cohorts",
        "plan_pairs",
        "originals",
        "drawing_times",
    }
    for table, columns in described:
        assert set(columns.split(", ")) <= set(ask(served, f"FROM {table} LIMIT 0").columns)


def test_the_benchmarks_can_be_run() -> None:
    modules = re.findall(r"python -m (benchmarks\.\w+)", PAGE)
    assert len(modules) == 3
    for module in modules:
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert "def measure(" in Path(str(spec.origin)).read_text(encoding="utf-8")
