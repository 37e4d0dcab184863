"""Candidates of training windows, their scores, and the preference pairs they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.data.dataset import Dataset
from pigeon_rec.drawing import Request
from pigeon_rec.drawing.choice import Conditions
from pigeon_rec.drawing.drawer import Drawer
from pigeon_rec.drawing.items import ItemTable
from pigeon_rec.drawing.texts import target_texts
from pigeon_rec.model.backbones.pigeon import PigeonBackbone
from pigeon_rec.placement import Placement
from pigeon_rec.scoring import combine_scores
from pigeon_rec.scoring.scorer import ImageTextEncoder, Scorer
from pigeon_rec.training.artwork import ArtworkTensors, TrainingArtwork
from pigeon_rec.training.bundle import assemble
from pigeon_rec.training.configuration import PairsConfig, TrainingConfig
from pigeon_rec.training.devices import new_accelerator
from pigeon_rec.training.frozen import load_part
from pigeon_rec.training.restyle import other_style
from pigeon_rec.training.windows import load_windows

__all__ = [
    "CANDIDATES",
    "COPY",
    "STRANGER",
    "PairMaker",
    "WindowBatch",
    "conditioning",
    "load_drawer",
    "pick_pairs",
]

CANDIDATES, COPY, STRANGER = "candidates", "copy", "stranger"
"""What a pair rejects: a candidate, the reference's own codes, a picture for another history."""

_TEXT_LOSS = 0.05
"""What a hard negative may win in text: the reference's own picture shows its concept well."""
_WINDOW = ("user_id", "position", "history_ids", "target_id")

Scores = NDArray[np.float64]
Codes = NDArray[np.int64]


