"""Templates are data: checked when read, harmless when filled."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pigeon_rec.data.aspect import SQUARE, Aspect
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.data.world import load_world
from pigeon_rec.errors import ConfigError

WHOLE = {"task": "Draw.", "input": "Input:", "target": "{title}", "response": "Response:"}


def write(folder: Path, **changes: object) -> Path:
    (folder / "own.yaml").write_text(yaml.safe_dump(WHOLE | changes), encoding="utf-8")
    return folder


def test_the_sticker_scenario_comes_with_the_package() -> None:
    prompt = load_prompt("sticker")
    assert prompt.prefix.endswith("Input:")
    assert prompt.response == "Response:"


def test_the_target_names_the_concept_and_its_category() -> None:
    text = load_prompt("sticker").target("red apple", "red apple, fruit, ripe", "food-drink")
    assert "red apple, fruit, ripe" in text
    assert "food drink" in text


def test_no_piece_of_an_instruction_names_a_style() -> None:
    prompt = load_prompt("sticker")
    text = f"{prompt.prefix} {prompt.target_template} {prompt.response}".lower()
    styles = load_world("bundled").style_descriptions
    assert not any(word in text for word in (*styles, *styles.values()))


def test_the_title_replaces_empty_semantics() -> None:
    prompt = load_prompt("sticker")
    assert prompt.target("kite", "", "toys") == prompt.target("other", "kite", "toys")


def test_braces_in_the_texts_are_plain_characters(tmp_path: Path) -> None:
    prompt = load_prompt("own", write(tmp_path, target="{semantics}"))
    assert prompt.target("t", "{title} {0} {x.y}", "c") == "{title} {0} {x.y}"


def test_spaces_and_lines_in_the_texts_are_tidied(tmp_path: Path) -> None:
    prompt = load_prompt("own", write(tmp_path, target="{title} and {semantics}"))
    assert prompt.target("a\n b", " c\t", "d") == "a b and c"


@pytest.mark.parametrize("scenario", ["nothing", "../prompts/sticker", "sticker.yaml", "", "a b"])
def test_unknown_scenarios_are_reported_with_the_known_ones(scenario: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no scenario.*Choose one of: .*sticker"):
        load_prompt(scenario)


@pytest.mark.parametrize(
    "target", ["{concept}", "{title.__class__}", "{title!r}", "{title:>9}", "{0}", "{}"]
)
def test_other_placeholders_are_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown placeholders.*own\.yaml"):
        load_prompt("own", write(tmp_path, target=target))


@pytest.mark.parametrize("changes", [{"task": ""}, {"target": 3}, {"extra": "x"}])
def test_templates_that_break_the_schema_are_refused(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match=r"not usable.*own\.yaml"):
        load_prompt("own", write(tmp_path, **changes))


@pytest.mark.parametrize("text", ["target: '{'", "- a list", "a: [", ""])
def test_files_that_are_no_template_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        load_prompt("own", tmp_path)


def test_a_lone_brace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="target is not a template"):
        load_prompt("own", write(tmp_path, target="{title"))


def test_the_movie_scenario_has_titles_genres_and_semantics() -> None:
    prompt = load_prompt("movie")
    assert prompt.history("Toy Story (1995)") == "Toy Story (1995):"
    text = prompt.target("Heat (1995)", "a heist, and the man behind it", "Crime", "Crime, Drama")
    assert all(part in text for part in ("Heat (1995)", "a heist, and", "Crime, Drama"))
    assert (prompt.aspect, prompt.picture) == (Aspect(2, 3), "poster")


def test_genres_may_be_separated_by_bars() -> None:
    prompt = load_prompt("movie")
    assert prompt.target("t", "s", "", "Crime|Drama") == prompt.target("t", "s", "", "Crime, Drama")


def test_the_category_replaces_missing_genres() -> None:
    prompt = load_prompt("movie")
    assert prompt.target("t", "s", "Film-Noir") == prompt.target("t", "s", "", "Film Noir")


def test_stickers_are_square_and_have_no_text_before_them() -> None:
    prompt = load_prompt("sticker")
    assert (prompt.history_template, prompt.history("anything")) == ("", "")
    assert (prompt.aspect, prompt.picture) == (SQUARE, "sticker")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": "{semantics}:"}, r"history names unknown placeholders: semantics.*\{title\}"),
        ({"history": "{title"}, "history is not a template"),
        ({"aspect": "2 by 3"}, "aspect.*is not width:height"),
        ({"aspect": "1:9"}, "aspect.*none over four times"),
        ({"target_tokens": 0}, "target_tokens"),
        ({"history_tokens": 513}, "history_tokens"),
        ({"picture": "<b>"}, "picture"),
        ({"taste": "a b"}, "taste"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_prompt("own", write(tmp_path, **changes))
