"""All recipes of a training configuration one after another, up to the bundled model."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.training.adapt import adopt_what_fits, adopted_in
from pigeon_rec.training.adopt import PARTS
from pigeon_rec.training.bundle import bundle
from pigeon_rec.training.configuration import TrainingConfig
from pigeon_rec.training.data import folder_data
from pigeon_rec.training.pairs import make_pairs
from pigeon_rec.training.recipes import OPTIONAL, RECIPES, run_recipe, training_artwork
from pigeon_rec.training.tracking import check_trackers

__all__ = ["train_all"]


def train_all(
    config: TrainingConfig,
    folder: Path,
    *,
    start: str | Path | None = None,
    minutes: float | None = None,
    progress: Progress = silent,
    show_progress: bool = False,
) -> Path:
    """Trains every recipe with a loop but `OPTIONAL`, makes pairs, and bundles `folder/model`.

    Finished recipes are skipped, whatever their loop; an unfinished one continues from its
    checkpoint. The data are those of the folder (`pigeon_rec.training.data`).

    Args:
        config: Sizes and loops.
        folder: Training folder.
        start: Name or folder of a model to begin with instead of random weights: its parts are
            adopted as they are where that does (`pigeon_rec.training.adapt`), else trained on.
        minutes: Shared out among the recipes, adopted ones left out; None trains as long as the
            loops say.
        progress: Called after every batch of preference windows.
        show_progress: Whether to show a bar of each recipe.

    Raises:
        ModelError: The model to start from does not exist.
        TrainingError: As `run_recipe`, `make_pairs` and `bundle`.
    """
    check_trackers(config.trackers)  # before anything takes time
    artwork = training_artwork(config, folder_data(folder))
    if start is not None:
        adopt_what_fits(config, folder, start, artwork)
    if minutes is not None:
        config = config.with_minutes(minutes, (*adopted_in(folder), *OPTIONAL))
    for name in (name for name in RECIPES if name in config.loops and name not in OPTIONAL):
        if (folder / name / "model.safetensors").is_file():
            continue
        if name == "align":
            make_pairs(config, folder, artwork=artwork, progress=progress)
        begin = start if name in PARTS else None
        run_recipe(name, config, folder, start=begin, artwork=artwork, show_progress=show_progress)
    return bundle(config, folder, folder / "model")
