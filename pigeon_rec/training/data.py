"""The data of a training folder: recorded when it is begun, the same for all of its recipes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from pigeon_rec.data.dataset import Dataset, load_dataset, read_held_out, write_held_out
from pigeon_rec.data.settings import DataSettings
from pigeon_rec.data.world import WORLDS
from pigeon_rec.errors import TrainingError
from pigeon_rec.model.hub import cached_model
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.files import real_path, write_json
from pigeon_rec.runtime.settings import check_settings, is_query

__all__ = ["HELD_OUT", "folder_data", "started_from", "substitutes", "trained_on"]

HELD_OUT: Final = "held_out.csv"
"""List of the held-out items, in a training folder and in a model made there."""
_RECORD: Final = "data.json"
_START: Final = "start.json"


def folder_data(
    folder: Path,
    settings: DataSettings | None = None,
    *,
    started_from: Path | None = None,
    until: datetime | None = None,
) -> Dataset:
    """Loads the data of a training folder, and records them if it is new.

    What is held out is chosen once: a catalogue that has grown since then changes nothing of it.

    Args:
        folder: Training folder.
        settings: Catalogue, users and scenario; None for those that are recorded, or the bundled
            stickers.
        started_from: Folder of the model or training folder that training goes on from; what it
            has held out stays held out.
        until: Reads interactions before this time only; recorded, too.

    Raises:
        TrainingError: The folder was begun with other data.
        PigeonError: The data cannot be loaded, as `load_dataset`.
    """
    if started_from is not None and not (folder / _START).is_file():
        write_json({"model": _name_of(started_from)}, folder / _START)
    known = _recorded(folder)
    if settings is not None:
        settings = _resolved(settings)
        _check_same(folder, known, settings)
    elif known is not None:
        settings = known
    settings, listed = settings or DataSettings(), folder / HELD_OUT
    if listed.is_file():
        return load_dataset(settings, held_out=listed, until=_recorded_until(folder))
    data = load_dataset(settings, until=until)
    before = None if started_from is None else started_from / HELD_OUT
    if before is not None and before.is_file():
        also = pl.col("item_id").is_in(read_held_out(before).implode())
        items = data.items.with_columns(held_out=pl.col("held_out") | also)
        data = replace(data, items=items)
    if settings != DataSettings():
        moment = None if until is None else until.isoformat()
        write_held_out(data, listed)
        write_json(
            {"settings": settings.model_dump(mode="json"), "until": moment}, folder / _RECORD
        )
    return data


def started_from(folder: Path) -> str | None:
    """Returns the model that training in this folder started from, if that is recorded."""
    path = folder / _START
    return str(json.loads(path.read_text("utf-8"))["model"]) if path.is_file() else None


def trained_on(folder: Path) -> tuple[str, ...]:
    """Says in a sentence each what a training folder was trained on, without paths."""
    settings, until = _recorded(folder) or DataSettings(), _recorded_until(folder)
    lines = [f"Pictures: {_source(settings.catalogue)}", f"Users: {_source(settings.interactions)}"]
    lines.append(f"Scenario: {Path(settings.scenario).stem}")
    return (*lines, f"Interactions before {until:%Y-%m-%d}") if until else tuple(lines)


def _source(setting: str) -> str:
    if setting in WORLDS:
        return f"the world `{setting}` of pigeon-rec, whose users are simulated"
    return "a catalogue of the owner's" if is_query(setting) else f"`{Path(setting).name}`"


def _name_of(folder: Path) -> str:
    if (found := cached_model(folder)) is not None:
        return found.repository
    return model_version(folder) if (folder / "config.json").is_file() else folder.name


def substitutes(data: Dataset) -> Mapping[str, str]:
    """What training leaves out, or does in another way, for want of labels -> how, and why."""
    found: dict[str, str] = {}
    if "style" in data.lacking:
        why = data.lacking["style"]
        found |= {
            "style captions": f"left out: {why}",
            "style part of the scorer": f"learned from made styles alone: {why}",
            "histories of one style": f"histories of one category, in made styles: {why}",
        }
    styles = data.training_items().drop_nulls().group_by("concept").agg(pl.col("style").n_unique())
    if not (styles["style"] > 1).any():
        lack = data.lacking.get("concept") or data.lacking.get("style")
        why = lack or "no concept comes in several styles"
        found["references in another style"] = f"the target is its own reference: {why}"
    return found


def _recorded(folder: Path) -> DataSettings | None:
    """The settings that a folder was begun with; None if it has not been begun."""
    path = folder / _RECORD
    if path.is_file():
        values = json.loads(path.read_text("utf-8"))["settings"]
        return check_settings(DataSettings, values, str(path))
    # The bundled stickers leave no record.
    begun = any(folder.glob("*/model.safetensors")) or any(folder.glob("*/checkpoint"))
    return DataSettings() if begun else None


def _recorded_until(folder: Path) -> datetime | None:
    path = folder / _RECORD
    moment = json.loads(path.read_text("utf-8"))["until"] if path.is_file() else None
    return None if moment is None else datetime.fromisoformat(moment)


def _check_same(folder: Path, known: DataSettings | None, given: DataSettings) -> None:
    if known is None or known == given:
        return
    before, now = known.model_dump(), given.model_dump()
    changed = [f"{name} {before[name]!r}" for name in before if before[name] != now[name]]
    raise TrainingError(
        f"this training folder was begun with {', '.join(changed)}",
        location=str(folder),
        remedy="Leave the data options out to go on with those, or choose another folder",
    )


def _resolved(settings: DataSettings) -> DataSettings:
    """The same settings with absolute paths, so that they hold wherever a command is run."""
    paths = {
        name: str(real_path(value))
        for name, value in settings.model_dump(include={"catalogue", "interactions"}).items()
        if value not in WORLDS
    }
    if Path(settings.scenario).suffix in (".yaml", ".yml") or "/" in settings.scenario:
        paths["scenario"] = str(real_path(settings.scenario))
    return settings.model_copy(update=paths)
