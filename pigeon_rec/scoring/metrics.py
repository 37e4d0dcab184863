"""Scores of candidates, from embeddings and from pixels (numpy only).

Embedding scores are cosines in [-1, 1]. The paper reports them times 100 as CS (image and text) and
CIS (image and image), with the prefix "hist" for means over the history (arXiv 2410.14170, section
4.1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "FloatArray",
    "clip_text_score",
    "history_similarity",
    "pixel_std",
    "reference_likeness",
    "reference_pixel_difference",
    "reference_similarity",
    "row_cosine",
]

FloatArray = NDArray[np.float64]

_WHITE_FROM = 250  # pixel levels from here on are white background


def row_cosine(left: ArrayLike, right: ArrayLike) -> FloatArray:
    """Cosine similarity of paired vectors.

    Args:
        left: Vectors `[..., dim]`, not necessarily of unit length.
        right: Vectors `[..., dim]`; leading axes broadcast against those of `left`.

    Returns:
        Cosines `[...]` in [-1, 1]; 0 where either vector is zero.

    Raises:
        ValueError: The last axes differ in length.
    """
    a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"cannot compare embeddings of {a.shape[-1]} and of {b.shape[-1]} dims")
    length = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    product = np.sum(a * b, axis=-1)
    cosine = np.divide(product, length, out=np.zeros_like(product), where=length > 0.0)
    clipped: FloatArray = np.clip(cosine, -1.0, 1.0)
    return clipped


def clip_text_score(images: ArrayLike, texts: ArrayLike) -> FloatArray:
    """Similarity of each image to its target text (CS / 100).

    Text embeddings may be shorter than those of images: an image embedding begins with its concept
    part, in the space of the texts, and a style part may follow, which no text is compared with.
    Embeddings are `[n, dim]`, or `images [n, candidates, dim]` with `texts [n, 1, text dim]`.
    """
    shared = np.asarray(texts).shape[-1]
    return row_cosine(np.asarray(images)[..., :shared], texts)


def reference_similarity(images: ArrayLike, references: ArrayLike) -> FloatArray:
    """Similarity of each image to its reference (CIS / 100).

    A value near 1 means that the image copies its reference (guidance collapse, arXiv 2504.17349).
    Both arguments are image embeddings `[n, dim]`.
    """
    return row_cosine(images, references)


def reference_likeness(images: ArrayLike, references: ArrayLike, concept: int) -> FloatArray:
    """Similarity of what each image and its reference show, whatever their styles.

    Both are image embeddings `[n, dim]`, which begin with a concept part of `concept` numbers.
    """
    return row_cosine(np.asarray(images)[..., :concept], np.asarray(references)[..., :concept])


def history_similarity(images: ArrayLike, history: ArrayLike) -> FloatArray:
    """Mean similarity of each image to the images of its user's history (hist-CIS / 100).

    Args:
        images: Image embeddings `[n, dim]`.
        history: Image embeddings `[n, length, dim]`.

    Returns:
        `[n]`; 0 for an empty history.
    """
    cosines = row_cosine(np.asarray(images, np.float64)[..., None, :], history)
    return np.asarray(cosines.sum(axis=-1) / max(cosines.shape[-1], 1))


def pixel_std(images: NDArray[np.uint8]) -> FloatArray:
    """Standard deviation of the pixel levels: 0 for one colour, about 30 to 90 for a sticker.

    Args:
        images: `uint8 [..., height, width, 3]`.

    Returns:
        `[...]` in levels (0 to 127.5), over the pixels of each channel; the largest channel counts.
    """
    spread: FloatArray = np.asarray(images, np.float64).std(axis=(-3, -2)).max(axis=-1)
    return spread


def reference_pixel_difference(
    images: NDArray[np.uint8], references: NDArray[np.uint8]
) -> FloatArray:
    """Mean absolute difference of each image from its reference, outside their white background.

    The background is excluded because small stickers on white would otherwise count as copies of
    each other.

    Args:
        images: `uint8 [..., height, width, 3]` on white.
        references: `uint8` of the same shape.

    Returns:
        `[...]` in levels (0 to 255); 0 where both images are entirely white.
    """
    a, b = np.asarray(images), np.asarray(references)
    inked = np.minimum(a, b).min(axis=-1) < _WHITE_FROM  # [..., height, width]
    apart = np.abs(a.astype(np.int16) - b.astype(np.int16)).mean(axis=-1)
    total = np.where(inked, apart, 0.0).sum(axis=(-2, -1))
    count = inked.sum(axis=(-2, -1))
    mean: FloatArray = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    return mean
