"""Scoring candidates in batches with one scorer, compared with one by one and a scorer per metric.

The night loads the scorer once, encodes each catalogue image once and the candidates in batches,
and computes all metrics from these embeddings. The published evaluation loads a scorer for every
metric and loops over the samples, encoding each history again. Both get the same images and
weights, and must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.result import Figure, Result, stopwatch, timed
from benchmarks.runner import main
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.scoring import clip_text_score, history_similarity, reference_similarity
from pigeon_rec.scoring.scorer import Scorer, load_scorer

__all__ = ["Sample", "batched", "made_samples", "measure", "one_by_one"]

ASSETS = 512
CANDIDATES = 2  # per asset
HISTORY = 5
REPEATS = 3
MODEL = "sticker-64"

Pixels = NDArray[np.uint8]
Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Sample:
    """Candidates to score.

    Attributes:
        items: uint8 `[items, 64, 64, 3]`, images of the catalogue.
        drawn: Candidates, uint8 `[assets, candidates, 64, 64, 3]`.
        texts: Text of each request.
        history: Rows of `items`, `[assets, 5]`.
        reference: Rows of `items`, `[assets]`.
    """

    items: Pixels
    drawn: Pixels
    texts: list[str]
    history: NDArray[np.int64]
    reference: NDArray[np.int64]


def measure(_: Path, scale: float) -> Result:
    """Scores the same candidates both ways."""
    sample = made_samples(max(8, int(ASSETS * scale)))
    loading: list[float] = []
    with stopwatch(loading):
        load_scorer(MODEL)
    _check(sample)
    together, alone = timed(REPEATS, lambda: batched(sample), lambda: one_by_one(sample))
    pictures = sample.drawn.shape[0] * sample.drawn.shape[1]
    return Result(
        f"three scores of {pictures:,} candidates",
        [
            Figure("batched, scorer loaded once", together, "s", f"{pictures / together:,.0f} /s"),
            Figure("one by one, scorer per metric", alone, "s", f"{pictures / alone:,.0f} /s"),
            Figure("one by one against batched", alone / together, "times"),
            Figure("loading the scorer", loading[0], "s", "part of both: once, and three times"),
        ],
    )


def made_samples(assets: int) -> Sample:
    """Makes a sample of bundled artwork, whose content does not affect the time."""
    catalogue = load_catalogue("bundled")
    random = np.random.default_rng(0)
    rows = np.sort(random.choice(len(catalogue), min(len(catalogue), 4 * assets), replace=False))
    frame = catalogue.items[rows]
    items, _ = catalogue.images(frame["item_id"].to_list())
    reference = random.integers(0, len(items), assets)
    return Sample(
        items=items,
        drawn=items[random.integers(0, len(items), (assets, CANDIDATES))],
        texts=frame["semantics"].gather(reference).to_list(),
        history=random.integers(0, len(items), (assets, HISTORY)),
        reference=reference,
    )


def batched(sample: Sample) -> Scores:
    """Scores as the night does; every score is `[assets, candidates]`."""
    scorer = load_scorer(MODEL)
    used, places = np.unique(
        np.column_stack([sample.history, sample.reference]), return_inverse=True
    )
    items = scorer.encode_images(sample.items[used])
    rows = places.reshape(len(sample.reference), -1)
    flat = scorer.encode_images(sample.drawn.reshape(-1, *sample.drawn.shape[2:]))
    drawn = flat.reshape(*sample.drawn.shape[:2], -1)
    return {
        "text": clip_text_score(drawn, scorer.encode_texts(sample.texts)[:, None]),
        "history": history_similarity(drawn, items[rows[:, :-1]][:, None]),
        "reference": reference_similarity(drawn, items[rows[:, -1]][:, None]),
    }


def one_by_one(sample: Sample) -> Scores:
    """Scores with a scorer per metric, one image at a time; every score `[assets, candidates]`."""
    return {
        name: _walk(load_scorer(MODEL), sample, metric)
        for name, metric in (("text", _text), ("history", _history), ("reference", _reference))
    }


_Metric = Callable[[Scorer, Sample, int, NDArray[np.float32]], float]


def _walk(scorer: Scorer, sample: Sample, metric: _Metric) -> NDArray[np.float64]:
    return np.array(
        [
            [metric(scorer, sample, asset, _image(scorer, picture)) for picture in candidates]
            for asset, candidates in enumerate(sample.drawn)
        ]
    )


def _text(scorer: Scorer, sample: Sample, asset: int, drawn: NDArray[np.float32]) -> float:
    # Not `encode_texts`, which pads to whole batches: that would be unfair here.
    ids, mask = scorer.tokenizer.batch([sample.texts[asset]], scorer.module.config.text_length)
    with torch.inference_mode():
        text = scorer.module.text(ids, mask)[0].numpy()
    return float(clip_text_score(drawn, text))


def _history(scorer: Scorer, sample: Sample, asset: int, drawn: NDArray[np.float32]) -> float:
    past = np.stack([_image(scorer, sample.items[row]) for row in sample.history[asset]])
    return float(history_similarity(drawn, past))


def _reference(scorer: Scorer, sample: Sample, asset: int, drawn: NDArray[np.float32]) -> float:
    shown = _image(scorer, sample.items[sample.reference[asset]])
    return float(reference_similarity(drawn, shown))


def _image(scorer: Scorer, picture: Pixels) -> NDArray[np.float32]:
    with torch.inference_mode():
        embedding: NDArray[np.float32] = scorer.module.image(to_pixels(picture[None]))[0].numpy()
    return embedding


def _check(sample: Sample) -> None:
    """Raises LookupError if both ways give different scores."""
    few = Sample(
        sample.items, sample.drawn[:8], sample.texts[:8], sample.history[:8], sample.reference[:8]
    )
    together, alone = batched(few), one_by_one(few)
    difference = max(float(np.abs(together[name] - alone[name]).max()) for name in together)
    if difference > 1e-4:  # rounding depends on the batch size
        raise LookupError(f"scores differ by {difference:.2g}")


if __name__ == "__main__":
    main(measure)
