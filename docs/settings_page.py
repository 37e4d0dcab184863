"""Writes `docs/settings.md` from the settings models: `python -m docs.settings_page`.

Keys, types and defaults come from the models, meanings from the `Attributes:` of their docstrings.
`settings_meanings.yaml` describes the fields that a docstring has no entry for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pigeon_rec.config import NightlyConfig
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.placement import Placement
from pigeon_rec.training.configuration import TrainingConfig
from pigeon_rec.weekly.config import WeeklyConfig

__all__ = ["CHAPTERS", "MEANINGS", "PAGE", "Chapter", "Row", "groups", "render", "rows"]

PAGE: Final = Path(__file__).with_name("settings.md")
MEANINGS: Final[Mapping[str, Mapping[str, str]]] = yaml.safe_load(
    Path(__file__).with_name("settings_meanings.yaml").read_text(encoding="utf-8")
)
_SHOWN = 6  # elements of a list that are printed


@dataclass(frozen=True)
class Chapter:
    """One settings file.

    Attributes:
        name: Anchor of its tables.
        title: Heading.
        model: The pydantic model that reads the file.
        intro: Where the file is given.
    """

    name: str
    title: str
    model: type[BaseModel]
    intro: str


CHAPTERS: Final = (
    Chapter(
        "night",
        "The night",
        NightlyConfig,
        "`pigeon-rec nightly ... --config night.yaml`, `make nightly CONFIG=night.yaml`, or the "
        "Airflow variable `PIGEON_CONFIG`.",
    ),
    Chapter(
        "weekly",
        "The weekly alignment",
        WeeklyConfig,
        "`pigeon-rec align ... --config week.yaml`, `make align CONFIG=week.yaml`, or the Airflow "
        "variable `PIGEON_ALIGN_CONFIG`. `smoke` is a bundled one. See [weekly](weekly.md).",
    ),
    Chapter(
        "training",
        "Training",
        TrainingConfig,
        "`pigeon-rec train ... --config mine.yaml`. Bundled: `sticker-64`, `sticker-64-style`, "
        "`picture-128` and `smoke`. `loops` has one entry per recipe. See [training](training.md).",
    ),
    Chapter(
        "evaluation",
        "The evaluation",
        EvaluationSettings,
        "`pigeon-rec evaluate --settings evaluation.yaml`. See [evaluation](evaluation.md).",
    ),
    Chapter(
        "placement",
        "Placement",
        Placement,
        "The value of `placement` in a night's file, and an argument of "
        "`load_pipeline`. See [published weights](published.md).",
    ),
)


@dataclass(frozen=True)
class Row:
    """One setting, as the page shows it."""

    key: str
    kind: str
    default: str
    meaning: str


def render() -> str:
    """Returns the whole page."""
    parts = [_HEAD, _defaults_as_yaml()]
    seen = {chapter.model: chapter.name for chapter in CHAPTERS}
    for chapter in CHAPTERS:
        parts += [f"## {chapter.title}", chapter.intro, *_tables(chapter, seen)]
    return "\n\n".join(parts) + "\n"


def rows(model: type[BaseModel], prefix: str = "") -> list[Row]:
    """Returns a row for each field of `model` that is not itself a group of settings."""
    return [
        Row(f"{prefix}{name}", _kind(schema), _default(field), _meaning(model, name))
        for name, field, schema in _fields(model)
        if _group(field) is None
    ]


def groups(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yields `(prefix, model)` for `model` and every group of settings inside it, depth first."""
    yield prefix, model
    for name, field, _ in _fields(model):
        inner = _group(field)
        if inner is not None:
            step = f"{name}." if field.annotation is inner else f"{name}.<recipe>."
            yield from groups(inner, prefix + step)


_HEAD: Final = """\
# Settings

<!-- Written by `python -m docs.settings_page`: edit the models' docstrings, not this page. -->

Every setting of every file, with its default. A file names only what differs. Unknown keys and
values out of range stop a run before any work; the message names the key, the value received and
what is allowed. `<recipe>` stands for the name of a training recipe. The settings of a RecBole
experiment (`pigeon_...`) are on [its own page](recbole.md#settings)."""


def _defaults_as_yaml() -> str:
    """Returns the defaults of a night as a file that can be copied."""
    values = NightlyConfig().model_dump(mode="json")
    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=110)
    return f"A night's file with all defaults:\n\n```yaml\n{text}```"


def _tables(chapter: Chapter, seen: dict[type[BaseModel], str]) -> Iterator[str]:
    for prefix, model in groups(chapter.model):
        anchor = "-".join([chapter.name, *re.findall(r"\w+", prefix)])
        heading = f"<a id='{anchor}'></a>" + (f"\n\n### `{prefix[:-1]}`" if prefix else "")
        if prefix and model in seen:
            yield f"{heading}\n\nThe same settings as [here](#{seen[model]})."
            continue
        seen.setdefault(model, anchor)
        yield f"{heading}\n\n{_summary(model)}"
        table = rows(model, prefix)
        if table:
            yield "\n".join(
                ["| key | type | default | meaning |", "|---|---|---|---|"]
                + [f"| `{r.key}` | {r.kind} | {r.default} | {r.meaning} |" for r in table]
            )


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo, Mapping[str, Any]]]:
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        yield name, field, properties[name]


def _group(field: FieldInfo) -> type[BaseModel] | None:
    """Returns the model of a field that groups settings, directly or as values of a mapping."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _kind(schema: Mapping[str, Any]) -> str:
    """Returns a JSON schema in words: `whole number, at least 1`."""
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    match schema.get("type"):
        case "array":
            inner = schema.get("items") or schema.get("prefixItems", [{}])[0]
            return f"list of: {_kind(inner)}"
        case "object":
            return f"mapping to: {_kind(schema.get('additionalProperties', {}))}"
        case kind:
            named = "path" if schema.get("format") == "path" else _NAMES.get(str(kind), str(kind))
            return named + _bounds(schema)


_NAMES: Final = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "`null`",
}


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low:g} to {high:g}"
    words = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "above",
        "exclusiveMaximum": "below",
    }
    return "".join(f", {word} {schema[key]:g}" for key, word in words.items() if key in schema)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple) and len(value) > _SHOWN:
        return f"`{value[0]}`, `{value[1]}`, ... `{value[-1]}` ({len(value)} of them)"
    plain = list(value) if isinstance(value, tuple) else value
    plain = str(plain) if isinstance(plain, Path) else plain
    text = yaml.safe_dump(plain, default_flow_style=True, width=1000).strip()
    return f"`{text.removesuffix('...').strip()}`"


def _meaning(model: type[BaseModel], name: str) -> str:
    for owner in model.__mro__:
        text = _attributes(owner).get(name) or MEANINGS.get(owner.__name__, {}).get(name)
        if text:
            return text.replace("|", "\\|")
    raise KeyError(f"{model.__name__}.{name} has no meaning: add it to its class's docstring")


def _attributes(model: type) -> dict[str, str]:
    """Returns the entries of the docstring's `Attributes:` section."""
    section = (model.__dict__.get("__doc__") or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _summary(model: type[BaseModel]) -> str:
    """Returns the docstring up to its `Attributes:`, paragraphs kept."""
    text = (model.__doc__ or "").partition("Attributes:")[0]
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
