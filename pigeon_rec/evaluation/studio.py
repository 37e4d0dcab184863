"""Draws what methods ask for, once: every picture is a file named by a digest of its request.

A killed evaluation goes on where it stopped, and methods that ask the same share the picture.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.config import GenerationConfig
from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.evaluation.conditioning import conditioned
from pigeon_rec.evaluation.methods import Request
from pigeon_rec.model.pipeline import PigeonPipeline, candidate_key
from pigeon_rec.model.version import model_version
from pigeon_rec.nightly.progress import Progress, silent

__all__ = ["Studio"]

_SCENARIO = "sticker"

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class _Batch:
    """Requests that the model can draw together."""

    model: str
    requests: list[Request]


class Studio:
    """Draws requests with the weights of the named models.

    Args:
        models: What `Request.model` stands for: names of bundled models, or folders.
        catalogue: Where the item pictures come from.
        settings: Sampling and diffusion; the mask ratios come from the requests.
        folder: Of the pictures.
    """

    def __init__(
        self,
        models: Mapping[str, str],
        catalogue: Catalogue,
        settings: GenerationConfig,
        folder: Path,
    ) -> None:
        self._models = dict(models)
        self._versions = {name: model_version(path) for name, path in models.items()}
        self._catalogue = catalogue
        self._settings = settings
        self._folder = folder
        self._loaded: tuple[str, PigeonPipeline] | None = None

    def draw(self, requests: Sequence[Request], *, progress: Progress = silent) -> None:
        """Draws the requests that have no picture yet.

        Args:
            requests: May repeat.
            progress: Told of pictures done; those that lie there already are counted at once.
        """
        wanted = list(dict.fromkeys(requests))
        missing = [request for request in wanted if not self._file(request).is_file()]
        done = len(wanted) - len(missing)
        progress("pictures", done, len(wanted))
        for batch in _batches(missing, size=16):
            for request, image in zip(batch.requests, self._drawn(batch), strict=True):
                _save(image, self._file(request))
            done += len(batch.requests)
            progress("pictures", done, len(wanted))

    def picture(self, request: Request) -> Images:
        """A drawn picture, uint8 `[H, W, 3]`."""
        with Image.open(self._file(request)) as image:
            return np.asarray(image.convert("RGB"), dtype=np.uint8)

    def _file(self, request: Request) -> Path:
        decided_by = {
            **dataclasses.asdict(request),
            "model": self._versions[request.model],
            "settings": self._settings.model_dump(mode="json", exclude={"mask_ratios", "enough"}),
        }
        text = json.dumps(decided_by, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self._folder / digest[:2] / f"{digest}.png"

    def _pipeline(self, model: str) -> PigeonPipeline:
        if self._loaded is None or self._loaded[0] != model:
            self._loaded = (model, PigeonPipeline.from_pretrained(self._models[model]))
        return self._loaded[1]

    def _drawn(self, batch: _Batch) -> Images:
        pipeline, requests = self._pipeline(batch.model), batch.requests
        first = requests[0]
        reference = pipeline.encode_images(self._images([r.reference for r in requests]))
        if first.round_trip:
            # With the noise of the candidate at mask ratio 0.
            keys = [candidate_key(r.key, 0.0) for r in requests]
            return pipeline.render(reference, keys, self._settings)
        length = len(first.history)
        history = self._images([item for r in requests for item in r.history])
        codes = pipeline.encode_images(history).reshape(len(requests), length, -1)
        settings = self._settings.model_copy(
            update={"mask_ratios": (first.ratio,), "history_mask_ratio": first.history_ratio}
        )
        output = conditioned(pipeline, first.conditioning).generate(
            codes,
            reference,
            self._targets([r.reference for r in requests]),
            keys=[r.key for r in requests],
            settings=settings,
            scenario=_SCENARIO,
        )
        return output.images[:, 0]

    def _images(self, item_ids: Sequence[str]) -> Images:
        images, _ = self._catalogue.images(item_ids, size=64)
        return images

    def _targets(self, item_ids: Sequence[str]) -> list[str]:
        prompt = load_prompt(_SCENARIO)
        rows = self._catalogue.rows(item_ids).select("title", "semantics", "category")
        return [prompt.target(*row) for row in rows.iter_rows()]


def _batches(requests: Sequence[Request], size: int) -> list[_Batch]:
    """Requests of one shape and one setting together, in the order they came."""
    groups: dict[tuple[object, ...], list[Request]] = {}
    for r in requests:
        alike = (r.model, r.round_trip, r.conditioning, len(r.history), r.ratio, r.history_ratio)
        groups.setdefault(alike, []).append(r)
    return [
        _Batch(group[0].model, group[start : start + size])
        for group in groups.values()
        for start in range(0, len(group), size)
    ]


def _save(image: Images, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    Image.fromarray(image).save(temporary, format="PNG")
    temporary.replace(path)
