"""`docs/settings.md` has every setting, and says of each what the models say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from docs.settings_page import CHAPTERS, MEANINGS, PAGE, Chapter, groups, render
from pigeon_rec.config import NightlyConfig, load_config

TEXT = PAGE.read_text(encoding="utf-8")


def chapter_text(chapter: Chapter) -> str:
    return TEXT.partition(f"\n## {chapter.title}\n")[2].partition("\n## ")[0]


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yields every dotted key of a settings model, found without the page's own code."""
    for name, schema in model.model_json_schema(mode="validation")["properties"].items():
        annotation = model.model_fields[name].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from keys_of(annotation, f"{prefix}{name}.")
        elif "$ref" in str(schema.get("additionalProperties")):
            [inner] = [a for a in annotation.__args__ if issubclass(a, BaseModel)]  # type: ignore[union-attr]
            yield from keys_of(inner, f"{prefix}{name}.<recipe>.")
        else:
            yield prefix + name


def test_the_page_is_what_the_models_say() -> None:
    assert render() == TEXT, "run `python -m docs.settings_page`"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: str(chapter.name))
def test_every_key_of_the_models_is_on_the_page_and_no_other(chapter: Chapter) -> None:
    text = chapter_text(chapter)
    described = set(re.findall(r"^\| `([\w.<>]+)` \|", text, re.M))
    elsewhere = re.findall(r"^### `([\w.<>]+)`\n\nThe same settings as \[here\]", text, re.M)
    wanted = {
        key
        for key in keys_of(chapter.model)
        if not any(key.startswith(f"{group}.") for group in elsewhere)
    }
    assert described == wanted


def test_groups_described_elsewhere_link_to_the_right_tables() -> None:
    anchors = set(re.findall(r"<a id='([\w-]+)'></a>", TEXT))
    links = set(re.findall(r"\(#([\w-]+)\)", TEXT))
    assert links
    assert links <= anchors


def test_meanings_are_needed_and_of_real_fields() -> None:
    models = {m.__name__: m for c in CHAPTERS for _, m in groups(c.model)}
    for name, fields in MEANINGS.items():
        documented = (models[name].__doc__ or "").partition("Attributes:")[2]
        for field in fields:
            assert field in models[name].model_fields
            assert not re.search(rf"^ +{field}: ", documented, re.M), f"{name}.{field}: said twice"


def test_the_file_with_all_defaults_is_one(tmp_path: Path) -> None:
    [text] = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.M | re.S)
    (tmp_path / "night.yaml").write_text(text, "utf-8")
    # Paths that are written down are seen from the file.
    defaults = NightlyConfig(work_dir=tmp_path / NightlyConfig().work_dir)
    assert load_config(tmp_path / "night.yaml") == defaults
    assert yaml.safe_load(text).keys() == NightlyConfig.model_fields.keys()
