"""The words of a night's requests, as the planner hashes them and the model reads them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.prompts import PromptTemplate

__all__ = ["history_texts", "target_texts"]


def target_texts(prompt: PromptTemplate, items: pl.DataFrame) -> list[str]:
    """The text of each target, from rows of a catalogue; one without genres has empty ones."""
    genres = pl.col("genres").fill_null("") if "genres" in items.columns else pl.lit("")
    words = items.select("title", "semantics", "category", genres.alias("genres"))
    return [prompt.target(*row) for row in words.iter_rows()]


def history_texts(
    prompt: PromptTemplate, catalogue: Catalogue, histories: Sequence[Sequence[str]]
) -> list[list[str]] | None:
    """The text before each history picture; None where the scenario has none.

    Raises:
        CatalogueError: A history holds an item that the catalogue does not know.
    """
    if not prompt.history_template:
        return None
    wanted = sorted({item for history in histories for item in history})
    titles = catalogue.rows(wanted)["title"]
    text = {item: prompt.history(title) for item, title in zip(wanted, titles, strict=True)}
    return [[text[item] for item in history] for history in histories]
