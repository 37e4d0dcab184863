"""What `docs/scenarios.md` says of scenarios is what their files and fields say."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from pigeon_rec.config import load_config
from pigeon_rec.data import prompts
from pigeon_rec.data.aspect import Aspect
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.data.tastes import tastes_of
from pigeon_rec.drawing.texts import history_texts, target_texts
from tests.docs.pages import blocks, text_of
from tests.small_world import write_catalogue

PAGE = text_of("docs/scenarios.md")
TEMPLATES = Path(prompts.__file__).parent / "prompts"


def test_the_table_lists_every_bundled_scenario() -> None:
    listed = re.findall(r"^\| `([\w-]+)` \| (\d+:\d+) \| ([\w ]+) \| `(\w+)` \|$", PAGE, re.M)
    found = [load_prompt(path.stem) for path in TEMPLATES.glob("*.yaml")]
    assert {(name, aspect, taste) for name, aspect, _, taste in listed} == {
        (prompt.scenario, str(prompt.aspect), prompt.taste) for prompt in found
    }
    texts = {name: text for name, _, text, _ in listed}
    for prompt in found:
        expected = {"": "none", "a title:": "the title"}[prompt.history("a title")]
        assert texts[prompt.scenario] == expected


def test_every_field_is_described() -> None:
    table = PAGE.partition("| field | meaning |")[2].partition("\n\n")[0]
    names = [re.findall(r"`(\w+)`", cell) for cell in re.findall(r"^\| (`.*?`) \|", table, re.M)]
    assert {name for group in names for name in group} == set(prompts._Template.model_fields)


def test_the_example_is_a_scenario_beside_its_night(tmp_path: Path) -> None:
    for text in blocks(PAGE, "yaml"):
        [name] = re.findall(r"^# (\w+\.yaml)$", text, re.M)
        (tmp_path / name).write_text(text, encoding="utf-8")
    config = load_config(tmp_path / "night.yaml")
    prompt = load_prompt(config.scenario)
    assert (prompt.scenario, prompt.aspect, prompt.pictures) == (
        "covers", Aspect(2, 3), "book covers",
    )  # fmt: skip
    columns = pl.DataFrame(
        {"author": ["Eco, Umberto", "Ann"], "shelves": ["Crime|Classics", "Classics"]}
    )
    items = write_catalogue(tmp_path, 2)
    pl.read_parquet(items).hstack(columns).write_parquet(items)
    catalogue = load_catalogue(items, prompt.aspect)
    prompt.check_columns(catalogue.text_columns, str(items))
    [target, _] = target_texts(prompt, catalogue.items)
    assert "Title i00 by Eco, Umberto. Shelves: Crime, Classics." in target
    assert history_texts(prompt, catalogue, [["i01"]]) == [["Title i01 by Ann:"]]
    histories = pl.DataFrame({"user_id": ["u"], "history_ids": [["i00", "i01"]]})
    tastes = tastes_of(histories, catalogue, prompt.taste, prompt.separator)
    assert tastes == {"u": "Classics"}
