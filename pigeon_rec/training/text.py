"""The text tokenizer of a training folder, and the texts of the artwork."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from pigeon_rec.data.world import topics
from pigeon_rec.drawing.texts import history_texts, target_texts
from pigeon_rec.model.configuration import LanguageModelConfig
from pigeon_rec.model.instruction import write_texts
from pigeon_rec.model.personalisation import InstructionTexts
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.configuration import TrainingConfig
from pigeon_rec.training.teacher_forcing import select_texts

__all__ = ["ArtworkTexts", "artwork_texts", "text_tokenizer"]


@dataclass(frozen=True)
class ArtworkTexts:
    """Instruction texts of every artwork, as the target and in a history.

    Attributes:
        targets: Texts with each artwork as the target, without texts of the history.
        titles: Text before each artwork in a history, int64 `[n, L]`; None if the scenario has
            none.
        titles_mask: Bool `[n, L]`; None likewise.
    """

    targets: InstructionTexts
    titles: Tensor | None = None
    titles_mask: Tensor | None = None

    def of(self, target: Tensor, history: Tensor) -> InstructionTexts:
        """Texts of a batch: artwork rows int64 `[B]` and `[B, images]`."""
        return replace(select_texts(self.targets, target), **self.of_histories(history))

    def of_histories(self, history: Tensor) -> dict[str, Tensor]:
        """The fields of `InstructionTexts` about histories, int64 `[B, images]` artwork rows."""
        if self.titles is None or self.titles_mask is None:
            return {}
        return {"history": self.titles[history], "history_mask": self.titles_mask[history]}

    def to(self, device: torch.device) -> ArtworkTexts:
        """Returns the same texts on a device."""
        titles = (None if t is None else t.to(device) for t in (self.titles, self.titles_mask))
        return ArtworkTexts(self.targets.to(device), *titles)


def artwork_texts(
    artwork: TrainingArtwork, text: TextTokenizer, sizes: LanguageModelConfig
) -> ArtworkTexts:
    """Writes the instruction texts of the scenario."""
    prompt, items = artwork.data.prompt, [[item] for item in artwork.rows["item_id"]]
    titles = history_texts(prompt, artwork.data.catalogue, items)
    texts = write_texts(prompt, text, target_texts(prompt, artwork.rows), sizes, titles)
    if texts.history is None or texts.history_mask is None:
        return ArtworkTexts(texts)
    without = replace(texts, history=None, history_mask=None)
    return ArtworkTexts(without, texts.history[:, 0], texts.history_mask[:, 0])


def text_tokenizer(folder: Path, artwork: TrainingArtwork, config: TrainingConfig) -> TextTokenizer:
    """Loads `folder/tokenizer.json`; if it is missing, learns and saves it first.

    It is learned from titles, semantics and descriptions of styles and topics.
    """
    path = folder / "tokenizer.json"
    if path.is_file():
        return TextTokenizer.load(path)
    text = TextTokenizer.learn(_texts(artwork), config.model.language_model.text_vocabulary)
    folder.mkdir(parents=True, exist_ok=True)
    text.save(path)
    return text


def _texts(artwork: TrainingArtwork) -> Iterator[str]:
    prompt = artwork.data.prompt
    concepts = artwork.rows.unique("concept", keep="first", maintain_order=True)
    yield from concepts["title"]
    yield from concepts["semantics"]
    yield from (f"{prompt.picture}, {words}" for words in artwork.style_descriptions.values())
    yield from sorted({topic.replace("-", " ") for topic in topics(artwork.rows)})
