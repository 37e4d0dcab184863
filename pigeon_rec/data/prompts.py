"""Instruction templates: the text around the pictures (paper section 3.3), one YAML per scenario.

An instruction reads: task and "Input:", the history pictures, the target's text, the reference,
"Response:". Templates are data in our own wording (`prompts/<scenario>.yaml`).
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pigeon_rec.errors import ConfigError

__all__ = ["PromptTemplate", "available_prompts", "load_prompt"]

_FOLDER = Path(__file__).parent / "prompts"
_FIELDS = ("title", "semantics", "category")


@dataclass(frozen=True)
class PromptTemplate:
    """The text pieces of one scenario's instruction.

    Attributes:
        scenario: Name of the template.
        prefix: Task and input words, before the history pictures.
        target_template: Text of the target with `{title}`, `{semantics}` and `{category}`.
        response: Words after the reference, before the picture that is written.
    """

    scenario: str
    prefix: str
    target_template: str
    response: str

    def target(self, title: str, semantics: str, category: str) -> str:
        """The target's text; empty semantics give way to the title, spaces are tidied."""
        text = self.target_template.format(
            title=title, semantics=semantics or title, category=category.replace("-", " ")
        )
        return " ".join(text.split())


class _Template(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(min_length=1)
    input: str = Field(min_length=1)
    target: str = Field(min_length=1)
    response: str = Field(min_length=1)


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
            where=str(folder),
            remedy=f"Choose one of: {', '.join(sorted(p.stem for p in folder.glob('*.yaml')))}",
        )
    try:
        template = _Template.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ConfigError("the template is no valid YAML", where=f"{path}: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"the template is not usable: {faults}", where=str(path)) from error
    _check_placeholders(template.target, path)
    prefix = f"{template.task.strip()} {template.input.strip()}"
    return PromptTemplate(scenario, prefix, template.target.strip(), template.response.strip())


def _check_placeholders(text: str, path: Path) -> None:
    try:
        # Plain names only: `{title.__class__}` or `{title!r}` would reach into the values.
        parts = [part[1:] for part in string.Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise ConfigError(f"target is no template: {error}", where=str(path)) from error
    wrong = [
        str(name) for name, spec, conversion in parts if name not in _FIELDS or spec or conversion
    ]
    if wrong:
        raise ConfigError(
            f"target names unknown placeholders: {', '.join(wrong)}",
            where=str(path),
            remedy="Only {title}, {semantics} and {category} are filled in",
        )
