"""Templates are data: checked when read, harmless when filled."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pigeon_rec.data import prompts
from pigeon_rec.data.aspect import SQUARE, Aspect
from pigeon_rec.data.prompts import load_prompt, scenario_name
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
    "target", ["{title.__class__}", "{title[0]}", "{title!r}", "{title:>9}", "{0}", "{}"]
)
def test_other_placeholders_are_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(ConfigError, match=r"target.*not the name of a catalogue column.*own\.yaml"):
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
    with pytest.raises(ConfigError, match=r"target: .*expected '}'"):
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
        ({"history": "{0}:"}, r"history: .*\{0\} is not the name of a catalogue column"),
        ({"history": "{title"}, "history: .*expected '}'"),
        ({"aspect": "2 by 3"}, "aspect.*is not width:height"),
        ({"aspect": "1:9"}, "aspect.*none over four times"),
        ({"aspect": 1}, "aspect.*0:1 needs sides from 1"),
        ({"aspect": True}, "aspect"),
        ({"target_tokens": 0}, "target_tokens"),
        ({"history_tokens": 513}, "history_tokens"),
        ({"picture": "<b>"}, "picture: .*'<b>' is not a word or a few"),
        ({"picture": "x" * 41}, "up to 40 characters"),
        ({"pictures": ""}, "pictures: "),
        ({"taste": ""}, "taste"),
        ({"label": ""}, "label"),
        ({"separator": 3}, "separator"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_prompt("own", write(tmp_path, **changes))


@pytest.mark.parametrize("word", ["poster", "book cover", "Titelbild", "обложка", "d'art", "चित्र"])
def test_words_may_be_of_any_language(tmp_path: Path, word: str) -> None:
    prompt = load_prompt("own", write(tmp_path, picture=word))
    assert (prompt.picture, prompt.pictures) == (word, f"{word}s")
    assert load_prompt("own", write(tmp_path, picture="x", pictures=word)).pictures == word


def test_taste_and_label_have_defaults_and_may_be_none(tmp_path: Path) -> None:
    def facts(**changes: object) -> tuple[str | None, str | None]:
        prompt = load_prompt("own", write(tmp_path, **changes))
        return prompt.taste, prompt.label

    assert facts() == ("style", "style")
    assert facts(taste="Main genre") == ("Main genre", "Main genre")
    assert facts(taste=None) == (None, None)
    assert facts(taste="author", label=None) == ("author", None)
    assert facts(taste=None, label="author") == (None, "author")


@pytest.mark.parametrize("separator", [None, "", "/", ", ", " - "])
def test_a_separator_is_taken_as_it_is(tmp_path: Path, separator: str | None) -> None:
    assert load_prompt("own", write(tmp_path, separator=separator)).separator == separator


def test_texts_may_name_any_column(tmp_path: Path) -> None:
    write(tmp_path, target="{title} by {author} ({Main genre})", history="{author}, {semantics}:")
    prompt = load_prompt("own", tmp_path)
    assert prompt.target_columns == ("author", "Main genre")
    assert prompt.history_columns == ("author", "semantics")
    assert prompt.columns == ("author", "Main genre", "semantics", "style")
    words = {"author": "{title} & sons", "Main genre": "Crime|Drama"}
    assert prompt.target("t", "", "", columns=words) == "t by {title} & sons (Crime, Drama)"
    assert prompt.history("t", {"author": "a", "semantics": "s"}) == "a, s:"
    prompt.check_columns({"author", "Main genre", "semantics"}, "items.parquet")
    with pytest.raises(ConfigError, match=r"'own' names \{Main genre\}.*items\.parquet"):
        prompt.check_columns({"author", "semantics", "title"}, "items.parquet")


def test_a_scenario_may_be_a_file_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "My covers.yml").write_text(yaml.safe_dump(WHOLE), encoding="utf-8")
    prompt = load_prompt(str(tmp_path / "My covers.yml"))
    assert (prompt.scenario, prompt.prefix) == ("My covers", "Draw. Input:")
    assert load_prompt(prompt) is prompt
    assert scenario_name(str(tmp_path / "My covers.yml")) == "My covers"
    assert scenario_name("sticker") == "sticker"


def test_a_copy_of_a_bundled_scenario_is_the_same_scenario(tmp_path: Path) -> None:
    source = Path(prompts.__file__).parent / "prompts" / "movie.yaml"
    (tmp_path / "movie.yaml").write_bytes(source.read_bytes())
    assert load_prompt(str(tmp_path / "movie.yaml")) == load_prompt("movie")


def test_identity_is_of_all_that_a_model_reads(tmp_path: Path) -> None:
    def identity(**changes: object) -> str:
        return load_prompt("own", write(tmp_path, **changes)).identity

    words = ("picture", "pictures", "taste", "label", "separator")
    assert identity(**dict.fromkeys(words, "x")) == identity()
    texts = dict.fromkeys(("task", "input", "target", "response", "history"), "other")
    changes = {**texts, "target_tokens": 9, "history_tokens": 9, "aspect": "2:3"}
    assert len({identity(), *(identity(**{name: value}) for name, value in changes.items())}) == 9
    named = tmp_path / "other.yaml"
    named.write_text(yaml.safe_dump(WHOLE), encoding="utf-8")
    assert load_prompt(str(named)).identity != identity()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"task: \xff")
    with pytest.raises(ConfigError, match=r"(?s)the template is not valid YAML.*own\.yaml"):
        load_prompt(str(tmp_path / "own.yaml"))


@pytest.mark.parametrize("text", ["[" * 5000, "[a, b]", "task: 2026-13-01", "1: 2"])
def test_a_file_that_is_no_template_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.yaml").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"(?s)the template.*own\.yaml"):
        load_prompt(str(tmp_path / "own.yaml"))


def test_the_book_cover_scenario_is_of_two_to_three() -> None:
    prompt = load_prompt("book-cover")
    assert (prompt.aspect, prompt.picture, prompt.pictures) == (
        Aspect(2, 3), "book cover", "book covers",
    )  # fmt: skip
    assert (prompt.taste, prompt.target_columns, prompt.history_columns) == ("category", (), ())


@pytest.mark.parametrize("aspect", ["2:3", "3:2", "16:9", "1:1", "3:10", "40:59"])
def test_an_aspect_needs_no_quotes(tmp_path: Path, aspect: str) -> None:
    path = write(tmp_path) / "own.yaml"
    for text in (aspect, f'"{aspect}"'):
        path.write_text(yaml.safe_dump(WHOLE) + f"aspect: {text}\n", encoding="utf-8")
        assert str(load_prompt(str(path)).aspect) == aspect
