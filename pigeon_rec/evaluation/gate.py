"""The quality gate of an evaluation: that of a night over the same catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pigeon_rec.config import NightlyGateConfig, gate_limits
from pigeon_rec.data.dataset import Dataset
from pigeon_rec.data.settings import BUNDLED
from pigeon_rec.drawing.calibrations import Originals, drop_outdated
from pigeon_rec.drawing.gate import NightGate, calibrated_gate
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.scoring.scorer import Scorer

__all__ = ["GivenGate", "evaluation_gate"]


@dataclass(frozen=True)
class GivenGate:
    """What decides the gate besides the catalogue.

    Attributes:
        limits: Limits of the settings.
        model: Name or folder of the scorer's model.
        nights: Work directory of nights, whose calibrations come first; None for none.
        folder: Folder of the evaluation, where other calibrations are kept.
    """

    limits: NightlyGateConfig
    model: str
    nights: Path | None
    folder: Path


def evaluation_gate(
    given: GivenGate, data: Dataset, scorer: Scorer, *, progress: Progress = silent
) -> NightGate:
    """Returns the limits that a night has with this scorer on this catalogue.

    Calibrations of the nights themselves are taken as they are. Where there are none, the same
    originals are scored as a first night would score.

    Args:
        given: Settings and folders.
        data: The catalogue.
        scorer: That of `given.model`.
        progress: Receives the number of pictures scored.

    Raises:
        ModelError: A file of earlier calibrations is damaged.
    """
    if data.name == BUNDLED:
        return NightGate(gate_limits(given.limits))
    originals = Originals(data.catalogue, data.prompt.scenario, given.model)
    drop_outdated(given.folder, originals, scorer.encoder_id)
    folders = [given.folder] if given.nights is None else [given.nights, given.folder]
    return calibrated_gate(
        given.limits, originals, scorer, folders, compare=True, progress=progress
    )
