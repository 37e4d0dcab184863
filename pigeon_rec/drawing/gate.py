"""The limits of a night's quality gate: given in the settings, or calibrated on the catalogue.

Calibrations are kept in `<work dir>/gate.json`, by scenario, scorer and pictures, and used until
`pigeon-rec gate calibrate` replaces them: the limits are part of every `asset_key`, so that other
limits draw every picture anew. A catalogue that grows keeps its calibration as long as it has half
of the pictures that were scored.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import TypeAdapter

from pigeon_rec.config import NightlyConfig, QualityGateConfig, gate_limits
from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.dataset import read_held_out
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.drawing.models import night_model, scorer_source
from pigeon_rec.drawing.texts import described_texts
from pigeon_rec.errors import ModelError, PlanError, error_text
from pigeon_rec.model.backbones.kinds import is_function
from pigeon_rec.model.paths import model_folder
from pigeon_rec.runtime.files import read_json, write_json
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.runtime.work_dir import gate_file
from pigeon_rec.scoring.calibration import FEWEST, GateCalibration, calibrate

__all__ = [
    "SAMPLE",
    "ImageTextScorer",
    "KeptCalibration",
    "NightGate",
    "calibrate_gate",
    "night_gate",
    "read_night_gate",
]

SAMPLE: Final = 1000
"""Most pictures that are scored: those whose ids have the lowest hashes, so that the sample hardly
changes as a catalogue grows."""

_LEFT: Final = 0.5
_MOSTLY_LEFT: Final = 0.8
_SIZE: Final = 64
_AT_ONCE: Final = 250
_NOT_CALIBRATED: Final = "bundled"
"""The catalogue that the default limit was measured on."""


@runtime_checkable
class ImageTextScorer(Protocol):
    """The part of a scorer that calibration uses (`pigeon_rec.scoring.scorer.Scorer`)."""

    encoder_id: str

    def encode_images(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """uint8 `[n, size, size, 3]` -> float32 `[n, dim]`."""

    def encode_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Texts -> float32 `[n, text dim]`."""


@dataclass(frozen=True)
class KeptCalibration:
    """A calibration, and what it was made from.

    Attributes:
        scenario: Name of the scenario.
        scorer: Identifies the scorer's weights.
        limits: The limits and their grounds.
        held_out: Whether the training of the scorer has never seen the pictures.
        sample: Item id -> SHA-256 of each picture that was scored.
    """

    scenario: str
    scorer: str
    limits: GateCalibration
    held_out: bool
    sample: Mapping[str, str]

    def left(self, catalogue: Catalogue) -> float:
        """Returns the share of its pictures that the catalogue still has."""
        rows = catalogue.items.select("item_id", "image_sha256").iter_rows()
        return round(len(self.sample.items() & dict(rows).items()) / max(1, len(self.sample)), 4)

    def facts(self) -> dict[str, Any]:
        """Returns everything but the sample as JSON values."""
        return {**dataclasses.asdict(self), "sample": len(self.sample)}


