"""Scenarios: the text around the pictures (paper section 3.3), and facts of the pictures.

A scenario is one YAML file, bundled (`prompts/<name>.yaml`) or the user's own. Its instruction is:
task and "Input:", the history pictures (for films each after its title), the target's text, the
reference, "Response:". The bundled ones are in our own wording.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from pigeon_rec.data.aspect import SQUARE, Aspect
from pigeon_rec.errors import ConfigError
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.settings import read_mapping

__all__ = ["PromptTemplate", "is_scenario_file", "load_prompt", "scenario_name"]

_FOLDER = Path(__file__).parent / "prompts"
_ALWAYS = ("title", "semantics", "category", "genres")
"""Placeholders that need no column of their own: a catalogue without genres has categories."""
_MOST_TOKENS = 512
_MOST_LETTERS = 40
_NO_COLUMNS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class PromptTemplate:
    """The instruction texts of one scenario, and facts about its pictures.

    Attributes:
        scenario: Its name: that of its file, without folder and suffix.
        prefix: Task and input text, before the history pictures.
        target_template: Text of the target, with `{title}`, `{semantics}`, `{category}`,
            `{genres}` and other text columns of the catalogue.
        response: Text after the reference, before the visual tokens that the model writes.
        history_template: Text before each history picture, with the same; empty for none.
        target_tokens: Longest target text, in tokens; `None` for the model's own limit.
        history_tokens: Longest text before a history picture, in tokens; `None` likewise.
        aspect: Aspect ratio of the pictures.
        picture: Word for one picture in reports, such as `sticker`.
        pictures: Word for several.
        taste: Catalogue column whose most frequent value is a user's taste; None for no taste.
        separator: What stands between several tastes of one item (`pigeon_rec.data.tastes`).
        label: Catalogue column shown under an item's own picture; None for none.
    """

    scenario: str
    prefix: str
    target_template: str
    response: str
    history_template: str = ""
    target_tokens: int | None = None
    history_tokens: int | None = None
    aspect: Aspect = SQUARE
    picture: str = "picture"
    pictures: str = "pictures"
    taste: str | None = "style"
    separator: str | None = None
    label: str | None = "style"

    def target(
        self,
        title: str,
        semantics: str,
        category: str,
        genres: str = "",
        columns: Mapping[str, str] = _NO_COLUMNS,
    ) -> str:
        """Returns the target's text, with single spaces.

        The title replaces empty semantics, and the category empty genres. Several values of a
        column may be separated by bars (`Comedy|Drama`). `columns` holds `target_columns`.
        """
        category = category.replace("-", " ")
        values = {"genres": genres or category, **columns}
        return _filled(
            self.target_template,
            {"title": title, "semantics": semantics or title, "category": category},
            values,
        )

    def history(self, title: str, columns: Mapping[str, str] = _NO_COLUMNS) -> str:
        """Returns the text before one history picture; empty if the scenario has none.

        `columns` holds `history_columns`.
        """
        return _filled(self.history_template, {"title": title}, columns)

    @cached_property
    def target_columns(self) -> tuple[str, ...]:
        """Catalogue columns in the target's text besides `title, semantics, category, genres`."""
        return tuple(name for name in _placeholders(self.target_template) if name not in _ALWAYS)

    @cached_property
    def history_columns(self) -> tuple[str, ...]:
        """Catalogue columns in the text before a history picture besides `title`."""
        return tuple(name for name in _placeholders(self.history_template) if name != "title")

    @property
    def columns(self) -> tuple[str, ...]:
        """All further catalogue columns that it names: in texts, as taste and as label."""
        facts = [name for name in (self.taste, self.label) if name is not None]
        return tuple(dict.fromkeys((*self.target_columns, *self.history_columns, *facts)))

    def check_columns(self, columns: Collection[str], location: str) -> None:
        """Checks that a catalogue with these columns has all that the texts name.

        Raises:
            ConfigError: A column is missing.
        """
        named = dict.fromkeys((*self.target_columns, *self.history_columns))
        missing = [name for name in named if name not in columns]
        if missing:
            raise ConfigError(
                f"scenario {self.scenario!r} names {', '.join(f'{{{name}}}' for name in missing)}, "
                "but the catalogue has no such text column",
                location=location,
                remedy=f"Its text columns are {', '.join(sorted(columns))}",
            )

    @property
    def identity(self) -> str:
        """SHA-256 of its name and of all that a model reads; words for reports are left out."""
        texts = (self.prefix, self.target_template, self.response, self.history_template)
        lengths = (self.target_tokens, self.history_tokens)
        return digest([self.scenario, *texts, *lengths, str(self.aspect)])


