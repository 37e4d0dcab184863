"""The text tokenizer of a training folder, and the texts of the artwork."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.data.world import topics
from pigeon_rec.drawing.texts import target_texts
from pigeon_rec.model.configuration import LanguageModelConfig
from pigeon_rec.model.instruction import write_texts
from pigeon_rec.model.personalisation import InstructionTexts
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.configuration import TrainingConfig

__all__ = ["artwork_texts", "text_tokenizer"]


def artwork_texts(
    artwork: TrainingArtwork, text: TextTokenizer, sizes: LanguageModelConfig
) -> InstructionTexts:
    """Instruction texts with each artwork as the target."""
    prompt = load_prompt("sticker")
    return write_texts(prompt, text, target_texts(prompt, artwork.rows), sizes)


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
    concepts = artwork.rows.unique("concept", keep="first", maintain_order=True)
    yield from concepts["title"]
    yield from concepts["semantics"]
    yield from (f"sticker, {words}" for words in artwork.style_descriptions.values())
    yield from sorted({topic.replace("-", " ") for topic in topics(artwork.rows)})
