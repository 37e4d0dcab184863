"""Model cards: what they say, where it comes from, and that they change no version."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from pigeon_rec.errors import ModelError
from pigeon_rec.model.card import CARD, EVALUATION, CardFacts, add_evaluation, read_card, write_card
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.version import model_version

FACTS = CardFacts("cc-by-4.0", ("Pictures: ours, 5 %", "Users: «all»: #1"), "team/base")


@pytest.fixture
def saved(pipeline: PigeonPipeline, tmp_path: Path) -> Path:
    pipeline.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def results(folder: Path, path: Path, **changes: Any) -> Path:
    """The form of what `pigeon-rec evaluate` writes."""
    interval = {"mean": 0.5, "low": 0.25, "high": 0.75, "cases": 9}
    metrics = {"style": interval, "text": {**interval, "mean": None}}
    summary = {
        "model_version": model_version(folder),
        "settings": {"confidence": 0.95},
        "data": {"name": "stickers"},
        "methods": {"full": {"label": "full model", "cases": 9, "metrics": metrics}},
    }
    path.write_text(json.dumps(summary | changes), encoding="utf-8")
    return path


def test_every_saved_model_has_a_card_that_the_hub_can_read(
    saved: Path, pipeline: PigeonPipeline
) -> None:
    card = ModelCard.load(saved / CARD)
    assert card.data.library_name == "pigeon-rec"
    assert card.data.license == "other"
    assert "recommender-systems" in (card.data.tags or [])
    assert card.data.to_dict().get("base_model") is None
    parameters = sum(w.numel() for part in pipeline.parts().values() for w in part.parameters())
    [line] = [row for row in card.text.splitlines() if row.startswith("| parameters")]
    # Buffers such as tables of positions are in the files as well.
    assert int(line.split("|")[2].replace(",", "")) >= parameters
    for head in ("## Trained on", "## Evaluation", "## Limits", "## Use"):
        assert head in card.text
    assert "No figures are in this folder" in card.text


def test_facts_are_kept_until_they_are_changed(saved: Path) -> None:
    write_card(saved, FACTS)
    assert read_card(saved) == FACTS
    before = (saved / CARD).read_bytes()
    write_card(saved)
    assert (saved / CARD).read_bytes() == before
    write_card(saved, license="mit")
    assert read_card(saved) == CardFacts("mit", FACTS.trained_on, FACTS.base_model)
    text = (saved / CARD).read_text("utf-8")
    assert "- Users: «all»: #1" in text
    assert ModelCard(text).data.to_dict()["base_model"] == "team/base"


def test_a_base_model_that_is_not_on_the_hub_is_no_metadata(saved: Path) -> None:
    write_card(saved, base_model="sticker-64")
    text = (saved / CARD).read_text("utf-8")
    assert "- Started from: sticker-64" in text
    assert "base_model" not in ModelCard(text).data.to_dict()
    assert read_card(saved) == CardFacts(base_model="sticker-64")


def test_a_card_changes_no_version(saved: Path) -> None:
    before = model_version(saved)
    write_card(saved, FACTS)
    add_evaluation(saved, results(saved, saved.parent / "r.json"))
    (saved / ".gitattributes").write_text("*.safetensors filter=lfs\n", "utf-8")
    assert model_version(saved) == before
    (saved / CARD).unlink()
    assert model_version(saved) == before
    # Of the model folder alone: anywhere below it, such a name is a file like any other.
    (saved / "scorer").mkdir()
    (saved / "scorer" / CARD).write_text("text", "utf-8")
    assert model_version(saved) != before


def test_saving_another_model_over_it_forgets_the_facts(
    saved: Path, pipeline: PigeonPipeline
) -> None:
    write_card(saved, FACTS)
    pipeline.save_pretrained(saved)
    assert read_card(saved) == CardFacts()


def test_figures_of_this_model_are_shown(saved: Path, tmp_path: Path) -> None:
    add_evaluation(saved, results(saved, tmp_path / "r.json"))
    text = write_card(saved).read_text("utf-8")
    assert "On stickers, 95% bootstrap intervals" in text
    assert "| method | cases | style | text |" in text
    assert "| full model | 9 | 0.500 (0.250 to 0.750) |  |" in text


def test_figures_of_another_model_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="those of the model 'other-0123456789ab'"):
        add_evaluation(saved, results(saved, tmp_path / "r", model_version="other-0123456789ab"))
    for text in ("", "[]", "{}"):
        (tmp_path / "bad").write_text(text, encoding="utf-8")
        with pytest.raises(ModelError, match="results cannot be read"):
            add_evaluation(saved, tmp_path / "bad")
    with pytest.raises(ModelError, match="results cannot be read"):
        add_evaluation(saved, tmp_path / "none")
    assert not (saved / EVALUATION).exists()
    (saved / EVALUATION).write_text("{}", encoding="utf-8")
    assert "cannot be read" in write_card(saved).read_text("utf-8")


@pytest.mark.parametrize("text", ["", "# text", "---\n", "---\n- a\n---\n", "---\n{\n---\n"])
def test_an_unreadable_card_has_no_facts(saved: Path, text: str) -> None:
    (saved / CARD).write_text(text, encoding="utf-8")
    assert read_card(saved) is None
    write_card(saved)
    assert read_card(saved) == CardFacts()


def test_odd_metadata_is_not_trusted(saved: Path) -> None:
    odd = {"license": ["a"], "base_model": ["x", "y"], "pigeon_rec": {"trained_on": "text"}}
    (saved / CARD).write_text(f"---\n{yaml.safe_dump(odd)}---\ntext", encoding="utf-8")
    found = read_card(saved)
    assert found is not None
    assert (found.trained_on, found.base_model) == ((), None)


def test_the_bundled_model_has_a_card_that_is_up_to_date(tmp_path: Path) -> None:
    folder = model_folder("sticker-64")
    facts = read_card(folder)
    assert facts is not None
    assert facts.license == "apache-2.0"
    assert any("10,627 stickers" in line for line in facts.trained_on)
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert write_card(copy).read_bytes() == (folder / CARD).read_bytes()


def test_the_command(saved: Path, tmp_path: Path, pigeon: Callable[..., Any]) -> None:
    figures = results(saved, tmp_path / "r.json")
    given = ("--license", "mit", "--trained-on", "a", "--trained-on", "b", "--evaluation", figures)
    assert pigeon("model", "card", saved, *given).code == 0
    assert read_card(saved) == CardFacts("mit", ("a", "b"))
    assert "0.500" in (saved / CARD).read_text("utf-8")
    shown = json.loads(pigeon("model", "info", saved, "--json").out)
    assert shown["card"] == {"license": "mit", "trained_on": ["a", "b"], "base_model": None}
    assert shown["version"] == model_version(saved)
    assert re.search(r"trained on +a; b\n", pigeon("model", "info", saved).out)
    missing = pigeon("model", "card", tmp_path / "none")
    assert missing.code == 4
    assert not (tmp_path / "none").exists()