class _Template(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    task: str = Field(min_length=1)
    input: str = Field(min_length=1)
    history: str = ""
    target: str = Field(min_length=1)
    response: str = Field(min_length=1)
    target_tokens: int | None = Field(default=None, ge=1, le=_MOST_TOKENS)
    history_tokens: int | None = Field(default=None, ge=1, le=_MOST_TOKENS)
    aspect: str = str(SQUARE)
    picture: str = "picture"
    pictures: str | None = None
    taste: str | None = Field(default="style", min_length=1)
    separator: Annotated[str, StringConstraints(strip_whitespace=False)] | None = None
    label: str | None = Field(default=None, min_length=1)

    @field_validator("aspect", mode="before")
    @classmethod
    def _without_quotes(cls, value: object) -> object:
        # YAML reads 2:3 without quotes as minutes and seconds: 123.
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{value // 60}:{value % 60}"
        return value

    @field_validator("aspect")
    @classmethod
    def _is_aspect(cls, text: str) -> str:
        Aspect.parse(text)
        return text

    @field_validator("picture", "pictures")
    @classmethod
    def _is_word(cls, text: str | None) -> str | None:
        if text is not None and not _is_plain(text):
            raise ValueError(
                f"{text!r} is not a word or a few: letters of any language, spaces, hyphens "
                f"and apostrophes, up to {_MOST_LETTERS} characters"
            )
        return text

    @field_validator("target", "history")
    @classmethod
    def _is_template(cls, text: str) -> str:
        _placeholders(text)
        return text


def scenario_name(scenario: str) -> str:
    """Returns the name of a scenario given by its name or by the path of its file."""
    return Path(scenario).stem if is_scenario_file(scenario) else scenario


def load_prompt(scenario: str | PromptTemplate, folder: Path = _FOLDER) -> PromptTemplate:
    """Reads and checks a scenario.

    Args:
        scenario: Name of a bundled one, or the path of a YAML file (it ends with `.yaml` or
            `.yml`, or has a slash). A template that was read already is returned as it is.
        folder: Folder of those with a name; the bundled ones by default.

    Raises:
        ConfigError: There is no such scenario, or its template lacks a field or names no column
            in a placeholder.
    """
    if isinstance(scenario, PromptTemplate):
        return scenario
    path = _file_of(scenario, folder)
    raw = read_mapping(path, "template")
    try:
        template = _Template.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"the template is not usable: {faults}", location=str(path)) from error
    return PromptTemplate(
        scenario_name(scenario),
        prefix=f"{template.task} {template.input}",
        target_template=template.target,
        response=template.response,
        history_template=template.history,
        target_tokens=template.target_tokens,
        history_tokens=template.history_tokens,
        aspect=Aspect.parse(template.aspect),
        picture=template.picture,
        pictures=template.pictures or f"{template.picture}s",
        taste=template.taste,
        separator=template.separator,
        label=template.label if "label" in template.model_fields_set else template.taste,
    )


def _file_of(scenario: str, folder: Path) -> Path:
    is_file = is_scenario_file(scenario)
    path = Path(scenario) if is_file else folder / f"{scenario}.yaml"
    if (is_file or re.fullmatch(r"[a-z0-9_-]+", scenario)) and path.is_file():
        return path
    raise ConfigError(
        f"there is no scenario {scenario!r}",
        location=f"scenario; {'file' if is_file else 'templates in'} {path if is_file else folder}",
        remedy=f"Choose one of: {', '.join(sorted(p.stem for p in folder.glob('*.yaml')))}; "
        "or give the path of a YAML file of your own",
    )


def is_scenario_file(scenario: str) -> bool:
    """Returns whether a scenario is given by the path of its file, as settings tell it."""
    return "/" in scenario or scenario.endswith((".yaml", ".yml"))


def _is_plain(text: str) -> bool:
    """Whether a text starts with a letter and has letters, digits, spaces and ' - only."""
    kinds = [unicodedata.category(character)[0] for character in text]
    allowed = all(
        kind in "LMN" or character in " -'’" for kind, character in zip(kinds, text, strict=True)
    )
    return allowed and kinds[:1] == ["L"] and len(text) <= _MOST_LETTERS


def _filled(template: str, texts: Mapping[str, str], lists: Mapping[str, str]) -> str:
    """Fills a template; a bar between the values of a list becomes a comma."""
    shown = {name: text.replace("|", ", ") for name, text in lists.items()}
    return " ".join(template.format_map({**shown, **texts}).split())


def _placeholders(text: str) -> list[str]:
    """Returns the names in a template.

    Raises:
        ValueError: It is no template, or a placeholder is more than a name.
    """
    # Plain names only: `{title.__class__}` or `{title!r}` would reach into the values.
    parts = [part[1:] for part in string.Formatter().parse(text) if part[1] is not None]
    wrong = [
        f"{{{name}}}"
        for name, spec, conversion in parts
        if spec or conversion or not re.fullmatch(r"[^\W\d][^.\[\]]*", str(name))
    ]
    if wrong:
        raise ValueError(
            f"{', '.join(wrong)} is not the name of a catalogue column, such as {{title}}"
        )
    return [str(name) for name, _, _ in parts]