@dataclass(frozen=True)
class NightGate:
    """The quality gate of one night.

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

    def warnings(self) -> tuple[str, ...]:
        """Returns what a team should know of the gate, each a sentence."""
        found = self.calibration
        if found is None:
            return ()
        return (*found.warnings(self.limits.min_text_score), *self._outdated())

    def _outdated(self) -> Iterator[str]:
        if self.left < _MOSTLY_LEFT:
            yield (
                f"The quality gate was calibrated on pictures of which {1 - self.left:.0%} are no "
                "longer in the catalogue. `pigeon-rec gate calibrate` takes the present ones; "
                "another limit draws all pictures anew."
            )


def night_gate(
    config: NightlyConfig,
    catalogue: Catalogue,
    prompt: PromptTemplate,
    scorer: object,
    progress: Progress = silent,
) -> NightGate:
    """Returns the quality gate of a night, and calibrates it if it has to be.

    Args:
        config: Settings of the night. A given `gate.min_text_score` is taken as it is.
        catalogue: The catalogue of `config`.
        prompt: Its scenario.
        scorer: The model's. One that cannot read texts (no `ImageTextScorer`) calibrates nothing.
        progress: Receives the number of pictures scored.

    Raises:
        ModelError: The file of earlier calibrations is damaged.
    """
    gate = gate_limits(config.gate)
    if config.catalogue == _NOT_CALIBRATED or not isinstance(scorer, ImageTextScorer):
        return NightGate(gate)
    kept, left = _kept(config.work_dir, catalogue, prompt.scenario, scorer.encoder_id)
    if config.gate.min_text_score != "auto":
        return NightGate(gate) if kept is None else NightGate(gate, kept.limits, left)
    if kept is None:
        kept, left = _calibrate(config, catalogue, prompt, scorer, progress), 1.0
    found: dict[str, Any] = {"min_text_score": kept.limits.min_text_score}
    if gate.min_reference_likeness is None:
        found["min_reference_likeness"] = kept.limits.min_reference_likeness
    return NightGate(gate.model_copy(update=found), kept.limits, left)


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

    prompt = load_prompt(config.scenario)
    scorer = load_scorer(scorer_source(night_model(config).source, config.scorer))
    catalogue = load_catalogue(config.catalogue, prompt.aspect)
    return _calibrate(config, catalogue, prompt, scorer, progress)


def _calibrate(
    config: NightlyConfig,
    catalogue: Catalogue,
    prompt: PromptTemplate,
    scorer: ImageTextScorer,
    progress: Progress,
) -> KeptCalibration:
    item_ids, held_out = _sample(config, catalogue)
    usable, images = _embed(catalogue, item_ids, scorer, progress)
    rows = catalogue.rows(usable)
    texts = described_texts(rows)
    made = KeptCalibration(
        scenario=prompt.scenario,
        scorer=scorer.encoder_id,
        limits=calibrate(images, scorer.encode_texts(texts), texts),
        held_out=held_out,
        sample=dict(rows.select("item_id", "image_sha256").iter_rows()),
    )
    replaced, _ = _kept(config.work_dir, catalogue, made.scenario, made.scorer)
    others = [kept for kept in _read(config.work_dir) if kept != replaced]
    everything = [dataclasses.asdict(kept) for kept in (*others, made)]
    write_json({"calibrations": everything}, gate_file(config.work_dir))
    return made


def _embed(
    catalogue: Catalogue, item_ids: list[str], scorer: ImageTextScorer, progress: Progress
) -> tuple[list[str], NDArray[np.float32]]:
    """Returns the items whose pictures can be used, and their embeddings `[n, dim]`."""
    usable: list[str] = []
    vectors: list[NDArray[np.float32]] = []
    for start in range(0, len(item_ids), _AT_ONCE):
        part = item_ids[start : start + _AT_ONCE]
        images, problems = catalogue.images(part, size=_SIZE)
        broken = {problem.subject for problem in problems}
        sound = [place for place, item in enumerate(part) if item not in broken]
        usable += [part[place] for place in sound]
        vectors.append(scorer.encode_images(images[sound]))
        progress("pictures for the quality gate", start + len(part), len(item_ids))
    return usable, np.concatenate(vectors)


def _sample(config: NightlyConfig, catalogue: Catalogue) -> tuple[list[str], bool]:
    """Returns items with different pictures, and whether training has never seen them."""
    items = catalogue.items.unique("image_sha256", keep="first", maintain_order=True)
    unseen = items.filter(_never_seen(config, items))
    held_out = unseen.height >= FEWEST
    ids = (unseen if held_out else items)["item_id"].to_list()
    return sorted(ids, key=lambda item: hashlib.sha256(item.encode()).digest())[:SAMPLE], held_out


def _never_seen(config: NightlyConfig, items: pl.DataFrame) -> pl.Series:
    """Which items the catalogue itself, or the training of the model, has held out."""
    if "held_out" in items.columns:
        return items["held_out"]
    source = night_model(config).source
    listed = None if is_function(source) else model_folder(source) / "held_out.csv"
    known = listed is not None and listed.is_file()
    ids = read_held_out(listed) if listed and known else pl.Series([], dtype=pl.String())
    return items["item_id"].is_in(ids.implode())


def _kept(
    work_dir: Path, catalogue: Catalogue, scenario: str, scorer: str
) -> tuple[KeptCalibration | None, float]:
    """Returns the calibration with most pictures of the catalogue, and their share."""
    known = [k for k in _read(work_dir) if (k.scenario, k.scorer) == (scenario, scorer)]
    shares = [(kept.left(catalogue), place) for place, kept in enumerate(known)]
    left, place = max(shares, default=(0.0, -1))
    return (known[place], left) if left >= _LEFT else (None, 0.0)


def _read(work_dir: Path) -> list[KeptCalibration]:
    path = gate_file(work_dir)
    try:
        return TypeAdapter(list[KeptCalibration]).validate_python(read_json(path)["calibrations"])
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the calibrations of the quality gate are damaged ({error_text(error)})",
            location=str(path.absolute()),
            remedy="Remove the file, and run `pigeon-rec gate calibrate`",
        ) from error
