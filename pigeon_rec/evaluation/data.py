"""The data of an evaluation, and what cannot be measured with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.dataset import Dataset, load_dataset
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.data.settings import DataSettings
from pigeon_rec.evaluation.judges import Judges
from pigeon_rec.evaluation.methods import CURVES, METHODS
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.model.paths import model_folder
from pigeon_rec.training.data import HELD_OUT

__all__ = [
    "data_for",
    "describe",
    "evaluation_data",
    "left_out_curves",
    "not_measurable",
    "shown_catalogue",
]

_WITH_TRUTH = ("cis", "jis", "eis", "lpips", "ms_ssim")
_STRANGERS = 3
"""Strangers that the curves over noise put into a history."""


def evaluation_data(settings: EvaluationSettings) -> Dataset:
    """Loads the data; what the model's training has held out counts as held out.

    Raises:
        PigeonError: The data cannot be loaded, or there is no such model.
    """
    return data_for(settings.data, settings.model, settings.held_out)


def data_for(settings: DataSettings | None, model: str, held_out: Path | None = None) -> Dataset:
    """Loads data as `evaluation_data`; None are the bundled stickers."""
    settings = settings or DataSettings()
    beside = model_folder(model) / HELD_OUT
    listed = held_out or (beside if beside.is_file() else None)
    data = load_dataset(settings)
    return data if data.world or listed is None else load_dataset(settings, held_out=listed)


def shown_catalogue(summary: Mapping[str, Any]) -> tuple[Catalogue, PromptTemplate]:
    """The catalogue and the scenario of a finished evaluation, from its summary."""
    settings = EvaluationSettings.model_validate(summary["settings"])
    prompt = load_prompt(settings.scenario)
    return load_catalogue(settings.catalogue, prompt.aspect), prompt


def describe(data: Dataset, cases: pl.DataFrame) -> str:
    """What the cases are, in two or three sentences."""
    pairs = cases.filter(pl.col("truth_id").is_not_null()).height
    users = (
        "for users that no training step has seen"
        if data.world
        else "for the catalogue's users, of whom training has read other interactions"
    )
    if pairs == cases.height:
        return (
            f"{pairs} held-out (concept, style) pairs, {users}. The reference shows the concept in "
            "a style that the user does not like; the truth is the real artwork in the user's "
            "style."
        )
    single = f"{cases.height - pairs} held-out items, {users}"
    apart = "" if "style" in data.lacking else " in a style that the user does not prefer"
    own = f"The reference is the item's own picture{apart}; no truth is known."
    if not pairs:
        return f"{single}. {own}"
    return f"{pairs} held-out (concept, style) pairs with a truth and {single}. {own}"


def not_measurable(data: Dataset, judges: Judges, cases: pl.DataFrame) -> dict[str, str]:
    """Metrics and methods that have no meaning with these data -> why."""
    missing: dict[str, str] = {}
    style, concept = data.lacking.get("style"), data.lacking.get("concept")
    if judges.style is None:
        missing["style_hit"] = style or "no two styles have two pictures to learn from"
    if judges.concept is None:
        missing["concept_hit"] = concept or "no two concepts have two pictures to learn from"
    if "style_hit" in missing or "concept_hit" in missing:
        missing["both_hit"] = missing.get("style_hit") or missing["concept_hit"]
    if cases["truth_id"].null_count() == cases.height:
        why = style or concept or "no held-out concept comes in a style that a user prefers"
        truthful = [name for name, method in METHODS.items() if method.artwork == "truth_id"]
        reason = f"the right picture is not known: {why}"
        missing |= dict.fromkeys((*_WITH_TRUTH, *truthful), reason)
    return missing


def left_out_curves(settings: EvaluationSettings, cases: pl.DataFrame) -> dict[str, str]:
    """Curves that the cases are too few or too poor for -> why."""
    strangers = cases.select(pl.col("noise_ids").list.len().min()).item()
    if strangers >= _STRANGERS:
        return {}
    why = "the catalogue has too few items that are strange to a user"
    return {name: why for name in settings.curves if name in CURVES and name.startswith("noise")}
