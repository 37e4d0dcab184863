"""Text to ids: a byte-pair tokenizer learned from the catalogue's texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from pigeon_rec.errors import ModelError

__all__ = ["PAD_ID", "TextTokenizer"]

PAD_ID = 2
"""Padding and end of sequence, as LLaMA's id 2."""

_SPECIAL = ["<unk>", "<s>", "</s>"]


class TextTokenizer:
    """Byte-level BPE with LLaMA's three special ids (0 unknown, 1 begin, 2 end and padding)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int) -> TextTokenizer:
        """Learns at most `vocabulary` ids from `texts` (lower-cased)."""
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=_SPECIAL,
            initial_alphabet=alphabet,
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    @classmethod
    def load(cls, path: Path) -> TextTokenizer:
        """Reads `tokenizer.json`.

        Raises:
            ModelError: The file is missing or not a tokenizer.
        """
        if not path.is_file():
            raise ModelError(
                "the text tokenizer is missing",
                location=str(path),
                remedy="Restore the model folder; training any recipe with texts learns a new one",
            )
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(
                f"the text tokenizer cannot be read: {error}",
                location=str(path),
                remedy="Restore the model folder",
            ) from error

    def save(self, path: Path) -> None:
        """Writes `tokenizer.json`."""
        self._tokenizer.save(str(path))

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, text: str, limit: int | None = None) -> list[int]:
        """Returns the ids of one text, cut to `limit`, without special ids."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids[:limit]

    def batch(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Returns ids int64 `[n, length]`, cut or padded right with `PAD_ID`, and a bool mask."""
        ids = torch.full((len(texts), length), PAD_ID)
        mask = torch.zeros(len(texts), length, dtype=torch.bool)
        for row, text in enumerate(texts):
            encoded = self.encode(text, length)
            ids[row, : len(encoded)] = torch.tensor(encoded, dtype=torch.long)
            mask[row, : len(encoded)] = True
        return ids, mask
