from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pigeon_rec.data.world import load_world
from pigeon_rec.demo import poster_world
from pigeon_rec.demo.posters import STYLES

WORLD = load_world("bundled")


def test_styles_are_listed_and_pictures_unpacked(
    pigeon: Callable[..., Any], tmp_path: Path
) -> None:
    outcome = pigeon("stickers", "--json", "--unpack", tmp_path)
    catalogue = WORLD.artwork()
    styles = json.loads(outcome.out)["styles"]
    assert sorted(style["style"] for style in styles) == sorted(WORLD.style_descriptions)
    assert sum(style["stickers"] for style in styles) == catalogue.height
    assert all(0 < style["held_out"] < style["stickers"] for style in styles)
    assert len(list(tmp_path.glob("*/*.webp"))) == catalogue.height
    item_id, image = catalogue.select("item_id", "image").row(0)
    with Image.open(tmp_path / f"{item_id}.webp") as picture:
        assert picture.tobytes() == Image.open(io.BytesIO(image)).tobytes()


def test_people_get_a_table(pigeon: Callable[..., Any]) -> None:
    lines = pigeon("stickers").out.rstrip("\n").split("\n")
    assert lines[0].split() == ["style", "stickers", "held_out", "description"]
    assert len(lines) == 2 + len(WORLD.style_descriptions)


def test_posters_are_drawn_and_listed(
    pigeon: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIGEON_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(poster_world, "FILMS", 7)
    monkeypatch.setattr(poster_world, "MIN_FILMS", 6)
    styles = json.loads(pigeon("posters", "--json").out)["styles"]
    assert [style["style"] for style in styles] == sorted(f"made-{name}" for name in STYLES)
    assert all(style["posters"] == 7 for style in styles)
    assert all(style["description"] for style in styles)
