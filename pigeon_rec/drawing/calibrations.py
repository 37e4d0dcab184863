"""Calibrations of the quality gate on a catalogue's own pictures: made, kept and found again.

They are kept in `gate.json` of a folder, by scenario, scorer and pictures. A catalogue that grows
keeps its calibration as long as it has half of the pictures that were scored.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import TypeAdapter

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.dataset import read_held_out
from pigeon_rec.drawing.texts import described_texts
from pigeon_rec.errors import ModelError, error_text
from pigeon_rec.model.paths import model_folder
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.files import read_json, write_json
from pigeon_rec.runtime.progress import Progress
from pigeon_rec.runtime.work_dir import gate_file
from pigeon_rec.scoring.calibration import FEWEST, GateCalibration, calibrate

__all__ = [
    "SAMPLE",
    "ImageTextScorer",
    "KeptCalibration",
    "Originals",
    "drop_outdated",
    "find_calibration",
    "make_calibration",
]

SAMPLE: Final = 1000
"""Most pictures that are scored: those whose ids have the lowest hashes, so that the sample hardly
changes as a catalogue grows."""

_LEFT: Final = 0.5
_SIZE: Final = 64
_AT_ONCE: Final = 250


@runtime_checkable
class ImageTextScorer(Protocol):
    """The part of a scorer that calibration uses (`pigeon_rec.scoring.scorer.Scorer`)."""

    encoder_id: str

    def encode_images(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """uint8 `[n, size, size, 3]` -> float32 `[n, dim]`."""

    def encode_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Texts -> float32 `[n, text dim]`."""


@dataclass(frozen=True)
class Originals:
    """What a quality gate is calibrated on: the pictures of a catalogue, in a scenario.

    Attributes:
        catalogue: The pictures and their texts.
        scenario: Name of the scenario.
        model: Name or folder of the scorer's model; pictures that its training has held out are
            preferred.
    """

    catalogue: Catalogue
    scenario: str
    model: str


@dataclass(frozen=True)
class KeptCalibration:
    """A calibration, and what it was made from.

    Attributes:
        scenario: Name of the scenario.
        scorer: Identifies the scorer's weights.
        limits: The limits and their grounds.
        held_out: Whether the training of the scorer has never seen the pictures.
        sample: Item id -> SHA-256 of each picture that was scored.
        made_from: Digest of the pictures that were chosen, usable or not, and of their texts.
    """

    scenario: str
    scorer: str
    limits: GateCalibration
    held_out: bool
    sample: Mapping[str, str]
    made_from: str = ""

    def left(self, catalogue: Catalogue) -> float:
        """Returns the share of its pictures that the catalogue still has."""
        rows = catalogue.items.select("item_id", "image_sha256").iter_rows()
        return round(len(self.sample.items() & dict(rows).items()) / max(1, len(self.sample)), 4)


def find_calibration(
    folders: Iterable[Path], originals: Originals, scorer: str
) -> tuple[KeptCalibration | None, float]:
    """Finds the calibration with most pictures of a catalogue.

    Args:
        folders: Where calibrations may be kept; of equal ones that of the first folder is taken.
        originals: The catalogue.
        scorer: Identifies the scorer's weights.

    Returns:
        The calibration, and the share of its pictures that the catalogue still has; None and 0 if
        none has half of them.

    Raises:
        ModelError: The file of the calibrations is damaged.
    """
    known = [
        kept
        for folder in folders
        for kept in _read(folder)
        if (kept.scenario, kept.scorer) == (originals.scenario, scorer)
    ]
    shares = [(kept.left(originals.catalogue), -place) for place, kept in enumerate(known)]
    left, place = max(shares, default=(0.0, 0))
    return (known[-place], left) if left >= _LEFT else (None, 0.0)


def make_calibration(
    folder: Path, originals: Originals, scorer: ImageTextScorer, progress: Progress
) -> KeptCalibration:
    """Calibrates on a catalogue, and keeps the result in a folder in place of the one found there.

    Args:
        folder: Where it is kept.
        originals: The catalogue.
        scorer: The scorer of `originals.model`.
        progress: Receives the number of pictures scored.

    Raises:
        ModelError: The file of earlier calibrations is damaged.
    """
    replaced, _ = find_calibration([folder], originals, scorer.encoder_id)
    item_ids, held_out = _sample(originals)
    usable, images = _embed(originals.catalogue, item_ids, scorer, progress)
    rows = originals.catalogue.rows(usable)
    texts = described_texts(rows)
    made = KeptCalibration(
        scenario=originals.scenario,
        scorer=scorer.encoder_id,
        limits=calibrate(images, scorer.encode_texts(texts), texts),
        held_out=held_out,
        sample=dict(rows.select("item_id", "image_sha256").iter_rows()),
        made_from=_digest(originals.catalogue, item_ids),
    )
    _write(folder, [*(kept for kept in _read(folder) if kept != replaced), made])
    return made


def drop_outdated(folder: Path, originals: Originals, scorer: str) -> None:
    """Removes a calibration of other pictures or texts than would be scored now.

    Only for folders whose nights have drawn nothing yet: another limit draws all pictures anew.

    Raises:
        ModelError: The file of the calibrations is damaged.
    """
    kept, _ = find_calibration([folder], originals, scorer)
    if kept is None:
        return
    item_ids, _ = _sample(originals)
    # Pictures that could not be used then may be usable now.
    whole = len(kept.sample) == len(item_ids)
    if not whole or kept.made_from != _digest(originals.catalogue, item_ids):
        _write(folder, [other for other in _read(folder) if other != kept])


def _digest(catalogue: Catalogue, item_ids: list[str]) -> str:
    rows = catalogue.rows(item_ids)
    return digest([rows.select("item_id", "image_sha256").rows(), described_texts(rows)])


def _write(folder: Path, calibrations: Iterable[KeptCalibration]) -> None:
    everything = [dataclasses.asdict(kept) for kept in calibrations]
    write_json({"calibrations": everything}, gate_file(folder))


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


def _sample(originals: Originals) -> tuple[list[str], bool]:
    """Returns items with different pictures, and whether training has never seen them."""
    items = originals.catalogue.items.unique("image_sha256", keep="first", maintain_order=True)
    unseen = items.filter(_never_seen(originals.model, items))
    held_out = unseen.height >= FEWEST
    ids = (unseen if held_out else items)["item_id"].to_list()
    return sorted(ids, key=lambda item: hashlib.sha256(item.encode()).digest())[:SAMPLE], held_out


def _never_seen(model: str, items: pl.DataFrame) -> pl.Series:
    """Which items the catalogue itself, or the training of the model, has held out."""
    if "held_out" in items.columns:
        return items["held_out"]
    listed = model_folder(model) / "held_out.csv"
    ids = read_held_out(listed) if listed.is_file() else pl.Series([], dtype=pl.String())
    return items["item_id"].is_in(ids.implode())


def _read(folder: Path) -> list[KeptCalibration]:
    path = gate_file(folder)
    try:
        content: Any = read_json(path)
        return TypeAdapter(list[KeptCalibration]).validate_python(content["calibrations"])
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the calibrations of the quality gate are damaged ({error_text(error)})",
            location=str(path.absolute()),
            remedy="Remove the file, and run `pigeon-rec gate calibrate`",
        ) from error
