"""The base class of all settings, and reading them from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import ValidationError

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.runtime.settings import (
    Settings,
    check_settings,
    location_or,
    path_or,
    read_settings,
)
from pigeon_rec.training.configuration import TrainingConfig
from pigeon_rec.weekly.config import WeeklyConfig


class Paint(Settings):
    """Settings of a test."""

    renamed: ClassVar[Mapping[str, str]] = {"color": "colour", "thick": "width"}
    colour: str = "red"
    width: int = 1
    store: Annotated[str, location_or("here")] = "here"


def test_settings_cannot_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Paint().width = 2  # type: ignore[misc]


def test_all_renamed_settings_are_listed_without_their_values() -> None:
    with pytest.raises(ConfigError) as refused:
        check_settings(Paint, {"color": "blue", "thick": 3}, "options")
    assert refused.value.what == "`color` is now `colour`; `thick` is now `width`"
    assert refused.value.location == "options"


def test_a_setting_is_a_word_or_a_location() -> None:
    assert Paint(store="file:///srv/paint").store == "file:///srv/paint"
    for wrong in ("there", "carrier://pigeon"):
        with pytest.raises(ConfigError, match=r"store: .*neither `here` nor a usable location"):
            check_settings(Paint, {"store": wrong}, "options")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (NightlyConfig, "candidates: recbole", "`candidates` is now `recommendations`"),
        (
            NightlyConfig,
            "generation: {guidance_scale: 2.0}",
            "generation: `guidance_scale` is now `render_guidance`",
        ),
        (
            EvaluationSettings,
            "generation: {reference_guidance: 2.0}",
            "generation: `reference_guidance` is now `language_guidance`",
        ),
        (
            TrainingConfig,
            "{loops: {}, pairs: {candidates: {guidance_scale: 1.0}}}",
            "pairs.candidates: `guidance_scale` is now `render_guidance`",
        ),
        (WeeklyConfig, "gate: {min_cases: 10}", "`gate` is now `promotion_check`"),
        (WeeklyConfig, "plan: smoke", "`plan` is now `training`"),
    ],
)
def test_the_old_name_of_a_setting_is_refused_with_the_new_one(
    tmp_path: Path, kind: type[Settings], text: str, message: str
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as refused:
        read_settings(kind, path, "Give another file")
    assert refused.value.what == message
    assert refused.value.location == str(path)


class Drawn(Settings):
    """Settings with a name that may be a file."""

    scenario: Annotated[str, path_or(bare_names=True)] = "sticker"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("sticker", "sticker"),
        ("mine.yaml", "{folder}/mine.yaml"),
        ("mine.yml", "{folder}/mine.yml"),
        ("scenarios/mine", "{folder}/scenarios/mine"),
        ("../mine.yaml", "{folder.parent}/mine.yaml"),
        ("/srv/mine.yaml", "/srv/mine.yaml"),
    ],
)
def test_files_are_relative_to_the_settings_that_name_them(
    tmp_path: Path, given: str, read: str
) -> None:
    (tmp_path / "own.yaml").write_text(f"scenario: {given}\n")
    own = read_settings(Drawn, tmp_path / "own.yaml", "")
    assert own.scenario == read.format(folder=tmp_path)
    # Given in code or on the command line, they are relative to the current folder.
    assert check_settings(Drawn, own.model_dump(), "options") == own
    assert Drawn(scenario=given).scenario == given


# As text, the last of these lists has 100 million items.
ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 9223372036854775808", "seed: .*it must be from 0 to 9223372036854775807"),
        ("seed: -1", "seed: .*it must be from 0"),
        ("plan: {max_minutes: .inf}", "plan.max_minutes: .*finite"),
        ("gate: {min_text_score: .nan}", "gate.min_text_score.*finite"),
        ("plan: {shards: 3000000000}", "plan.shards: .*it must be from"),
        ('catalogue: "a\\0b"', "catalogue: .*null character"),
        ("exchange: file:///srv/nights[1]", "exchange: .*cannot contain"),
        ("warehouse: {images: 's3://bucket/*'}", "warehouse.images: .*cannot contain"),
        ("catalogue: 2026-13-01", "not valid YAML"),
        ("a: " + "[" * 5000, "not valid YAML"),
        ("seed: " + "9" * 5000, "not valid YAML"),
        ("1: 2", "a setting whose name is no text: 1"),
        (ALIASES, r"a0: Extra inputs are not permitted \(received \['x', .*\.\.\."),
    ],
)
def test_what_would_fail_later_is_refused_at_once(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "night.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=message):
        read_settings(NightlyConfig, path, "Give another file")


def test_the_largest_seed_is_a_seed() -> None:
    assert NightlyConfig(seed=2**63 - 1).seed == 2**63 - 1


def test_no_password_is_shown() -> None:
    address = "carrier://me:secret@pigeon/loft"
    with pytest.raises(ConfigError) as refused:
        check_settings(NightlyConfig, {"exchange": address}, "options")
    with pytest.raises(ValidationError) as invalid:
        NightlyConfig(exchange=address)
    for error in (refused.value, invalid.value):
        assert "carrier://" in str(error)
        assert "secret" not in str(error)
