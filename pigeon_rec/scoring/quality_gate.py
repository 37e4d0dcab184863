"""The quality gate: rules that a picture must pass to be served.

Rules, in the order they are applied; the first one broken is the reason of the rejection:

- `undecodable`: there is no picture, or it is no `uint8 [height, width, 3]` array;
- `scoring_failed`: a score is no finite number;
- `blank`: nearly one colour all over;
- `unsafe`: above the limit of the safety checker, if there is one;
- `off_target`: too far from the target's text, or from what the reference shows;
- `copy_of_reference`: too near to the reference, in embeddings or pixels: the copying kind of
  guidance collapse (arXiv 2504.17349).

The first two are failures (`pigeon_rec.runtime.reasons`), as are `drawing_failed` and
`unreadable_input`, which come from drawing: such requests are tried again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.errors import ModelError
from pigeon_rec.scoring.metrics import pixel_std, reference_pixel_difference
from pigeon_rec.scoring.safety import SafetyChecker

__all__ = ["Reason", "Rejection", "check_quality"]

Reason = Literal[
    "undecodable",
    "scoring_failed",
    "blank",
    "unsafe",
    "off_target",
    "copy_of_reference",
    "drawing_failed",
    "unreadable_input",
]


@dataclass(frozen=True)
class Rejection:
    """Why a picture was rejected.

    Attributes:
        reason: Stable code.
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
        scores: `text_score`, `reference_score`, `likeness_score` if it has a limit, and any
            others, cosines. A score that is not a finite number makes the picture
            `scoring_failed`.
        config: The limits.
        reference: Reference picture, `uint8 [height, width, 3]`; compared in pixels if it has the
            size of `image`.
        unsafe: From `load_safety_checker`; None skips the rule.

    Returns:
        The first rule broken, or None if the picture passes.

    Raises:
        ModelError: `scores` lacks one that is needed.
    """
    _require_scores(scores, config)
    if (problem := _undecodable(image)) is not None or image is None:
        return Rejection("undecodable", problem or "there is no picture")
    return next(_broken_rules(image, scores, config, reference, unsafe), None)


def _require_scores(scores: Mapping[str, float], config: QualityGateConfig) -> None:
    needed = ["text_score", "reference_score"]
    if config.min_reference_likeness is not None:
        needed.append("likeness_score")
    missing = [name for name in needed if name not in scores]
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


def _broken_rules(
    image: NDArray[np.uint8],
    scores: Mapping[str, float],
    config: QualityGateConfig,
    reference: NDArray[np.uint8] | None,
    unsafe: SafetyChecker | None,
) -> Iterator[Rejection]:
    """Yields a rejection for each broken rule, in order; later rules are computed on demand.

    Conditions are written so that NaN is rejected.
    """
    for name in (name for name, score in scores.items() if not np.isfinite(score)):
        yield Rejection("scoring_failed", f"{name} is {scores[name]}, not a finite number")
    spread, limit = float(pixel_std(image)), config.min_pixel_std
    if not spread >= limit:
        yield Rejection("blank", f"pixel deviation {spread:.2f} is below the limit {limit:.2f}")
    risk, limit = 0.0 if unsafe is None else float(unsafe(image)), config.max_unsafe_score
    if not np.isfinite(risk):
        yield Rejection("scoring_failed", f"unsafe score is {risk}, not a finite number")
    if not risk <= limit:
        yield Rejection("unsafe", f"unsafe score {risk:.3f} is above the limit {limit:.3f}")
    text, limit = scores["text_score"], config.min_text_score
    if not text >= limit:
        yield Rejection("off_target", f"text score {text:.3f} is below the limit {limit:.3f}")
    least = config.min_reference_likeness
    if least is not None and not (like := scores["likeness_score"]) >= least:
        detail = f"likeness {like:.3f} to what the reference shows is below the limit {least:.3f}"
        yield Rejection("off_target", detail)
    near, limit = scores["reference_score"], config.max_reference_similarity
    if not near <= limit:
        detail = f"similarity {near:.4f} to the reference is above the limit {limit:.4f}"
        yield Rejection("copy_of_reference", detail)
    if reference is not None and reference.shape == image.shape:
        apart = float(reference_pixel_difference(image, reference))
        limit = config.min_reference_difference
        if not apart >= limit:
            detail = f"pixel difference {apart:.2f} from the reference"
            yield Rejection("copy_of_reference", f"{detail} is below the limit {limit:.2f}")
