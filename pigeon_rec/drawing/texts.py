"""Texts of requests, as they are hashed into keys and read by the model."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.prompts import PromptTemplate

__all__ = ["described_texts", "history_texts", "target_texts"]


def target_texts(prompt: PromptTemplate, items: pl.DataFrame) -> list[str]:
    """Returns the target text of each catalogue row; what is missing in a row is empty.

    Raises:
        ConfigError: The scenario names a column that the rows do not have.
    """
    genres = items["genres"].fill_null("") if "genres" in items.columns else [""] * len(items)
    words = zip(items["title"], items["semantics"], items["category"], genres, strict=True)
    further = _columns(prompt, items, prompt.target_columns)
    return [prompt.target(*row, columns) for row, columns in zip(words, further, strict=True)]


def history_texts(
    prompt: PromptTemplate, catalogue: Catalogue, histories: Sequence[Sequence[str]]
) -> list[list[str]] | None:
    """Returns the text before each history image, or None if the scenario has none.

    Raises:
        CatalogueError: A history holds an item that is not in the catalogue.
        ConfigError: The scenario names a column that the catalogue does not have.
    """
    if not prompt.history_template:
        return None
    wanted = sorted({item for history in histories for item in history})
    rows = catalogue.rows(wanted)
    columns = _columns(prompt, rows, prompt.history_columns)
    texts = (prompt.history(*words) for words in zip(rows["title"], columns, strict=True))
    text = dict(zip(wanted, texts, strict=True))
    return [[text[item] for item in history] for history in histories]


def _columns(
    prompt: PromptTemplate, items: pl.DataFrame, names: Sequence[str]
) -> list[dict[str, str]]:
    """Returns the texts of each row by the names of their columns."""
    texts = [name for name, kind in items.schema.items() if kind == pl.String]
    prompt.check_columns(texts, "the catalogue")
    if not names:
        return [{}] * len(items)
    return items.select(items[name].fill_null("") for name in names).to_dicts()


def described_texts(items: pl.DataFrame) -> list[str]:
    """The text that candidates are scored against: semantics, or the title if they are empty."""
    semantics = pl.when(pl.col("semantics") == "").then("title").otherwise("semantics")
    return items.select(semantics.alias("text"))["text"].to_list()
