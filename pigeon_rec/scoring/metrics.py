"""Scores of a personalised picture, from embeddings and from pixels (numpy only).

The embedding scores are cosines in [-1, 1]. The paper prints the same numbers times 100 as CS
(image and text) and CIS (image and image); "hist" is the mean over the history pictures
(arXiv 2410.14170, section 4.1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "FloatArray",
    "clip_text_score",
    "history_similarity",
    "pixel_std",
    "reference_pixel_difference",
    "reference_similarity",
    "row_cosine",
]

FloatArray = NDArray[np.float64]

_WHITE_FROM = 250  # levels at or above this are the white ground that all stickers share


def row_cosine(left: ArrayLike, right: ArrayLike) -> FloatArray:
    """Cosine of each vector with its partner.

    Args:
        left: Vectors `[..., dim]`, of any length.
        right: Vectors `[..., dim]`; leading axes broadcast against those of `left`.

    Returns:
        Cosines `[...]` in [-1, 1]; 0 where either vector is zero.

    Raises:
        ValueError: The last axes differ in length.
    """
    a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"embeddings of {a.shape[-1]} and of {b.shape[-1]} dims do not compare")
    length = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    product = np.sum(a * b, axis=-1)
    cosine = np.divide(product, length, out=np.zeros_like(product), where=length > 0.0)
    clipped: FloatArray = np.clip(cosine, -1.0, 1.0)
    return clipped


def clip_text_score(images: ArrayLike, texts: ArrayLike) -> FloatArray:
    """How well each picture shows its target text (CS / 100).

    Args:
        images: Image embeddings `[n, dim]`, or `[n, candidates, dim]` with `texts [n, 1, dim]`.
        texts: Text embeddings `[n, dim]` of the same joint space.
    """
    return row_cosine(images, texts)


def reference_similarity(images: ArrayLike, references: ArrayLike) -> FloatArray:
    """Likeness of each picture to its reference picture (CIS / 100).

    A value near 1 is the copying kind of guidance collapse (arXiv 2504.17349).

    Args:
        images: Image embeddings `[n, dim]`.
        references: Image embeddings `[n, dim]` of the reference items.
    """
    return row_cosine(images, references)


def history_similarity(
    images: ArrayLike, history: ArrayLike, present: ArrayLike | None = None
) -> FloatArray:
    """Mean likeness of each picture to the pictures of its user's history (hist-CIS / 100).

    Args:
        images: Image embeddings `[n, dim]`.
        history: Image embeddings `[n, length, dim]`.
        present: Booleans `[n, length]`, false at padding; all are present where not given.

    Returns:
        `[n]` means over the present history pictures; 0 for a row without any.
    """
    past = np.asarray(history, np.float64)
    cosines = row_cosine(np.asarray(images, np.float64)[..., None, :], past)
    keep = np.ones(cosines.shape, bool) if present is None else np.asarray(present, bool)
    count = keep.sum(axis=-1)
    total = np.where(keep, cosines, 0.0).sum(axis=-1)
    mean: FloatArray = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    return mean


def pixel_std(images: NDArray[np.uint8]) -> FloatArray:
    """Spread of the levels of each picture: 0 for one colour, about 30 to 90 for a sticker.

    Args:
        images: `uint8 [..., height, width, 3]`.

    Returns:
        `[...]` standard deviations in levels (0 to 127.5), over pixels within each channel, so
        that a picture of one colour has 0 whatever the colour; the largest channel counts.
    """
    spread: FloatArray = np.asarray(images, np.float64).std(axis=(-3, -2)).max(axis=-1)
    return spread


def reference_pixel_difference(
    images: NDArray[np.uint8], references: NDArray[np.uint8]
) -> FloatArray:
    """Mean absolute difference of each picture from its reference, where either has ink.

    The white ground is left out: two small stickers agree on nearly all of it, and would pass
    as copies of each other.

    Args:
        images: `uint8 [..., height, width, 3]` on white.
        references: `uint8` of the same shape.

    Returns:
        `[...]` differences in levels (0 to 255); 0 where both pictures are all white.
    """
    a, b = np.asarray(images), np.asarray(references)
    inked = np.minimum(a, b).min(axis=-1) < _WHITE_FROM  # [..., height, width]
    apart = np.abs(a.astype(np.int16) - b.astype(np.int16)).mean(axis=-1)
    total = np.where(inked, apart, 0.0).sum(axis=(-2, -1))
    count = inked.sum(axis=(-2, -1))
    mean: FloatArray = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    return mean
