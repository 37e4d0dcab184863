"""Scores, selection and the quality gate of candidates.

The package root needs numpy only; the scorer needs torch and has a module of its own.
"""

from __future__ import annotations

from pigeon_rec.scoring.metrics import (
    clip_text_score,
    history_similarity,
    pixel_std,
    reference_likeness,
    reference_pixel_difference,
    reference_similarity,
    row_cosine,
)
from pigeon_rec.scoring.quality_gate import Reason, Rejection, check_quality
from pigeon_rec.scoring.safety import SafetyChecker, load_safety_checker
from pigeon_rec.scoring.selection import (
    TARGET_WEIGHT,
    Choice,
    PreferencePair,
    choose_preference_pairs,
    combine_scores,
    picture_scores,
    shortlist,
)

__all__ = [
    "TARGET_WEIGHT",
    "Choice",
    "PreferencePair",
    "Reason",
    "Rejection",
    "SafetyChecker",
    "check_quality",
    "choose_preference_pairs",
    "clip_text_score",
    "combine_scores",
    "history_similarity",
    "load_safety_checker",
    "picture_scores",
    "pixel_std",
    "reference_likeness",
    "reference_pixel_difference",
    "reference_similarity",
    "row_cosine",
    "shortlist",
]
