"""Alternative generation settings over the same cases: what is read, drawn, kept and shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.sweep import COLUMNS, Row, SweepSettings, draw, main, table
from pigeon_rec.config import GenerationConfig, QualityGateConfig
from pigeon_rec.errors import ConfigError
from pigeon_rec.runtime.settings import read_settings
from tests.drawing.tiny_drawer import REQUESTS, tiny_drawer
from tests.model.tiny import QUICK


def read(path: Path, text: str) -> SweepSettings:
    path.write_text(text, encoding="utf-8")
    return read_settings(SweepSettings, path, "")


def test_settings_are_those_of_a_night_but_for_what_is_named(tmp_path: Path) -> None:
    given = read(
        tmp_path / "sweep.yaml",
        "settings:\n"
        "  cold: &cold {temperature: 0.3}\n"
        "  cold, guided: {<<: *cold, history_guidance: 2.0}\n",
    )
    assert list(given.settings) == ["cold", "cold, guided"]
    assert given.settings["cold"] == GenerationConfig(temperature=0.3)
    guided = GenerationConfig(temperature=0.3, history_guidance=2.0)
    assert given.settings["cold, guided"] == guided


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("settings: {}", "settings: .*at least 1"),
        ("settings: {night: {history_guidance: 0.5}}", "settings.night.history_guidance"),
        ("settings: {night: {guidance: 2.0}}", "settings.night.guidance"),
    ],
)
def test_unusable_settings_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / "sweep.yaml", text)


@pytest.mark.parametrize("name", ["sweep.yaml", "steps.yaml"])
def test_the_sweeps_of_the_docs_compare_the_default(repository: Path, name: str) -> None:
    given = read_settings(SweepSettings, repository / "docs" / name, "")
    assert len(given.settings) > 1
    assert GenerationConfig() in given.settings.values()


def test_what_was_drawn_is_read_from_its_file(tmp_path: Path) -> None:
    drawer = tiny_drawer(tmp_path)
    items = drawer.items(REQUESTS)
    drawn = draw(drawer, REQUESTS[:2], items, tmp_path / "one.npz")
    wanted = [asset.image for asset in drawer.draw(REQUESTS[:2], items)]
    assert np.array_equal(drawn.images, np.stack(wanted))
    assert drawn.seconds > 0
    assert drawn.rejected.tolist() == [0.0, 0.0]
    other = drawer.with_generation(temperature=0.1)
    again = draw(other, REQUESTS[:2], items, tmp_path / "one.npz")
    assert np.array_equal(again.images, drawn.images)
    assert again.seconds == drawn.seconds


def test_requests_without_a_passing_candidate_are_counted(tmp_path: Path) -> None:
    strict = tiny_drawer(tmp_path, generation=QUICK, gate=QualityGateConfig(min_text_score=1.0))
    drawn = draw(strict, REQUESTS[:2], strict.items(REQUESTS), tmp_path / "one.npz")
    assert drawn.rejected.tolist() == [1.0, 1.0]


def test_every_line_is_compared_with_the_first() -> None:
    zeros = dict.fromkeys(COLUMNS, np.zeros(4))
    better = zeros | {"style_hit": np.ones(4), "cs": np.full(4, 0.125)}
    head, _, columns, _, first, second = table(
        [Row("as a night", 1.5, zeros), Row("guided", 2.25, better)]
    ).splitlines()
    assert head.startswith("4 held-out cases")
    assert columns.split(" | ")[2:] == [*list(COLUMNS.values())[:-1], "refused |"]
    assert first == "| as a night | 1.50 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 |"
    none = "0.0 (+0.0 to +0.0)"
    assert second == (
        f"| guided | 2.25 | 100.0 (+100.0 to +100.0) | {none} | {none} | {none} "
        f"| 12.5 (+12.5 to +12.5) | {none} |"
    )


@pytest.mark.slow
def test_a_small_sweep_of_the_bundled_model(tmp_path: Path) -> None:
    given, page = tmp_path / "sweep.yaml", tmp_path / "page.md"
    given.write_text(
        "settings:\n"
        "  plain: &plain {mask_ratios: [0.2], diffusion_steps: 1, language_guidance: 1.0}\n"
        "  guided: {<<: *plain, history_guidance: 2.0}\n"
        "  same: *plain\n",
        encoding="utf-8",
    )
    main([str(given), "--cases", "2", "--out", str(tmp_path / "out"), "--table", str(page)])
    assert len(list(tmp_path.glob("out/*.npz"))) == 2
    summary = json.loads((tmp_path / "out" / "sweep.json").read_text(encoding="utf-8"))
    plain, guided, same = summary["rows"]
    assert guided["seconds"] > plain["seconds"] == same["seconds"]
    assert plain["metrics"] == same["metrics"]
    assert guided["differences"]["hist_cis"]["mean"] == pytest.approx(
        guided["metrics"]["hist_cis"]["mean"] - plain["metrics"]["hist_cis"]["mean"]
    )
    assert page.read_text(encoding="utf-8").count("\n| ") == 4
