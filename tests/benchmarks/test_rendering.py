"""Renderers on held-out artwork: which pictures, what the judges say of them, and the table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.rendering import BEGIN, END, held_out_artwork, judged, main, table
from pigeon_rec.evaluation.judges import Judges


def test_the_artwork_is_spread_over_the_styles() -> None:
    artwork = held_out_artwork(Judges.load(), 24, 64)
    assert len(artwork.ids) == len(set(artwork.ids)) == 24
    assert len(set(artwork.styles)) >= 6
    assert artwork.images.shape == (24, 64, 64, 3)


def test_a_version_is_compared_with_the_first_renderer() -> None:
    judges = Judges.load()
    artwork = held_out_artwork(judges, 24, 64)
    real = judged(judges, artwork, "real", artwork.images)
    blank = judged(judges, artwork, "blank", np.full_like(artwork.images, 255), 0.5)
    assert not real.error.any()
    assert real.style.mean() > 0.7 > blank.style.mean()
    assert real.concept.mean() > 0.7 > blank.concept.mean()
    lines = table(real, [blank, dataclasses.replace(blank)]).splitlines()
    assert lines[0].startswith("24 held-out artworks")
    assert lines[-2].startswith("| blank | 0.500 | ")
    assert lines[-1].count("(+0.0 to +0.0)") == 2


def test_the_command_writes_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    main(["sticker-64:2", "sticker-64:1", "--pictures", "3", "--table", str(page)])
    written = page.read_text("utf-8")
    assert "| sticker-64, 2 steps | " in written
    assert "| sticker-64, 1 step | " in written
    assert "3 held-out artworks" in capsys.readouterr().out
