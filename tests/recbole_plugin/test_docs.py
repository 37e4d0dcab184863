"""The page on RecBole says what the package does."""

from __future__ import annotations

import re
from pathlib import Path

from pigeon_rec.recbole_plugin.report import BEGIN, END
from pigeon_rec.recbole_plugin.settings import default_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recbole.md"


def test_every_setting_is_explained() -> None:
    told = set(re.findall(r"`(pigeon_\w+)`", PAGE.read_text(encoding="utf-8")))
    assert told == set(default_settings())


def test_defaults_are_told_as_they_are() -> None:
    rows = re.findall(r"^\| `(pigeon_\w+)` \| `?([\w.-]+)`? \|", PAGE.read_text("utf-8"), re.M)
    defaults = default_settings()
    assert len(rows) >= 7
    for key, told in rows:
        assert told == ("none" if defaults[key] is None else str(defaults[key])), key


def test_the_table_has_its_place() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.index(f"\n{BEGIN}\n") < text.index(f"\n{END}\n")


def test_every_command_exists(pigeon: object) -> None:
    commands = set(re.findall(r"^pigeon-rec recbole (\w+)", PAGE.read_text("utf-8"), re.M))
    listed = pigeon("recbole", "--help").out.split()  # type: ignore[operator]
    assert commands == {"features", "run", "export", "experiment"}
    assert commands <= set(listed)
