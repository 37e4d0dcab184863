"""Every example of `docs/movies.md` holds."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.import_movies import PosterNames
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.demo.films import DEMO_FILMS
from pigeon_rec.demo.posters import MADE_SIZE, STYLES
from pigeon_rec.demo.posters.motifs import MOTIFS
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.warehouse import ask
from tests.nightly.made_night import NIGHT, MadeNight, Pair, write_catalogue

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "movies.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.mark.parametrize("line", "".join(blocks("bash")).splitlines())
def test_commands_have_their_options(pigeon: Callable[..., Any], line: str) -> None:
    words = shlex.split(line)
    outcome = pigeon(*words[1:3], "--help")
    assert outcome.code == 0
    assert all(word in outcome.out for word in words if word.startswith("--"))


def test_the_settings_are_those_of_a_night() -> None:
    (text,) = blocks("yaml")
    config = NightlyConfig.model_validate(yaml.safe_load(text))
    assert load_prompt(config.scenario).aspect.size(64) == (96, 64)


def test_sql_answers_in_a_served_night(tmp_path: Path) -> None:
    config = NightlyConfig(catalogue=str(write_catalogue(tmp_path)), work_dir=tmp_path / "var")
    MadeNight([Pair("u00001", "line/apple")]).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    (statement,) = blocks("sql")
    assert ask(NightPaths.of(config, NIGHT).serving, statement).height == 1


def test_the_instruction_is_the_templates(tmp_path: Path) -> None:
    prompt = load_prompt("movie")
    quoted = PAGE.partition("\n> ")[2].partition("\n\n")[0]
    words = " ".join(re.sub(r"\s*\n> |\*\[.*?\]\*|\*\*", " ", quoted).split())
    assert words.startswith(prompt.prefix)
    assert prompt.history("Toy Story (1995)") in words
    target = prompt.target("The Matrix (1999)", "semantics", "", "Action, Sci-Fi")
    assert target in re.sub(r" ([.,])", r"\1", words)
    assert words.count(prompt.response) == 1


def test_the_table_lists_every_way_to_name_a_poster() -> None:
    assert re.findall(r"^\| `(\w+)` \| `", PAGE, re.M) == list(get_args(PosterNames))
    assert "{}x{}".format(*MADE_SIZE) in PAGE


def test_the_table_describes_every_style() -> None:
    listed = re.findall(r"^\| `(\w+)` \| ([^`]+) \|$", PAGE, re.M)
    assert dict(listed) == {name: style.description for name, style in STYLES.items()}
    assert f"one of {len(MOTIFS)} motifs" in PAGE
    assert f"for the {DEMO_FILMS} films" in PAGE


@pytest.mark.slow
def test_the_example_draws_what_it_says(tmp_path: Path) -> None:
    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    (expected,) = re.findall(r"# (\(1, 1, .*)$", program, re.M)
    assert done.stdout.strip() == expected
