"""Instruction templates: the text around the pictures (paper section 3.3), one YAML per scenario.

An instruction reads: task and "Input:", the history pictures (each behind its title where the
scenario says so, as for films), the target's text, the reference, "Response:". Templates are data
in our own wording (`prompts/<scenario>.yaml`); they also tell the proportions of the pictures.
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

__all__ = ["PromptTemplate", "available_prompts", "load_prompt"]

_FOLDER = Path(__file__).parent / "prompts"
_TARGET_FIELDS = ("title", "semantics", "category", "genres")
_HISTORY_FIELDS = ("title",)
_MOST_TOKENS = 512


@dataclass(frozen=True)
class PromptTemplate:
    """The text pieces of one scenario's instruction, and what its pictures are.

    Attributes:
        scenario: Name of the template.
        prefix: Task and input words, before the history pictures.
        target_template: Text of the target with `{title}`, `{semantics}`, `{category}` and
            `{genres}`.
        response: Words after the reference, before the picture that is written.
        history_template: Text before each history picture, with `{title}`; empty where only
            pictures stand there.
        target_tokens: Longest text of a target, in tokens; `None` leaves it to the model.
        history_tokens: The same of the text before a history picture.
        aspect: Proportions of the pictures.
        picture: What people call one of them, such as `sticker`.
        taste: Catalogue column whose values tell a user's taste on the gallery page.
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
        """The target's text, with spaces tidied.

        Empty semantics give way to the title, and empty genres to the category. Genres may be
        separated as MovieLens does (`Comedy|Drama`).
        """
        category, genres = category.replace("-", " "), genres.replace("|", ", ")
        text = self.target_template.format(
            title=title, semantics=semantics or title, category=category, genres=genres or category
        )
        return " ".join(text.split())

    def history(self, title: str) -> str:
        """The text before one history picture; empty where the scenario has none."""
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


def available_prompts() -> list[str]:
    """Names of the scenarios that come with the package, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_prompt(scenario: str, folder: Path = _FOLDER) -> PromptTemplate:
    """Reads and checks `<folder>/<scenario>.yaml`.

    Args:
        scenario: Name without suffix: lower-case letters, digits, `-` and `_`.
        folder: Where the templates lie; the package's own by default.

    Raises:
        ConfigError: There is no such scenario, or its template lacks a piece or names a
            placeholder that does not exist.
    """
    path = folder / f"{scenario}.yaml"
    if not re.fullmatch(r"[a-z0-9_-]+", scenario) or not path.is_file():
        raise ConfigError(
            f"there is no scenario {scenario!r}",
            location=str(folder),
            remedy=f"Choose one of: {', '.join(sorted(p.stem for p in folder.glob('*.yaml')))}",
        )
    try:
        template = _Template.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ConfigError("the template is no valid YAML", location=f"{path}: {error}") from error
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
        raise ConfigError(f"{piece} is no template: {error}", location=str(path)) from error
    wrong = [
        str(name) for name, spec, conversion in parts if name not in fields or spec or conversion
    ]
    if wrong:
        raise ConfigError(
            f"{piece} names unknown placeholders: {', '.join(wrong)}",
            location=str(path),
            remedy=f"Only {', '.join(f'{{{name}}}' for name in fields)} are filled in",
        )
