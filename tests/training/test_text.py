"""The text tokenizer of a training folder."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.text import text_tokenizer
from tests.training.tiny import CONFIG


def test_the_text_tokenizer_is_learned_once(artwork: TrainingArtwork, tmp_path: Path) -> None:
    learned = text_tokenizer(tmp_path, artwork, CONFIG)
    written = (tmp_path / "tokenizer.json").read_bytes()
    loaded = text_tokenizer(tmp_path, artwork, CONFIG)
    assert (tmp_path / "tokenizer.json").read_bytes() == written
    caption = str(artwork.rows["semantics"][0])
    assert learned.encode(caption) == loaded.encode(caption)
    assert len(learned) <= CONFIG.model.language_model.text_vocabulary
