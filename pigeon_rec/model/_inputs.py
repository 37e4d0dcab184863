"""Checks of a pipeline's inputs, before any work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.data.prompts import PromptTemplate
from pigeon_rec.errors import ModelError
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.requests import CodedRequests
from pigeon_rec.model.text_tokenizer import TextTokenizer

__all__ = ["check_history_texts", "check_inputs", "check_text"]


def check_inputs(
    config: PigeonConfig,
    history: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    targets: Sequence[str],
    keys: Sequence[str],
) -> None:
    """Checks shapes and dtypes of images, and that there is one entry per request.

    Raises:
        ModelError: Shapes do not agree with each other or with the model.
    """
    side = config.tokenizer.image_size
    if history.dtype != np.uint8 or history.ndim != 5 or history.shape[2:] != (side, side, 3):
        raise ModelError(
            f"`history` must be uint8 [batch, images, {side}, {side}, 3]",
            location=f"received {history.dtype} {list(history.shape)}",
        )
    if reference.dtype != np.uint8 or reference.shape != (len(history), side, side, 3):
        raise ModelError(
            f"`reference` must be uint8 [{len(history)}, {side}, {side}, 3]",
            location=f"received {reference.dtype} {list(reference.shape)}",
        )
    if len(targets) != len(history) or len(keys) != len(history):
        raise ModelError(
            f"`targets` and `keys` must have {len(history)} entries each",
            location=f"received {len(targets)} and {len(keys)}",
        )


def check_history_texts(prompt: PromptTemplate, requests: CodedRequests) -> None:
    """Checks for one text per history image where the template has such texts, and none elsewhere.

    Raises:
        ModelError: There are none, too many or too few.
    """
    texts, (batch, images) = requests.history_texts, requests.history.shape[:2]
    if not prompt.history_template:
        if texts is not None:
            raise ModelError(
                f"scenario {prompt.scenario!r} has no text before its history images",
                location="`history_texts`",
                remedy="Leave it out, or give the template a `history` piece",
            )
        return
    lengths = sorted({len(row) for row in texts or ()})
    if texts is None or len(texts) != batch or (lengths or [images]) != [images]:
        raise ModelError(
            f"scenario {prompt.scenario!r} needs `history_texts`: {images} for each of {batch}",
            location="received none" if texts is None else f"received {len(texts)} of {lengths}",
            remedy="Give `PromptTemplate.history(title)` of every history image",
        )


def check_text(text: TextTokenizer, config: PigeonConfig) -> None:
    """Checks the tokenizer's size: ids above the text vocabulary would be read as codes.

    Raises:
        ModelError: It has more ids than the language model.
    """
    if len(text) > config.language_model.text_vocabulary:
        raise ModelError(
            f"the text tokenizer has {len(text)} ids, the language model has room for "
            f"{config.language_model.text_vocabulary}",
            location="language_model.text_vocabulary",
            remedy="Use the tokenizer.json that the model was trained with",
        )
