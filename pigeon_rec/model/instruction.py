"""The text of an instruction as ids: the pieces before, between and after the images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pigeon_rec.data.prompts import PromptTemplate
from pigeon_rec.model.configuration import LanguageModelConfig
from pigeon_rec.model.personalisation import InstructionTexts
from pigeon_rec.model.text_tokenizer import TextTokenizer

__all__ = ["write_texts"]


def write_texts(
    prompt: PromptTemplate,
    text: TextTokenizer,
    targets: Sequence[str],
    config: LanguageModelConfig,
    history: Sequence[Sequence[str]] | None = None,
) -> InstructionTexts:
    """Returns the ids for a batch of requests; each text is cut or padded to a fixed length.

    Lengths are the scenario's, or the model's `max_text_tokens` if it has none, and never those of
    the given texts, so that a row's arithmetic does not depend on its neighbours. `history` holds
    the texts before the history images, equally many for each target.
    """
    ids, mask = text.batch(targets, prompt.target_tokens or config.max_text_tokens)
    titles = None if history is None else _titles(prompt, text, history, config)
    return InstructionTexts(
        prefix=torch.tensor(text.encode(prompt.prefix), dtype=torch.long),
        target=ids,
        target_mask=mask,
        response=torch.tensor(text.encode(prompt.response), dtype=torch.long),
        history=None if titles is None else titles[0],
        history_mask=None if titles is None else titles[1],
    )


def _titles(
    prompt: PromptTemplate,
    text: TextTokenizer,
    history: Sequence[Sequence[str]],
    config: LanguageModelConfig,
) -> tuple[Tensor, Tensor]:
    """Ids and bool mask, both `[B, images, length]`."""
    length = prompt.history_tokens or config.max_text_tokens
    ids, mask = text.batch([title for titles in history for title in titles], length)
    shape = (len(history), -1, length)
    return ids.view(shape), mask.view(shape)
