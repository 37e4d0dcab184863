"""The text of an instruction as ids: what stands before, between and after the pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch

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
) -> InstructionTexts:
    """Ids for a batch of target texts; each is cut or padded to `max_text_tokens`."""
    ids, mask = text.batch(targets, config.max_text_tokens)
    return InstructionTexts(
        prefix=torch.tensor(text.encode(prompt.prefix), dtype=torch.long),
        target=ids,
        target_mask=mask,
        response=torch.tensor(text.encode(prompt.response), dtype=torch.long),
    )
