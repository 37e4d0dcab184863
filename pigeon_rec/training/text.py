"""The text tokenizer, learned once per training folder from titles, semantics and instructions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pigeon_rec.demo.stickers import STYLE_DESCRIPTIONS, topics
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.configuration import TrainingConfig

__all__ = ["text_tokenizer"]


def text_tokenizer(folder: Path, stickers: TrainingArtwork, plan: TrainingConfig) -> TextTokenizer:
    """Loads `folder/tokenizer.json`, or learns and saves it there."""
    path = folder / "tokenizer.json"
    if path.is_file():
        return TextTokenizer.load(path)
    text = TextTokenizer.learn(_texts(stickers), plan.model.language_model.text_vocabulary)
    folder.mkdir(parents=True, exist_ok=True)
    text.save(path)
    return text


def _texts(stickers: TrainingArtwork) -> Iterator[str]:
    concepts = stickers.rows.unique("concept", keep="first", maintain_order=True)
    yield from concepts["title"]
    yield from concepts["semantics"]
    yield from (f"sticker, {words}" for words in STYLE_DESCRIPTIONS.values())
    yield from sorted({topic.replace("-", " ") for topic in topics(stickers.rows)})
