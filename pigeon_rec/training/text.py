"""The text tokenizer of a training folder, learned from titles, semantics and descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pigeon_rec.data.world import topics
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.configuration import TrainingConfig

__all__ = ["text_tokenizer"]


def text_tokenizer(folder: Path, artwork: TrainingArtwork, config: TrainingConfig) -> TextTokenizer:
    """Loads `folder/tokenizer.json`; if it is missing, learns and saves it first."""
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
