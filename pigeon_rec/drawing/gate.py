"""The limits of a quality gate: given in the settings, or calibrated on the catalogue.

A night uses the calibrations in `<work dir>/gate.json` until `pigeon-rec gate calibrate` replaces
them: the limits are part of every `asset_key`, so that other limits draw every picture anew.
`pigeon_rec.drawing.calibrations` makes and finds them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from pigeon_rec.config import NightlyConfig, NightlyGateConfig, QualityGateConfig, gate_limits
from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.data.settings import BUNDLED
from pigeon_rec.drawing.calibrations import (
    ImageTextScorer,
    KeptCalibration,
    Originals,
    find_calibration,
    make_calibration,
)
from pigeon_rec.drawing.models import model_source, scorer_source
from pigeon_rec.errors import PlanError, error_text
from pigeon_rec.runtime.files import read_json
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.scoring.calibration import GateCalibration, GateWarning

__all__ = [
    "NightGate",
    "calibrate_gate",
    "calibrated_gate",
    "night_gate",
    "read_night_gate",
]

_MOSTLY_LEFT: Final = 0.8


@dataclass(frozen=True)
class NightGate:
    """The quality gate of one night, or of an evaluation.

    Attributes:
        limits: All limits, as numbers.
        calibration: The calibration that they are from, or that a given limit can be compared
            with; None if there is none.
        left: Share of the calibration's pictures that are still in the catalogue.
    """

    limits: QualityGateConfig
    calibration: GateCalibration | None = None
    left: float = 1.0

    def facts(self) -> dict[str, Any]:
        """Returns the gate as JSON values, for the night's `gate.json`."""
        found = None if self.calibration is None else dataclasses.asdict(self.calibration)
        limits = self.limits.model_dump(mode="json")
        return {"limits": limits, "calibration": found, "left": self.left}

    def summary(self) -> dict[str, Any]:
        """Returns the calibrated limits and how they do on the catalogue's own pictures.

        The shares that pass are None where texts are not checked, or no picture was scored.
        """
        limits, found = self.limits, self.calibration
        passing = None if found is None else found.passing(limits.min_text_score)
        own, wrong = passing or (None, None)
        return {
            "min_text_score": limits.min_text_score,
            "min_reference_likeness": limits.min_reference_likeness,
            "pictures": 0 if found is None else found.pictures,
            "auc": None if found is None else found.auc,
            "own_texts_pass": own,
            "wrong_texts_pass": wrong,
        }

    def warnings(self) -> tuple[GateWarning, ...]:
        """Returns what a team should know of the gate."""
        found = self.calibration
        if found is None:
            return ()
        return (*found.warnings(self.limits.min_text_score), *self._outdated())

    def _outdated(self) -> Iterator[GateWarning]:
        if self.left < _MOSTLY_LEFT:
            yield GateWarning(
                f"The quality gate was calibrated on pictures of which {1 - self.left:.0%} are no "
                "longer in the catalogue",
                "`pigeon-rec gate calibrate` takes the present ones; another limit draws all "
                "pictures anew",
            )


def calibrated_gate(
    given: NightlyGateConfig,
    originals: Originals,
    scorer: object,
    folders: Sequence[Path],
    *,
    compare: bool = False,
    progress: Progress = silent,
) -> NightGate:
    """Returns the limits for a catalogue, and calibrates them if they have to be.

    Args:
        given: The settings. A number in `min_text_score` is taken as it is.
        originals: The catalogue.
        scorer: That of `originals.model`. One that cannot read texts (no `ImageTextScorer`)
            calibrates nothing, and the default limit holds.
        folders: Where calibrations are looked for, in this order; a new one is kept in the last.
        compare: Calibrates also where the settings have a number, to tell what it means.
        progress: Receives the number of pictures scored.

    Raises:
        ModelError: The file of earlier calibrations is damaged.
    """
    limits = gate_limits(given)
    if not isinstance(scorer, ImageTextScorer):
        return NightGate(limits)
    kept, left = find_calibration(folders, originals, scorer.encoder_id)
    automatic = given.min_text_score == "auto"
    if kept is None and (automatic or compare):
        kept, left = make_calibration(folders[-1], originals, scorer, progress), 1.0
    if kept is None:
        return NightGate(limits)
    if not automatic:
        return NightGate(limits, kept.limits, left)
    found: dict[str, Any] = {"min_text_score": kept.limits.min_text_score}
    if limits.min_reference_likeness is None:
        found["min_reference_likeness"] = kept.limits.min_reference_likeness
    return NightGate(limits.model_copy(update=found), kept.limits, left)


def night_gate(
    config: NightlyConfig,
    catalogue: Catalogue,
    prompt: PromptTemplate,
    scorer: object,
    progress: Progress = silent,
    *,
    compare: bool = False,
) -> NightGate:
    """Returns the quality gate of a night as `calibrated_gate`.

    The default limit was measured on the bundled catalogue, which is never calibrated.

    Args:
        config: Settings of the night; calibrations are kept in its work directory.
        catalogue: The catalogue of `config`.
        prompt: Its scenario.
        scorer: The model's.
        progress: Receives the number of pictures scored.
        compare: As in `calibrated_gate`.

    Raises:
        ModelError: The file of earlier calibrations is damaged.
    """
    if config.catalogue == BUNDLED:
        return NightGate(gate_limits(config.gate))
    model = _scorer_model(config)
    originals = Originals(catalogue, prompt.scenario, model)
    return calibrated_gate(
        config.gate, originals, scorer, [config.work_dir], compare=compare, progress=progress
    )


def read_night_gate(path: Path, config: NightlyConfig) -> NightGate:
    """Reads the quality gate of a planned night.

    A plan of an earlier version has no such file; its limits are those of the settings.

    Args:
        path: The night's `gate.json`.
        config: Settings of the night.

    Raises:
        PlanError: The file is damaged.
    """
    try:
        return TypeAdapter(NightGate).validate_python(read_json(path))
    except FileNotFoundError:
        return NightGate(gate_limits(config.gate))
    except (OSError, ValueError) as error:
        raise PlanError(
            f"the quality gate of the night is damaged ({error_text(error)})",
            location=str(path),
            remedy="Run `pigeon-rec nightly plan` for this date again",
        ) from error


def calibrate_gate(config: NightlyConfig, *, progress: Progress = silent) -> KeptCalibration:
    """Calibrates the quality gate on the catalogue of a night, and keeps the result for its nights.

    `config` has tables in our own form (`pigeon_rec.inputs.prepare`).

    Raises:
        CatalogueError: The catalogue cannot be read.
        ModelError: The model has no scorer, or the file of earlier calibrations is damaged.
    """
    from pigeon_rec.scoring.scorer import load_scorer

    prompt, model = load_prompt(config.scenario), _scorer_model(config)
    catalogue = load_catalogue(config.catalogue, prompt.aspect)
    originals = Originals(catalogue, prompt.scenario, model)
    return make_calibration(config.work_dir, originals, load_scorer(model), progress)


def _scorer_model(config: NightlyConfig) -> str:
    """Name or folder of the model whose scorer the night uses."""
    return scorer_source(model_source(config.model, config.work_dir), config.scorer)