def pick_pairs(
    history_scores: Scores, text_scores: Scores, codes: Codes, settings: PairsConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Chooses two candidates of every window, and says whether they are a pair.

    Of all two candidates with different codes, of which one wins both text and history by
    `min_margin`, those with the largest difference of their combined scores. A score without weight
    needs no margin. Ties go to the first candidate.

    Args:
        history_scores: `[n, candidates]`.
        text_scores: `[n, candidates]`.
        codes: `[n, candidates, P]`.
        settings: Weight of the text score, and the least margin.

    Returns:
        Chosen and rejected, int64 `[n]`, and bool `[n]`.
    """

    def differences(values: Scores) -> Scores:
        return values[:, :, None] - values[:, None, :]

    combined = differences(combine_scores(text_scores, history_scores, settings.text_weight))
    differ = (codes[:, :, None] != codes[:, None, :]).any(-1)
    margins = differences(text_scores), differences(history_scores)
    fit = differ & (combined > 0) & _clear(*margins, settings)
    best = np.where(fit, combined, -np.inf).reshape(len(codes), -1).argmax(1)
    chosen, rejected = np.divmod(best, codes.shape[1])
    return chosen, rejected, fit.reshape(len(codes), -1).any(1)


def _clear(text: Scores, history: Scores, settings: PairsConfig) -> NDArray[np.bool_]:
    """Whether margins in text and history are large enough; arguments of one shape."""
    least, weight = settings.min_margin, settings.text_weight
    return ((text >= least) | (weight == 0.0)) & ((history >= least) | (weight == 1.0))


@dataclass(frozen=True)
class WindowBatch:
    """Windows that are drawn and saved together.

    Attributes:
        split: `train` or `valid`.
        windows: `user_id`, `position`, `history_ids` and `target_id`, a row per window.
        requests: The request of each window; its text is the target's.
        negatives: Hard negative of each window: `COPY`, `STRANGER`, or none.
        strangers: The same requests with the history of another window.
    """

    split: str
    windows: list[dict[str, Any]]
    requests: list[Request]
    negatives: list[str | None]
    strangers: list[Request]

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def strange(self) -> dict[int, Request]:
        """The strangers to draw, by row."""
        rows = (row for row, kind in enumerate(self.negatives) if kind == STRANGER)
        return {row: self.strangers[row] for row in rows}


@dataclass(frozen=True)
class _Two:
    """A chosen and a rejected sequence of one window.

    Attributes:
        row: Row of the window in its batch.
        kind: What is rejected.
        chosen: Place of the chosen candidate.
        rejected: Place of the rejected one; None for hard negatives.
        codes: int64 `[2, P]`, the chosen ones first.
    """

    row: int
    kind: str
    chosen: int
    rejected: int | None
    codes: Codes


@dataclass(frozen=True)
class PairMaker:
    """Draws training windows with the stage-1 model.

    Candidates are scored by their previews; the two of a pair are rendered, and their renderings
    must have the margins, too.

    Attributes:
        settings: Windows, candidates and the rule for pairs.
        artwork: The artwork to train on.
        drawer: The stage-1 model with its scorer.
    """

    settings: PairsConfig
    artwork: TrainingArtwork
    drawer: Drawer

    @classmethod
    def load(cls, config: TrainingConfig, folder: Path, artwork: TrainingArtwork) -> PairMaker:
        """Loads stage 1, on the accelerator if there is one, and the scorer of a training folder.

        Raises:
            TrainingError: A recipe has not been trained in `folder`.
        """
        return cls(config.pairs, artwork, load_drawer(config, folder, artwork.data))

    def batches(self) -> Iterator[WindowBatch]:
        """Windows of both splits, each split sampled by its own random generator."""
        settings = self.settings
        # The few for validation first, so that a run that is cut short has them.
        for place, split in ((1, "valid"), (0, "train")):
            count = settings.windows if split == "train" else settings.validation_windows
            if not count:
                continue
            random = np.random.default_rng((settings.seed, place))
            windows = load_windows(self.artwork, split)
            chosen = random.permutation(len(windows))[:count]
            rows = windows.sequences[chosen].select(_WINDOW).to_dicts()
            requests = self._requests(rows, windows.target[torch.from_numpy(chosen)], place)
            others = random.permutation(len(rows))
            strangers = [
                replace(request, key=f"{request.key}/{STRANGER}", history=requests[other].history)
                for request, other in zip(requests, others, strict=True)
            ]
            drawn = random.choice([COPY, STRANGER], len(rows)).tolist()
            hard = random.random(len(rows)) < settings.hard_negatives
            negatives = [kind if kept else None for kind, kept in zip(drawn, hard, strict=True)]
            for start in range(0, len(rows), settings.batch_size):
                part = slice(start, start + settings.batch_size)
                columns = (rows, requests, negatives, strangers)
                yield WindowBatch(split, *(column[part] for column in columns))  # type: ignore[arg-type]

    def _requests(
        self, rows: Sequence[dict[str, Any]], target: torch.Tensor, place: int
    ) -> list[Request]:
        random = torch.Generator().manual_seed(self.settings.seed * 2 + place)
        images = ArtworkTensors.of(self.artwork)
        reference = other_style(images, target, self.settings.same_reference, random)
        item_ids = self.artwork.rows["item_id"]
        return [
            Request(
                key=f"{self.settings.seed}/{row['user_id']}/{row['position']}",
                history=tuple(row["history_ids"]),
                reference=item_ids[item],
                target=row["target_id"],
            )
            for row, item in zip(rows, reference.tolist(), strict=True)
        ]

    def pairs(self, batch: WindowBatch) -> Iterator[dict[str, Any]]:
        """Rows of `pairs.parquet` of one batch, without provenance."""
        drawer, requests, ratios = self.drawer, batch.requests, self.drawer.generation.mask_ratios
        items = drawer.items([*requests, *batch.strange.values()])
        codes = drawer.write(requests, items)
        previews = drawer.pipeline.has_previews
        images = drawer.pipeline.preview(codes) if previews else drawer.render(codes, requests)
        conditions = drawer.conditions(requests, items)
        history, text = self._scores(images, conditions)
        scores = combine_scores(text, history, self.settings.text_weight)
        twos = self._candidates(codes, history, text)
        twos += self._hard_negatives(batch, codes, scores, items)
        texts = target_texts(
            drawer.prompt, drawer.catalogue.rows([r.described_by for r in requests])
        )
        for two, margins in zip(twos, self._margins(twos, requests, conditions), strict=True):
            if not self._is_pair(two, *margins):
                continue
            row, chosen, rejected = two.row, two.chosen, two.rejected
            yield {
                "split": batch.split,
                "kind": two.kind,
                **batch.windows[row],
                "reference_id": requests[row].reference,
                "target_text": texts[row],
                **conditioning(self.drawer, requests[row], items, ratios[chosen]),
                "chosen_codes": two.codes[0].tolist(),
                "rejected_codes": two.codes[1].tolist(),
                "chosen_ratio": ratios[chosen],
                "rejected_ratio": None if rejected is None else ratios[rejected],
                "weight": 1.0,
                "history_margin": margins[0],
                "text_margin": margins[1],
                "mask_ratios": list(ratios),
                "scores": scores[row].tolist(),
                "history_scores": history[row].tolist(),
                "text_scores": text[row].tolist(),
            }

    def _scores(self, images: NDArray[np.uint8], conditions: Conditions) -> tuple[Scores, Scores]:
        """Scores of history and text, `[n, candidates]`."""
        named = conditions.scores(self.drawer.embed(images))
        return named["history_score"], named["text_score"]

    def _candidates(self, codes: Codes, history: Scores, text: Scores) -> list[_Two]:
        """Two candidates of each window that has a clear pair of previews."""
        chosen, rejected, fit = pick_pairs(history, text, codes, self.settings)
        places = [(row, int(chosen[row]), int(rejected[row])) for row in np.flatnonzero(fit)]
        return [_Two(row, CANDIDATES, c, r, codes[row, [c, r]]) for row, c, r in places]

    def _hard_negatives(
        self, batch: WindowBatch, codes: Codes, scores: Scores, items: ItemTable
    ) -> list[_Two]:
        """The best candidate of some windows, and what no model should draw instead."""
        one = self.drawer.with_generation(mask_ratios=self.drawer.generation.mask_ratios[:1])
        strange = batch.strange
        drawn: dict[int, Codes] = {}
        if strange:
            drawn = dict(zip(strange, one.write([*strange.values()], items)[:, 0], strict=True))
        twos, known = [], self.drawer.codes(items)
        for row, kind in enumerate(batch.negatives):
            if kind is not None:
                copy = known[items.rows([batch.requests[row].reference])[0]]
                best = int(scores[row].argmax())
                both = np.stack([codes[row, best], drawn.get(row, copy)])
                twos.append(_Two(row, kind, best, None, both))
        return twos

    def _margins(
        self, twos: Sequence[_Two], requests: Sequence[Request], conditions: Conditions
    ) -> list[tuple[float, float]]:
        """Margins of the renderings in history and text."""
        if not twos:
            return []
        rows = [two.row for two in twos]
        drawer = self.drawer.with_generation(mask_ratios=(0.0, 1.0))  # they name the noise only
        codes = np.stack([two.codes for two in twos])
        images = drawer.render(codes, [requests[row] for row in rows])
        own = Conditions(*(vectors[rows] for vectors in vars(conditions).values()))
        history, text = (values[:, 0] - values[:, 1] for values in self._scores(images, own))
        return list(zip(history.tolist(), text.tolist(), strict=True))

    def _is_pair(self, two: _Two, history: float, text: float) -> bool:
        """Whether the renderings have the margins."""
        if two.kind == CANDIDATES:
            return bool(_clear(np.array(text), np.array(history), self.settings))
        differ = bool((two.codes[0] != two.codes[1]).any())
        clear = history > 0.0 and history >= self.settings.min_margin
        return differ and clear and text >= -_TEXT_LOSS


def load_drawer(config: TrainingConfig, folder: Path, data: Dataset) -> Drawer:
    """Loads stage 1, on the accelerator if there is one, and the scorer of a training folder.

    Raises:
        TrainingError: A recipe has not been trained in `folder`.
    """
    placement = Placement(device=str(new_accelerator().device))
    pipeline = assemble(config, folder, "reconstruct", placement)
    encoder = ImageTextEncoder(config.scorer)
    load_part(encoder, folder, "scorer")
    return Drawer(
        backbone=PigeonBackbone(pipeline),
        scorer=Scorer(encoder, pipeline.text, "scorer"),
        catalogue=data.catalogue,
        prompt=data.prompt,
        generation=config.pairs.candidates,
        gate=QualityGateConfig(),
    )


@torch.inference_mode()
def conditioning(
    drawer: Drawer, request: Request, items: ItemTable, ratio: float
) -> dict[str, list[Any]]:
    """History and reference codes, and which of them the candidate at `ratio` is shown."""
    device, codes = drawer.pipeline.placement.device, drawer.codes(items)
    history = torch.from_numpy(codes[items.rows(request.history)])[None].to(device)
    reference = torch.from_numpy(codes[items.rows([request.reference])]).to(device)
    share = drawer.generation.history_mask_ratio
    history_keep, (reference_keep,) = drawer.pipeline.masks(
        history, reference, [request.key], share, [ratio]
    )
    return {
        "history_codes": history.flatten().tolist(),
        "history_keep": (history_keep.flatten() > 0.5).tolist(),
        "reference_codes": reference.flatten().tolist(),
        "reference_keep": (reference_keep.flatten() > 0.5).tolist(),
    }
