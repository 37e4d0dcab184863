"""Prepares the tables of training, evaluation and weekly alignment, as those of a night."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.config import NightlyConfig, RecommenderConfig
from pigeon_rec.data.settings import DataSettings, TableSettings
from pigeon_rec.inputs.prepare import is_foreign, prepare_inputs
from pigeon_rec.runtime.progress import Progress, silent

__all__ = ["prepared_data", "tables_of_night"]


def tables_of_night(night: NightlyConfig) -> TableSettings:
    """The catalogue and users of a night, with its scenario, as data to train on."""
    return TableSettings(
        catalogue=night.catalogue,
        interactions=night.interactions,
        scenario=night.scenario,
        group_by=night.recommender.group_by,
        columns=night.columns,
        images=night.images,
    )


def prepared_data(
    settings: TableSettings, folder: Path, *, progress: Progress = silent
) -> DataSettings:
    """Imports tables that are not in our own form into `folder/inputs`, and names them there.

    Args:
        settings: The data; tables in our own form are read where they are.
        folder: Training folder, or folder of an evaluation or of alignments.
        progress: Receives the number of items read.

    Raises:
        CatalogueError, InteractionError: A table cannot be read, lacks a column, or has no usable
            row.
    """
    night = _night(settings, folder)
    if settings.taste is not None and is_foreign(night, "catalogue"):
        # An import keeps the columns that it is told to.
        keep = tuple(dict.fromkeys((*night.columns.items.keep, settings.taste)))
        items = night.columns.items.model_copy(update={"keep": keep})
        columns = night.columns.model_copy(update={"items": items})
        night = night.model_copy(update={"columns": columns})
    prepared = prepare_inputs(night, refresh=True, progress=progress).config
    tables = {"catalogue": prepared.catalogue, "interactions": prepared.interactions}
    return settings.data.model_copy(update=tables)


def _night(settings: TableSettings, folder: Path) -> NightlyConfig:
    recommender = RecommenderConfig(group_by=settings.group_by)
    named = ("catalogue", "interactions", "scenario", "columns", "images")
    given = {name: getattr(settings, name) for name in named}
    return NightlyConfig(work_dir=folder, recommender=recommender, **given)
