"""Draws what methods ask for, once: tokens and picture are files named by a digest of the request.

Tokens are written first, and of those that a case is not likely to choose no picture is rendered. A
killed evaluation goes on where it stopped, and methods that ask the same share both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.config import GenerationConfig
from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.evaluation.conditioning import conditioned
from pigeon_rec.evaluation.methods import Request
from pigeon_rec.model.loading import load_pipeline
from pigeon_rec.model.pipeline import Pipeline
from pigeon_rec.model.requests import CodedRequests, candidate_key
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.progress import Progress, silent

__all__ = ["Studio"]

_SCENARIO = "sticker"

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class _Batch:
    """What the model can write together: requests that differ in their mask ratio, as one.

    Attributes:
        asked: One request for each of its ratios.
        ratios: Mask ratios that are asked of all of them.
    """

    asked: list[Request]
    ratios: tuple[float, ...]

    @property
    def requests(self) -> list[Request]:
        """Every request, ratio after ratio."""
        return [replace(one, ratio=ratio) for ratio in self.ratios for one in self.asked]


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
        self._loaded: tuple[str, Pipeline] | None = None

    def write(self, requests: Sequence[Request], *, progress: Progress = silent) -> None:
        """Writes the visual tokens of the requests that have none yet.

        Args:
            requests: May repeat.
            progress: Told of requests done; those that lie there already are counted at once.
        """
        missing, done, total = _missing(requests, self._codes_file)
        progress("requests written", done, total)
        for batch in _batches(missing, size=16):
            for request, codes in zip(batch.requests, self._written(batch), strict=True):
                _save(partial(np.save, arr=codes), self._codes_file(request))
            done += len(batch.requests)
            progress("requests written", done, total)

    def render(self, requests: Sequence[Request], *, progress: Progress = silent) -> None:
        """Renders the requests that have no picture yet; their tokens have to be written.

        Args:
            requests: May repeat.
            progress: Told of pictures done; those that lie there already are counted at once.
        """
        missing, done, total = _missing(requests, self._picture_file)
        progress("pictures", done, total)
        for request in sorted(missing, key=lambda request: request.model):
            keys = [candidate_key(request.key, request.ratio)]
            codes, pipeline = self._codes([request]), self._pipeline(request.model)
            image = Image.fromarray(pipeline.render(codes, keys, self._settings)[0])
            _save(partial(image.save, format="PNG"), self._picture_file(request))
            done += 1
            progress("pictures", done, total)

    def has_previews(self, model: str) -> bool:
        """Whether the named model has them."""
        return self._pipeline(model).has_previews

    def previews(self, requests: Sequence[Request]) -> Images:
        """Rough pictures of written requests of one model, uint8 `[n, H, W, 3]`."""
        return self._pipeline(requests[0].model).preview(self._codes(requests))

    def picture(self, request: Request) -> Images:
        """A rendered picture, uint8 `[H, W, 3]`."""
        with Image.open(self._picture_file(request)) as image:
            return np.asarray(image.convert("RGB"), dtype=np.uint8)

    def _picture_file(self, request: Request) -> Path:
        return self._place(request).with_suffix(".png")

    def _codes_file(self, request: Request) -> Path:
        return self._place(request).with_suffix(".npy")

    def _codes(self, requests: Sequence[Request]) -> NDArray[np.int64]:
        return np.stack([np.load(self._codes_file(request)) for request in requests])

    def _place(self, request: Request) -> Path:
        decided_by = {
            **dataclasses.asdict(request),
            "model": self._versions[request.model],
            "settings": self._settings.model_dump(mode="json", exclude={"mask_ratios", "rendered"}),
        }
        text = json.dumps(decided_by, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self._folder / digest[:2] / digest

    def _pipeline(self, model: str) -> Pipeline:
        if self._loaded is None or self._loaded[0] != model:
            self._loaded = (model, load_pipeline(self._models[model]))
        return self._loaded[1]

    def _written(self, batch: _Batch) -> NDArray[np.int64]:
        """Visual tokens int64 `[n, P]`, in the order of the batch's requests."""
        asked, first = batch.asked, batch.asked[0]
        pipeline = self._pipeline(first.model)
        reference = pipeline.encode_images(self._images([r.reference for r in asked]))
        if first.round_trip:
            return reference
        history = self._images([item for r in asked for item in r.history])
        codes = pipeline.encode_images(history).reshape(len(asked), len(first.history), -1)
        settings = self._settings.model_copy(
            update={"mask_ratios": batch.ratios, "history_mask_ratio": first.history_ratio}
        )
        targets, keys = self._targets([r.reference for r in asked]), [r.key for r in asked]
        requests = CodedRequests(codes, reference, targets, keys, _SCENARIO)
        written = conditioned(pipeline, first.conditioning).write(requests, settings)
        return written.swapaxes(0, 1).reshape(-1, written.shape[-1])

    def _images(self, item_ids: Sequence[str]) -> Images:
        images, _ = self._catalogue.images(item_ids, size=64)
        return images

    def _targets(self, item_ids: Sequence[str]) -> list[str]:
        prompt = load_prompt(_SCENARIO)
        rows = self._catalogue.rows(item_ids).select("title", "semantics", "category")
        return [prompt.target(*row) for row in rows.iter_rows()]


def _missing(
    requests: Sequence[Request], file: Callable[[Request], Path]
) -> tuple[list[Request], int, int]:
    """The requests that have no such file yet, each once, how many have one, and all together."""
    wanted = list(dict.fromkeys(requests))
    missing = [request for request in wanted if not file(request).is_file()]
    return missing, len(wanted) - len(missing), len(wanted)


def _batches(requests: Sequence[Request], size: int) -> list[_Batch]:
    """Requests of one shape and one setting together, in the order they came."""
    ratios: dict[Request, list[float]] = {}
    for request in requests:
        ratios.setdefault(replace(request, ratio=0.0), []).append(request.ratio)
    groups: dict[tuple[object, ...], list[Request]] = {}
    for r, some in ratios.items():
        alike = (r.model, r.round_trip, r.conditioning, len(r.history), r.history_ratio, *some)
        groups.setdefault(alike, []).append(r)
    return [
        _Batch(group[start : start + size], tuple(ratios[group[0]]))
        for group in groups.values()
        for start in range(0, len(group), size)
    ]


def _save(write: Callable[[BinaryIO], object], path: Path) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        write(file)
    temporary.replace(path)
