"""Draws the candidates of all methods, each once: tokens and renderings are kept as files.

Files are named by a digest of all that decides a candidate, so a killed evaluation resumes and
methods with equal candidates share them. Tokens of all candidates are written first; only
shortlisted candidates are rendered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.config import gate_limits
from pigeon_rec.data.dataset import Dataset
from pigeon_rec.drawing import Request
from pigeon_rec.drawing.drawer import Drawer
from pigeon_rec.drawing.texts import target_texts
from pigeon_rec.evaluation.baselines import baseline_models, baseline_version, load_baseline
from pigeon_rec.evaluation.conditioning import conditioned
from pigeon_rec.evaluation.methods import BASELINES, Candidate
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.model.backbones.load import load_backbone
from pigeon_rec.model.backbones.pigeon import PigeonBackbone
from pigeon_rec.model.backbones.protocol import Backbone
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.files import replacing
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.scoring import load_safety_checker
from pigeon_rec.scoring.scorer import Scorer

__all__ = ["CandidateStore"]

_BATCH: Final = 16  # requests written together

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class _Batch:
    """Requests that are written together, each at all of the mask ratios.

    Attributes:
        first: A candidate of the batch; model, conditioning and history mask are the same in all.
        requests: At most `_BATCH`, with histories of one length.
        ratios: Mask ratios of every request.
    """

    first: Candidate
    requests: list[Request]
    ratios: tuple[float, ...]

    @property
    def candidates(self) -> list[list[Candidate]]:
        """One list per request, in the order of the ratios."""
        return [
            [replace(self.first, request=request, mask_ratio=ratio) for ratio in self.ratios]
            for request in self.requests
        ]


class CandidateStore:
    """Drawn candidates in a folder, and the models that draw them.

    Args:
        settings: Generation settings, quality gate and baselines; mask ratios come from the
            candidates.
        models: What `Candidate.model` names: bundled models, or folders.
        scorer: Shortlists and chooses, whichever model draws.
        data: Catalogue and scenario.
        folder: Folder of the files.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        models: Mapping[str, str],
        scorer: Scorer,
        data: Dataset,
        folder: Path,
    ) -> None:
        self._settings = settings
        self._models = dict(models)
        self._baselines = baseline_models(settings)
        self._versions = {name: model_version(path) for name, path in models.items()}
        self._versions |= {name: baseline_version(own) for name, own in self._baselines.items()}
        self._scorer = scorer
        self._data = data
        self._folder = folder
        self._loaded: tuple[str, Drawer] | None = None

    def drawer(self, model: str) -> Drawer:
        """Draws with the named model; one model is held in memory at a time."""
        if self._loaded is None or self._loaded[0] != model:
            gate = gate_limits(self._settings.gate)
            drawer = Drawer(
                backbone=self._backbone(model),
                scorer=self._scorer,
                catalogue=self._data.catalogue,
                prompt=self._data.prompt,
                generation=self._settings.generation,
                gate=gate,
                unsafe=load_safety_checker(gate.safety),
            )
            self._loaded = (model, drawer)
        return self._loaded[1]

    def _backbone(self, model: str) -> Backbone:
        if model in self._baselines:
            return load_baseline(self._baselines[model])
        return load_backbone(self._models[model])

    def write(self, candidates: Sequence[Candidate], *, progress: Progress = silent) -> None:
        """Writes the visual tokens of the candidates that have none yet.

        Candidates may repeat. Progress counts stored ones as done. Those of other backbones than
        Pigeon have no tokens.
        """
        candidates = [one for one in candidates if one.model not in BASELINES]
        missing, done, total = _missing(candidates, self._codes_file)
        progress("candidates written", done, total)
        for batch in _batches(missing):
            for some, written in zip(batch.candidates, self._write(batch), strict=True):
                for candidate, codes in zip(some, written, strict=True):
                    with replacing(self._codes_file(candidate)) as path:
                        np.save(path, codes)
            done += len(batch.requests) * len(batch.ratios)
            progress("candidates written", done, total)

    def render(self, candidates: Sequence[Candidate], *, progress: Progress = silent) -> None:
        """Renders the candidates that have no rendering yet; their tokens must be written.

        Candidates may repeat. Progress counts stored ones as done.
        """
        missing, done, total = _missing(candidates, self._rendering_file)
        progress("renderings", done, total)
        for candidate in sorted(missing, key=lambda candidate: candidate.model):
            image = self._rendered(candidate)
            with replacing(self._rendering_file(candidate)) as path:
                Image.fromarray(image).save(path, format="PNG")
            done += 1
            progress("renderings", done, total)

    def _rendered(self, candidate: Candidate) -> Images:
        request = candidate.request
        drawer = self.drawer(candidate.model)
        if candidate.model in BASELINES:  # it chooses among its own candidates, as in a night
            return drawer.draw([request], drawer.items([request]))[0].image
        drawer = drawer.with_generation(mask_ratios=(candidate.mask_ratio,))
        codes = self.codes([candidate])[None]
        return drawer.render(codes, [request], np.zeros((1, 1), np.int64))[0, 0]

    def codes(self, candidates: Sequence[Candidate]) -> NDArray[np.int64]:
        """Visual tokens of written candidates, int64 `[n, P]`."""
        return np.stack([np.load(self._codes_file(candidate)) for candidate in candidates])

    def renderings(self, candidates: Sequence[Candidate]) -> Images:
        """Rendered candidates, uint8 `[n, side, side, 3]`."""
        return np.stack([_read(self._rendering_file(candidate)) for candidate in candidates])

    def _rendering_file(self, candidate: Candidate) -> Path:
        return self._stem(candidate).with_suffix(".png")

    def _codes_file(self, candidate: Candidate) -> Path:
        return self._stem(candidate).with_suffix(".npy")

    def _stem(self, candidate: Candidate) -> Path:
        generation = self._settings.generation
        decided_by = {
            **dataclasses.asdict(candidate),
            "model": self._versions[candidate.model],
            "settings": generation.model_dump(mode="json", exclude={"mask_ratios", "rendered"}),
        }
        if self._data.world is None:  # another catalogue may have the same ids
            catalogue, shown = self._data.catalogue, candidate.request.items
            decided_by["pictures"] = catalogue.image_hashes(shown)
            decided_by["texts"] = target_texts(self._data.prompt, catalogue.rows(shown))
            decided_by["scenario"] = self._data.prompt.identity
        name = digest(decided_by)[:32]
        return self._folder / name[:2] / name

    def _write(self, batch: _Batch) -> NDArray[np.int64]:
        """Visual tokens int64 `[requests, ratios, P]`."""
        drawer, first = self.drawer(batch.first.model), batch.first
        items = drawer.items(batch.requests)
        if first.round_trip:
            return drawer.codes(items)[items.rows([r.reference for r in batch.requests])][:, None]
        pipeline = conditioned(drawer.pipeline, first.conditioning)
        drawer = replace(drawer, backbone=PigeonBackbone(pipeline))
        return drawer.with_generation(
            mask_ratios=batch.ratios, history_mask_ratio=first.history_mask_ratio
        ).write(batch.requests, items)


def _missing(
    candidates: Sequence[Candidate], file: Callable[[Candidate], Path]
) -> tuple[list[Candidate], int, int]:
    """Candidates without such a file, each once; how many have one; how many there are."""
    unique = list(dict.fromkeys(candidates))
    missing = [candidate for candidate in unique if not file(candidate).is_file()]
    return missing, len(unique) - len(missing), len(unique)


def _batches(candidates: Sequence[Candidate]) -> list[_Batch]:
    """Groups candidates that can be written together, in their order."""
    ratios: dict[Candidate, list[float]] = {}
    for candidate in candidates:
        ratios.setdefault(replace(candidate, mask_ratio=0.0), []).append(candidate.mask_ratio)
    groups: dict[tuple[Candidate, int, tuple[float, ...]], list[Candidate]] = {}
    for candidate, own in ratios.items():
        length = len(candidate.request.history)
        alike = (replace(candidate, request=Request("", (), "")), length, tuple(own))
        groups.setdefault(alike, []).append(candidate)
    return [
        _Batch(group[0], [c.request for c in group[start : start + _BATCH]], own_ratios)
        for (_, _, own_ratios), group in groups.items()
        for start in range(0, len(group), _BATCH)
    ]


def _read(path: Path) -> Images:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
