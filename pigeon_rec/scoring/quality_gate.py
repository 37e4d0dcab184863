"""The quality gate: rules that a picture must pass to be served.

Rules, in the order they are applied; the first one broken is the reason of the rejection:

- `undecodable`: there is no picture, or it is no `uint8 [height, width, 3]` array;
- `blank`: nearly one colour all over;
- `unsafe`: above the limit of the safety checker, if there is one;
- `off_target`: too far from the target's text;
- `copy_of_reference`: too near to the reference, in embeddings or pixels: the copying kind of
  guidance collapse (arXiv 2504.17349).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.errors import ModelError
from pigeon_rec.scoring.metrics import pixel_std, reference_pixel_difference
from pigeon_rec.scoring.safety import SafetyChecker

__all__ = ["REASONS", "Reason", "Rejection", "check_quality"]

Reason = Literal["undecodable", "blank", "unsafe", "off_target", "copy_of_reference"]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True)
class Rejection:
    """Why a picture was rejected.

    Attributes:
        reason: Stable code, one of `REASONS`.
        detail: The measured number and the limit it broke, as a sentence.
    """

    reason: Reason
    detail: str


def check_quality(
    image: NDArray[np.uint8] | None,
    scores: Mapping[str, float],
    config: QualityGateConfig,
    *,
    reference: NDArray[np.uint8] | None = None,
    unsafe: SafetyChecker | None = None,
) -> Rejection | None:
    """Applies the rules of the quality gate to one picture.

    Args:
        image: `uint8 [height, width, 3]`; None if it could not be decoded.
        scores: `text_score`, `reference_score` and any others, cosines. A score that is not a
            finite number makes the picture `off_target`.
        config: The limits.
        reference: Reference picture, `uint8 [height, width, 3]`; compared in pixels if it has the
            size of `image`.
        unsafe: From `load_safety_checker`; None skips the rule.

    Returns:
        The first rule broken, or None if the picture passes.

    Raises:
        ModelError: `scores` lacks `text_score` or `reference_score`.
    """
    _require_scores(scores)
    if (problem := _undecodable(image)) is not None or image is None:
        return Rejection("undecodable", problem or "there is no picture")
    return (
        _blank(image, config)
        or _unsafe(image, config, unsafe)
        or _unscored(scores)
        or _off_target(scores["text_score"], config)
        or _copy_in_meaning(scores["reference_score"], config)
        or _copy_in_pixels(image, reference, config)
    )


def _require_scores(scores: Mapping[str, float]) -> None:
    missing = [name for name in ("text_score", "reference_score") if name not in scores]
    if missing:
        raise ModelError(
            f"the quality gate needs `{'` and `'.join(missing)}`",
            location=f"scores: {', '.join(sorted(scores)) or 'none'}",
            remedy="Score the picture with the metrics of pigeon_rec.scoring first",
        )


def _undecodable(image: Any) -> str | None:
    if image is None:
        return "there is no picture"
    picture = np.asarray(image)
    if picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[-1] == 3 and picture.size:
        return None
    return f"expected uint8 [height, width, 3], received {picture.dtype} {list(picture.shape)}"


def _blank(image: NDArray[np.uint8], config: QualityGateConfig) -> Rejection | None:
    spread = float(pixel_std(image))
    if spread >= config.min_pixel_std:
        return None
    return Rejection(
        "blank", f"pixel deviation {spread:.2f} is below the limit {config.min_pixel_std:.2f}"
    )


def _unsafe(
    image: NDArray[np.uint8], config: QualityGateConfig, checker: SafetyChecker | None
) -> Rejection | None:
    if checker is None:
        return None
    probability = float(checker(image))
    # Written so that NaN is rejected.
    if probability <= config.max_unsafe_score:
        return None
    return Rejection(
        "unsafe", f"unsafe score {probability:.3f} is above the limit {config.max_unsafe_score:.3f}"
    )


def _unscored(scores: Mapping[str, float]) -> Rejection | None:
    bad = next((name for name, value in scores.items() if not np.isfinite(value)), None)
    if bad is None:
        return None
    return Rejection("off_target", f"{bad} is {scores[bad]}, the limit is a finite number")


def _off_target(text_score: float, config: QualityGateConfig) -> Rejection | None:
    if text_score >= config.min_text_score:
        return None
    return Rejection(
        "off_target", f"text score {text_score:.3f} is below the limit {config.min_text_score:.3f}"
    )


def _copy_in_meaning(reference_score: float, config: QualityGateConfig) -> Rejection | None:
    limit = config.max_reference_similarity
    if reference_score <= limit:
        return None
    return Rejection(
        "copy_of_reference",
        f"similarity {reference_score:.4f} to the reference is above the limit {limit:.4f}",
    )


def _copy_in_pixels(
    image: NDArray[np.uint8], reference: NDArray[np.uint8] | None, config: QualityGateConfig
) -> Rejection | None:
    if reference is None or reference.shape != image.shape:
        return None
    apart = float(reference_pixel_difference(image, reference))
    limit = config.min_reference_difference
    if apart >= limit:
        return None
    return Rejection(
        "copy_of_reference",
        f"pixel difference {apart:.2f} from the reference is below the limit {limit:.2f}",
    )
