"""Text to ids and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.errors import ModelError
from pigeon_rec.model.text_tokenizer import PAD_ID, TextTokenizer

WORDS = ["a red apple", "a green apple", "cat with a wry smile", "red heart", "red cat"]


@pytest.fixture(scope="module")
def text() -> TextTokenizer:
    return TextTokenizer.learn(WORDS, 300)


def test_learning_gives_the_same_ids_every_time(text: TextTokenizer) -> None:
    again = TextTokenizer.learn(iter(WORDS), 300)
    assert [again.encode(w) for w in WORDS] == [text.encode(w) for w in WORDS]


def test_size_is_bounded_and_frequent_words_are_short(text: TextTokenizer) -> None:
    assert 259 < len(text) <= 300
    assert len(text.encode("red apple")) < len(text.encode("zyx qwvut"))


@given(words=st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_every_text_has_known_ids_and_no_special_ones(text: TextTokenizer, words: str) -> None:
    assert all(3 <= i < len(text) for i in text.encode(words))


def test_case_does_not_matter(text: TextTokenizer) -> None:
    assert text.encode("Red APPLE") == text.encode("red apple")


def test_ids_say_the_text(text: TextTokenizer) -> None:
    assert text._tokenizer.decode(text.encode("Café au lait 🍎")).strip() == "café au lait 🍎"


def test_batches_are_cut_and_padded(text: TextTokenizer) -> None:
    long, short = text.encode(WORDS[2]), text.encode("red")
    width = len(long) - 1
    ids, mask = text.batch([WORDS[2], "red", ""], width)
    assert ids[0].tolist() == long[:width]
    assert ids[1].tolist() == short + [PAD_ID] * (width - len(short))
    assert mask.sum(1).tolist() == [width, len(short), 0]
    assert (ids[~mask] == PAD_ID).all()


def test_saved_and_loaded(text: TextTokenizer, tmp_path: Path) -> None:
    text.save(tmp_path / "tokenizer.json")
    loaded = TextTokenizer.load(tmp_path / "tokenizer.json")
    assert [loaded.encode(w) for w in WORDS] == [text.encode(w) for w in WORDS]
    assert len(loaded) == len(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing .*tokenizer\.json"):
        TextTokenizer.load(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("content", ["", "{", '{"version": "1.0"}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"cannot be read.*tokenizer\.json"):
        TextTokenizer.load(path)
