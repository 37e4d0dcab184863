"""Every example of docs/feedback.md runs in its order, on a night of real files."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.columns import ExposureColumns
from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.runtime.work_dir import serving_file
from pigeon_rec.warehouse import answer, query_names
from tests.docs.pages import blocks, text_of
from tests.nightly.made_night import NIGHT, MadeNight, Pair

PAGE = text_of("docs/feedback.md")
USERS = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a promoted night of some users in `var`."""
    folder = tmp_path_factory.mktemp("feedback")
    config = NightlyConfig(work_dir=folder / "var")
    users = [f"u{number:05}" for number in range(USERS)]
    pairs = [Pair(user, item) for user in users for item in ("line/apple", "flat/boat")]
    members = {user: f"cohort:{place % 2}" for place, user in enumerate(users)}
    MadeNight(pairs, members=members).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    return folder


@pytest.fixture(scope="module")
def log(folder: Path) -> Path:
    """The log that the page's program writes."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        [code] = blocks(PAGE, "python")
        exec(compile(code, "feedback.md", "exec"), {"__name__": "__main__"})  # noqa: S102
    finally:
        os.chdir(before)
    return folder / "shown.csv"


def commands() -> list[list[str]]:
    lines = [line for code in blocks(PAGE, "bash") for line in code.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_commands_and_statements_run(
    log: Path, pigeon: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log.parent)
    ran = []
    for words in commands():
        if words[0] in ("sql", "import"):
            ended = pigeon(*words)
            assert (ended.code, ended.err) == (0, ""), words
            ran.append(words[1])
            if words[1] == "ab_lift":
                assert re.search(r"^total +all", ended.out, re.M)
                assert re.search(r"^cohort +cohort:1", ended.out, re.M)
    assert ran == [
        "ab_split", "exposures", "ab_lift", "policy_value", "policy_replay", "policy_value",
    ]  # fmt: skip
    [statement] = blocks(PAGE, "sql")
    names, rows = answer(serving_file(Path("var")), statement)
    assert names == ["arm", "shown", "click_rate", "mean_score"]
    assert [row[0] for row in rows] == ["original", "personalised"]
    assert sum(row[1] for row in rows) == USERS * 2 * 3


def test_what_the_page_names_exists() -> None:
    named = {words[1] for words in commands() if words[0] == "sql"}
    assert named <= set(query_names())
    table = PAGE.partition("| column | meaning |")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| ([\w, ]+) \|", table, re.M)
    words = {word for cell in listed for word in cell.replace("asset key", "asset").split(", ")}
    reading = {"names", "separator", "database", "arms", "time_unit", "time_zone", "time_format"}
    assert words == set(ExposureColumns.model_fields) - reading
