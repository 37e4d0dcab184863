"""Candidates of a training window, their scores, and the pair that they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from pigeon_rec.model.pipeline import Pipeline
from pigeon_rec.model.requests import CodedRequests
from pigeon_rec.scoring import (
    PreferencePair,
    choose_preference_pairs,
    clip_text_score,
    combine_scores,
    history_similarity,
)
from pigeon_rec.scoring.scorer import ImageTextEncoder, Scorer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.bundle import assemble
from pigeon_rec.training.configuration import PairsConfig, TrainingConfig
from pigeon_rec.training.frozen import load_part, sticker_codes
from pigeon_rec.training.recipes import training_artwork
from pigeon_rec.training.restyle import other_style
from pigeon_rec.training.teacher_forcing import target_texts
from pigeon_rec.training.windows import load_windows

__all__ = ["PairMaker", "WindowBatch", "pick_pairs"]

_WINDOW = ("user_id", "position", "history_ids", "target_id")


def pick_pairs(
    history_scores: NDArray[np.float64],
    text_scores: NDArray[np.float64],
    codes: NDArray[np.int64],
    settings: PairsConfig,
) -> tuple[NDArray[np.float64], PreferencePair, NDArray[np.bool_]]:
    """Best and worst candidate of every window, and whether they make a pair.

    Ties go to the first ratio. No pair are two candidates of the same codes or score, or nearer
    than `min_margin`.

    Args:
        history_scores: `[n, ratios]`.
        text_scores: `[n, ratios]`.
        codes: `[n, ratios, P]`.
        settings: The rule.

    Returns:
        Scores `[n, ratios]`, the picks, and bool `[n]`.
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
    """Windows that are worked on together; fields of one row each."""

    split: str
    sequences: pl.DataFrame
    history: NDArray[np.int64]
    target: NDArray[np.int64]
    reference: NDArray[np.int64]


@dataclass(frozen=True)
class PairMaker:
    """The stage-1 model, the scorer and the artwork."""

    settings: PairsConfig
    stickers: TrainingArtwork
    codes: NDArray[np.int64]
    texts: list[str]
    pipeline: Pipeline
    scorer: Scorer

    @classmethod
    def load(cls, plan: TrainingConfig, folder: Path) -> PairMaker:
        stickers = training_artwork(plan)
        pipeline = assemble(plan, folder, "reconstruct")
        encoder = ImageTextEncoder(plan.scorer)
        load_part(encoder, folder, "scorer")
        return cls(
            plan.pairs,
            stickers,
            sticker_codes(pipeline.tokenizer, stickers, folder).numpy(),
            target_texts(stickers),
            pipeline,
            Scorer(encoder, pipeline.text, "scorer"),
        )

    def batches(self) -> Iterator[WindowBatch]:
        """Windows of both splits, each split drawn by its own generator."""
        counts = {"train": self.settings.windows, "valid": self.settings.validation_windows}
        for place, (split, count) in enumerate(counts.items()):
            if not count:
                continue
            random = np.random.default_rng((self.settings.seed, place))
            windows = load_windows(self.stickers, split)
            chosen = random.permutation(len(windows))[:count]
            target = windows.target.numpy()[chosen]
            reference = other_style(self.stickers, target, self.settings.same_reference, random)
            for start in range(0, len(chosen), self.settings.batch_size):
                rows = slice(start, start + self.settings.batch_size)
                yield WindowBatch(
                    split,
                    windows.sequences[chosen[rows]],
                    windows.history.numpy()[chosen[rows]],
                    target[rows],
                    reference[rows],
                )

    def pairs(self, batch: WindowBatch) -> Iterator[dict[str, Any]]:
        """Rows of `pairs.parquet`, without provenance, of one batch."""
        sequences = batch.sequences.to_dicts()
        keys = [f"{self.settings.seed}/{s['user_id']}/{s['position']}" for s in sequences]
        requests = CodedRequests(
            self.codes[batch.history],
            self.codes[batch.reference],
            [self.texts[row] for row in batch.target],
            keys,
        )
        drawn = self.pipeline.generate(requests, self.settings.candidates)
        history_scores, text_scores = self._scores(drawn.images, batch)
        scores, picked, fit = pick_pairs(history_scores, text_scores, drawn.codes, self.settings)
        for row in np.flatnonzero(fit):
            chosen, rejected = int(picked.chosen.ratio[row]), int(picked.rejected.ratio[row])
            ratio = drawn.mask_ratios[chosen]
            yield {
                "split": batch.split,
                **{name: sequences[row][name] for name in _WINDOW},
                "reference_id": self.stickers.rows["item_id"][int(batch.reference[row])],
                "target_text": self.texts[batch.target[row]],
                **self._told(batch, int(row), keys[row], ratio),
                "chosen_codes": drawn.codes[row, chosen].tolist(),
                "rejected_codes": drawn.codes[row, rejected].tolist(),
                "chosen_ratio": ratio,
                "rejected_ratio": drawn.mask_ratios[rejected],
                "chosen_score": float(scores[row, chosen]),
                "rejected_score": float(scores[row, rejected]),
                "margin": float(scores[row, chosen] - scores[row, rejected]),
                "mask_ratios": list(drawn.mask_ratios),
                "scores": scores[row].tolist(),
                "history_scores": history_scores[row].tolist(),
                "text_scores": text_scores[row].tolist(),
            }

    def _scores(
        self, images: NDArray[np.uint8], batch: WindowBatch
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Likeness of candidates `[n, ratios, H, W, 3]` to history and text, each `[n, ratios]`."""
        count, ratios = images.shape[:2]
        seen = self.scorer.encode_images(images.reshape(-1, *images.shape[2:]))
        seen = seen.reshape(count, ratios, -1)
        past = self.stickers.images[batch.history.ravel()]
        history = self.scorer.encode_images(past).reshape(*batch.history.shape, -1)
        semantics = self.stickers.rows["semantics"]
        texts = self.scorer.encode_texts([str(semantics[int(row)]) for row in batch.target])
        return (
            history_similarity(seen, history[:, None]),
            clip_text_score(seen, texts[:, None]),
        )

    @torch.inference_mode()
    def _told(self, batch: WindowBatch, row: int, key: str, ratio: float) -> dict[str, list[Any]]:
        """What the model was told when it wrote one candidate."""
        history = torch.from_numpy(self.codes[batch.history[row]]).unsqueeze(0)
        reference = torch.from_numpy(self.codes[batch.reference[row]]).unsqueeze(0)
        share = self.settings.candidates.history_mask_ratio
        history_keep, (reference_keep,) = self.pipeline.masks(
            history, reference, [key], share, [ratio]
        )
        return {
            "history_codes": history.flatten().tolist(),
            "history_keep": (history_keep.flatten() > 0.5).tolist(),
            "reference_codes": reference.flatten().tolist(),
            "reference_keep": (reference_keep.flatten() > 0.5).tolist(),
        }
