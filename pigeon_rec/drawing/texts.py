"""Texts of requests, as they are hashed into keys and read by the model."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.prompts import PromptTemplate

__all__ = ["described_texts", "history_texts", "target_texts"]


def target_texts(prompt: PromptTemplate, items: pl.DataFrame) -> list[str]:
    """Returns the target text of each catalogue row; missing genres are empty."""
    genres = pl.col("genres").fill_null("") if "genres" in items.columns else pl.lit("")
    words = items.select("title", "semantics", "category", genres.alias("genres"))
    return [prompt.target(*row) for row in words.iter_rows()]


def history_texts(
    prompt: PromptTemplate, catalogue: Catalogue, histories: Sequence[Sequence[str]]
) -> list[list[str]] | None:
    """Returns the text before each history image, or None if the scenario has none.

    Raises:
        CatalogueError: A history holds an item that is not in the catalogue.
    """
    if not prompt.history_template:
        return None
    wanted = sorted({item for history in histories for item in history})
    titles = catalogue.rows(wanted)["title"]
    text = {item: prompt.history(title) for item, title in zip(wanted, titles, strict=True)}
    return [[text[item] for item in history] for history in histories]


def described_texts(items: pl.DataFrame) -> list[str]:
    """The text that candidates are scored against: semantics, or the title if they are empty."""
    semantics = pl.when(pl.col("semantics") == "").then("title").otherwise("semantics")
    return items.select(semantics.alias("text"))["text"].to_list()
