"""Checks the quality gate of a night: its limits, and how the catalogue's own pictures do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.prompts import PromptTemplate
from pigeon_rec.data.settings import BUNDLED
from pigeon_rec.drawing.calibrations import Originals, drop_outdated
from pigeon_rec.drawing.gate import NightGate, night_gate
from pigeon_rec.drawing.models import scorer_source
from pigeon_rec.runtime.progress import Progress
from pigeon_rec.runtime.work_dir import warehouse_file
from pigeon_rec.warehouse.planning import has_nights

__all__ = ["GateCheck", "gate_check", "gate_of_check"]


@dataclass(frozen=True)
class GateCheck:
    """The limits of a night's quality gate.

    Attributes:
        chosen_by: `calibration` on the catalogue's own pictures, `settings` if they have a number,
            or `default` for the bundled stickers.
        min_text_score: Limit of the text score; -1 checks no texts.
        min_reference_likeness: Limit of the likeness to the reference; None checks none.
        pictures: Originals that were scored; 0 for the bundled stickers.
        auc: Probability that an original scores higher against its own text than another against a
            wrong one; None if too few were scored.
        own_texts_pass: Share of the originals that pass with their own text; None if no texts are
            checked or none were scored.
        wrong_texts_pass: Share that passes with a wrong text, likewise.
    """

    chosen_by: Literal["calibration", "settings", "default"]
    min_text_score: float
    min_reference_likeness: float | None
    pictures: int
    auc: float | None
    own_texts_pass: float | None
    wrong_texts_pass: float | None


def gate_of_check(
    config: NightlyConfig,
    catalogue: Catalogue,
    prompt: PromptTemplate,
    model: str,
    progress: Progress,
) -> NightGate:
    """Returns the quality gate that the night will have, and calibrates it if it has to be.

    The calibration is kept, so the night does not repeat it. Before a work directory's first night,
    pictures and texts may still change: then it is repeated for the new ones.

    Args:
        config: Settings of the night, with tables in our own form.
        catalogue: Its catalogue.
        prompt: Its scenario.
        model: Name or folder of its model.
        progress: Receives the number of pictures scored.

    Raises:
        ModelError: The model has no scorer, or the file of earlier calibrations is damaged.
    """
    if config.catalogue == BUNDLED:  # its limits are known
        return night_gate(config, catalogue, prompt, None, progress)
    from pigeon_rec.scoring.scorer import load_scorer

    used = scorer_source(model, config.scorer)
    scorer = load_scorer(used)
    if not has_nights(warehouse_file(config.work_dir)):
        originals = Originals(catalogue, prompt.scenario, used)
        drop_outdated(config.work_dir, originals, scorer.encoder_id)
    return night_gate(config, catalogue, prompt, scorer, progress, compare=True)


def gate_check(config: NightlyConfig, gate: NightGate) -> GateCheck:
    """Returns the limits of a gate as a part of the check."""
    by: Literal["calibration", "settings", "default"] = "calibration"
    if config.gate.min_text_score != "auto":
        by = "settings"
    elif config.catalogue == BUNDLED:
        by = "default"
    return GateCheck(by, **gate.summary())
