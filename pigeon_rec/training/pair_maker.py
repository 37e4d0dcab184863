"""Candidates of training windows, their scores, and the preference pairs they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing import Request
from pigeon_rec.drawing.drawer import Drawer
from pigeon_rec.drawing.items import ItemTable
from pigeon_rec.drawing.texts import target_texts
from pigeon_rec.scoring import PreferencePair, choose_preference_pairs, combine_scores
from pigeon_rec.scoring.scorer import ImageTextEncoder, Scorer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.bundle import assemble
from pigeon_rec.training.configuration import PairsConfig, TrainingConfig
from pigeon_rec.training.frozen import load_part
from pigeon_rec.training.recipes import training_artwork
from pigeon_rec.training.restyle import other_style
from pigeon_rec.training.windows import load_windows

__all__ = ["PairMaker", "WindowBatch", "pick_pairs"]

_WINDOW = ("user_id", "position", "history_ids", "target_id")


def pick_pairs(
    history_scores: NDArray[np.float64],
    text_scores: NDArray[np.float64],
    codes: NDArray[np.int64],
    settings: PairsConfig,
) -> tuple[NDArray[np.float64], PreferencePair, NDArray[np.bool_]]:
    """Chooses the best and the worst candidate of every window, and says whether they are a pair.

    Ties go to the first ratio. Two candidates are no pair if they have equal codes or equal scores,
    or if their scores differ by less than `min_margin`.

    Args:
        history_scores: `[n, ratios]`.
        text_scores: `[n, ratios]`.
        codes: `[n, ratios, P]`.
        settings: Weight of the text score, and the least margin.

    Returns:
        Combined scores `[n, ratios]`, the chosen and rejected candidates, and bool `[n]`.
    """
    scores = combine_scores(text_scores, history_scores, settings.text_weight)
    picked = choose_preference_pairs(scores[:, :, None, None])
    rows = np.arange(len(scores))
    chosen, rejected = picked.chosen.ratio, picked.rejected.ratio
    margin = picked.chosen.score - picked.rejected.score
    differ = (codes[rows, chosen] != codes[rows, rejected]).any(axis=1)
    return scores, picked, differ & (margin > 0.0) & (margin >= settings.min_margin)


@dataclass(frozen=True)
class WindowBatch:
    """Windows that are drawn and saved together.

    Attributes:
        split: `train` or `valid`.
        windows: `user_id`, `position`, `history_ids` and `target_id`, a row per window.
        requests: The request of each window; its text is the target's.
    """

    split: str
    windows: list[dict[str, Any]]
    requests: list[Request]

    def __len__(self) -> int:
        return len(self.requests)


@dataclass(frozen=True)
class PairMaker:
    """Draws training windows with the stage-1 model.

    Attributes:
        settings: Windows, candidates and the rule for pairs.
        artwork: The artwork to train on.
        drawer: The stage-1 model with its scorer.
    """

    settings: PairsConfig
    artwork: TrainingArtwork
    drawer: Drawer

    @classmethod
    def load(cls, config: TrainingConfig, folder: Path) -> PairMaker:
        """Loads stage 1 and the scorer of a training folder.

        Raises:
            TrainingError: A recipe has not been trained in `folder`.
        """
        pipeline = assemble(config, folder, "reconstruct")
        encoder = ImageTextEncoder(config.scorer)
        load_part(encoder, folder, "scorer")
        drawer = Drawer(
            pipeline=pipeline,
            scorer=Scorer(encoder, pipeline.text, "scorer"),
            catalogue=load_catalogue("bundled"),
            prompt=load_prompt("sticker"),
            generation=config.pairs.candidates,
            gate=QualityGateConfig(),
        )
        return cls(config.pairs, training_artwork(config), drawer)

    def batches(self) -> Iterator[WindowBatch]:
        """Windows of both splits, each split sampled by its own random generator."""
        counts = {"train": self.settings.windows, "valid": self.settings.validation_windows}
        item_ids = self.artwork.rows["item_id"]
        for place, (split, count) in enumerate(counts.items()):
            if not count:
                continue
            random = np.random.default_rng((self.settings.seed, place))
            windows = load_windows(self.artwork, split)
            chosen = random.permutation(len(windows))[:count]
            target = windows.target.numpy()[chosen]
            reference = other_style(self.artwork, target, self.settings.same_reference, random)
            rows = windows.sequences[chosen].select(_WINDOW).to_dicts()
            requests = [
                self._request(row, item_ids[int(item)])
                for row, item in zip(rows, reference, strict=True)
            ]
            for start in range(0, len(rows), self.settings.batch_size):
                part = slice(start, start + self.settings.batch_size)
                yield WindowBatch(split, rows[part], requests[part])

    def _request(self, window: dict[str, Any], reference: str) -> Request:
        return Request(
            key=f"{self.settings.seed}/{window['user_id']}/{window['position']}",
            history=tuple(window["history_ids"]),
            reference=reference,
            target=window["target_id"],
        )

    def pairs(self, batch: WindowBatch) -> Iterator[dict[str, Any]]:
        """Rows of `pairs.parquet` of one batch, without provenance."""
        drawer, requests = self.drawer, batch.requests
        items = drawer.items(requests)
        ratios = drawer.generation.mask_ratios
        codes = drawer.write(requests, items)
        images = drawer.render(codes, requests)
        named = drawer.conditions(requests, items).scores(drawer.embed(images))
        history_scores, text_scores = named["history_score"], named["text_score"]
        scores, picked, fit = pick_pairs(history_scores, text_scores, codes, self.settings)
        described = drawer.catalogue.rows([request.described_by for request in requests])
        texts = target_texts(drawer.prompt, described)
        for row in np.flatnonzero(fit):
            chosen, rejected = int(picked.chosen.ratio[row]), int(picked.rejected.ratio[row])
            yield {
                "split": batch.split,
                **batch.windows[row],
                "reference_id": requests[row].reference,
                "target_text": texts[row],
                **self._conditioning(requests[row], items, ratios[chosen]),
                "chosen_codes": codes[row, chosen].tolist(),
                "rejected_codes": codes[row, rejected].tolist(),
                "chosen_ratio": ratios[chosen],
                "rejected_ratio": ratios[rejected],
                "chosen_score": float(scores[row, chosen]),
                "rejected_score": float(scores[row, rejected]),
                "margin": float(scores[row, chosen] - scores[row, rejected]),
                "mask_ratios": list(ratios),
                "scores": scores[row].tolist(),
                "history_scores": history_scores[row].tolist(),
                "text_scores": text_scores[row].tolist(),
            }

    @torch.inference_mode()
    def _conditioning(
        self, request: Request, items: ItemTable, ratio: float
    ) -> dict[str, list[Any]]:
        """History and reference codes, and which of them the candidate at `ratio` was shown."""
        history = torch.from_numpy(items.codes[items.rows(request.history)]).unsqueeze(0)
        reference = torch.from_numpy(items.codes[items.rows([request.reference])])
        share = self.drawer.generation.history_mask_ratio
        history_keep, (reference_keep,) = self.drawer.pipeline.masks(
            history, reference, [request.key], share, [ratio]
        )
        return {
            "history_codes": history.flatten().tolist(),
            "history_keep": (history_keep.flatten() > 0.5).tolist(),
            "reference_codes": reference.flatten().tolist(),
            "reference_keep": (reference_keep.flatten() > 0.5).tolist(),
        }
