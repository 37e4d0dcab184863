"""The RecBole page of the documentation agrees with the package."""

from __future__ import annotations

import re
from pathlib import Path

from pigeon_rec.recbole_plugin.report import BEGIN, END
from pigeon_rec.recbole_plugin.settings import default_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recbole.md"


def test_every_setting_is_explained() -> None:
    documented = set(re.findall(r"`(pigeon_\w+)`", PAGE.read_text(encoding="utf-8")))
    assert documented == set(default_settings())


def test_documented_defaults_are_the_real_ones() -> None:
    rows = re.findall(r"^\| `(pigeon_\w+)` \| `?([\w.-]+)`? \|", PAGE.read_text("utf-8"), re.M)
    defaults = default_settings()
    assert len(rows) >= 7
    for key, default in rows:
        assert default == ("none" if defaults[key] is None else str(defaults[key])), key


def test_the_page_has_the_marks_of_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.index(f"\n{BEGIN}\n") < text.index(f"\n{END}\n")


def test_every_command_exists(pigeon: object) -> None:
    commands = set(re.findall(r"^pigeon-rec recbole (\w+)", PAGE.read_text("utf-8"), re.M))
    listed = pigeon("recbole", "--help").out.split()  # type: ignore[operator]
    assert commands == {"features", "run", "export", "experiment"}
    assert commands <= set(listed)
