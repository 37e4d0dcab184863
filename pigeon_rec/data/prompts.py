"""Instruction templates: the text around the pictures (paper section 3.3), one YAML per scenario.

An instruction is: task and "Input:", the history pictures (for films each after its title), the
target's text, the reference, "Response:". The templates (`prompts/<scenario>.yaml`) are in our own
wording and also set the aspect ratio of the pictures.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pigeon_rec.data.aspect import SQUARE, Aspect
from pigeon_rec.errors import ConfigError

__all__ = ["PromptTemplate", "load_prompt"]

_FOLDER = Path(__file__).parent / "prompts"
_TARGET_FIELDS = ("title", "semantics", "category", "genres")
_HISTORY_FIELDS = ("title",)
_MOST_TOKENS = 512


@dataclass(frozen=True)
class PromptTemplate:
    """The instruction texts of one scenario, and facts about its pictures.

    Attributes:
        prefix: Task and input text, before the history pictures.
        target_template: Text of the target with `{title}`, `{semantics}`, `{category}` and
            `{genres}`.
        response: Text after the reference, before the visual tokens that the model writes.
        history_template: Text before each history picture, with `{title}`; empty for none.
        target_tokens: Longest target text, in tokens; `None` for the model's own limit.
        history_tokens: Longest text before a history picture, in tokens; `None` likewise.
        aspect: Aspect ratio of the pictures.
        picture: Word for one picture in reports, such as `sticker`.
        taste: Catalogue column that the gallery shows as a user's taste.
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
    taste: str = "style"

    def target(self, title: str, semantics: str, category: str, genres: str = "") -> str:
        """Returns the target's text, with single spaces.

        The title replaces empty semantics, and the category empty genres. Genres may be separated
        as in MovieLens (`Comedy|Drama`).
        """
        category, genres = category.replace("-", " "), genres.replace("|", ", ")
        text = self.target_template.format(
            title=title, semantics=semantics or title, category=category, genres=genres or category
        )
        return " ".join(text.split())

    def history(self, title: str) -> str:
        """Returns the text before one history picture; empty if the scenario has none."""
        return " ".join(self.history_template.format(title=title).split())


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
    picture: str = Field(default="picture", pattern=r"^[a-z][a-z ]*$")
    taste: str = Field(default="style", pattern=r"^[a-z_]+$")

    @field_validator("aspect")
    @classmethod
    def _is_aspect(cls, text: str) -> str:
        Aspect.parse(text)
        return text


def load_prompt(scenario: str, folder: Path = _FOLDER) -> PromptTemplate:
    """Reads and checks `<folder>/<scenario>.yaml`.

    Args:
        scenario: Name without suffix: lower-case letters, digits, `-` and `_`.
        folder: Folder of the templates; the bundled ones by default.

    Raises:
        ConfigError: There is no such scenario, or its template lacks a field or names an unknown
            placeholder.
    """
    path = folder / f"{scenario}.yaml"
    if not re.fullmatch(r"[a-z0-9_-]+", scenario) or not path.is_file():
        raise ConfigError(
            f"there is no scenario {scenario!r}",
            location=f"scenario; templates in {folder}",
            remedy=f"Choose one of: {', '.join(sorted(p.stem for p in folder.glob('*.yaml')))}",
        )
    try:
        template = _Template.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ConfigError("the template is not valid YAML", location=f"{path}: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"the template is not usable: {faults}", location=str(path)) from error
    _check_placeholders("target", template.target, _TARGET_FIELDS, path)
    _check_placeholders("history", template.history, _HISTORY_FIELDS, path)
    return PromptTemplate(
        scenario,
        prefix=f"{template.task} {template.input}",
        target_template=template.target,
        response=template.response,
        history_template=template.history,
        target_tokens=template.target_tokens,
        history_tokens=template.history_tokens,
        aspect=Aspect.parse(template.aspect),
        picture=template.picture,
        taste=template.taste,
    )


def _check_placeholders(piece: str, text: str, fields: tuple[str, ...], path: Path) -> None:
    try:
        # Plain names only: `{title.__class__}` or `{title!r}` would reach into the values.
        parts = [part[1:] for part in string.Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise ConfigError(f"{piece} is not a template: {error}", location=str(path)) from error
    wrong = [
        str(name) for name, spec, conversion in parts if name not in fields or spec or conversion
    ]
    if wrong:
        raise ConfigError(
            f"{piece} names unknown placeholders: {', '.join(wrong)}",
            location=str(path),
            remedy=f"Only {', '.join(f'{{{name}}}' for name in fields)} are filled in",
        )
