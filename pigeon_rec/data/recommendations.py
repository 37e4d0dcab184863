"""Recommendations: the (user, item, score) table of a recommender, checked and ranked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from pigeon_rec.data._rows import first_fault
from pigeon_rec.data.catalogue import Catalogue, Problem
from pigeon_rec.errors import PlanError, may_pass

__all__ = [
    "RECOMMENDATION_SCHEMA",
    "RecommendationTable",
    "group_by_front_item",
    "load_recommendations",
    "rank_recommendations",
    "scan_recommendations",
]

RECOMMENDATION_SCHEMA: Final = pl.Schema(
    {"user_id": pl.String(), "item_id": pl.String(), "score": pl.Float32(), "rank": pl.Int32()}
)
_SUBJECT: Final = pl.concat_str(pl.col("user_id", "item_id").fill_null("?"), separator=" / ")
_REPEATED: Final = "the pair is repeated with a better score"
_IS_NUMBER: Final = pl.col("score").cast(pl.Float32()).is_finite().fill_null(value=False)
_FAULT: Final = first_fault(
    {
        "user_id or item_id is empty": ~pl.all_horizontal(
            pl.col("user_id", "item_id").fill_null("") != ""
        ),
        "score is no number": ~_IS_NUMBER,
    }
)


@dataclass(frozen=True)
class RecommendationTable:
    """Checked recommendations whose rows are read when they are needed.

    Attributes:
        source: Where the rows come from, for the location of problems.
        rows: `user_id, item_id, score, row` (from 1) and `fault` (null for a usable row).
    """

    source: str
    rows: pl.LazyFrame

    @classmethod
    def of(cls, rows: pl.LazyFrame, source: str) -> RecommendationTable:
        """Checks rows of `user_id, item_id, score`."""
        scores = rows.with_columns(pl.col("score").cast(pl.Float64))
        return cls(source, scores.with_row_index("row", offset=1).with_columns(_FAULT))

    def usable(self) -> pl.LazyFrame:
        """Returns the usable rows: `user_id, item_id, score, row`."""
        good = self.rows.filter(pl.col("fault").is_null())
        return good.select("user_id", "item_id", "score", "row")

    def bad(self) -> pl.LazyFrame:
        """Returns a row of `kind, subject, location, message` for each unusable row."""
        unusable = self.rows.filter(pl.col("fault").is_not_null())
        return unusable.select(*self._problem("bad_recommendation"), message="fault")

    def rank(self, usable: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Ranks usable rows, all those of some users; as `rank_recommendations`.

        Returns:
            The ranked rows, and a row of `kind, subject, location, message` for each repeated pair.
        """
        ordered = usable.sort(
            ["user_id", "score", "item_id", "row"], descending=[False, True, False, False]
        )
        best = ordered.unique(["user_id", "item_id"], keep="first", maintain_order=True)
        rank = pl.int_range(1, pl.len() + 1).over("user_id").alias("rank")
        ranked = best.select("user_id", "item_id", "score", rank).cast(RECOMMENDATION_SCHEMA)
        repeated = ordered.join(best, on="row", how="anti").sort("row")
        problem = self._problem("duplicate_recommendation")
        return ranked, repeated.select(*problem, message=pl.lit(_REPEATED))

    def _problem(self, kind: str) -> tuple[pl.Expr, ...]:
        location = pl.format("{}, row {}", pl.lit(self.source), "row")
        return pl.lit(kind).alias("kind"), _SUBJECT.alias("subject"), location.alias("location")


def load_recommendations(path: Path) -> tuple[pl.DataFrame, list[Problem]]:
    """Reads a parquet file of `user_id, item_id, score` and ranks its rows.

    Returns:
        As `rank_recommendations`.

    Raises:
        PlanError: The file cannot be read, or a column is missing or of the wrong type.
    """
    return _ranked(scan_recommendations(path))


def scan_recommendations(path: Path) -> RecommendationTable:
    """Checks the columns of a parquet file of recommendations, without reading its rows.

    Raises:
        PlanError: As `load_recommendations`.
    """
    frame = pl.scan_parquet(path, glob=False)
    with _readable(path):
        schema = frame.collect_schema()
    missing = [name for name in ("user_id", "item_id", "score") if name not in schema]
    if missing:
        raise PlanError(f"columns are missing: {', '.join(missing)}", location=str(path))
    for name in ("user_id", "item_id"):
        if schema[name] != pl.String():
            raise PlanError(
                f"column {name} holds {schema[name]}, not strings",
                location=str(path),
                remedy="Ids are strings: cast the column",
            )
    if not schema["score"].is_numeric():
        raise PlanError(
            f"column score holds {schema['score']}, not numbers",
            location=str(path),
            remedy="Cast the column to a number; a higher score is better",
        )
    return RecommendationTable.of(frame.select("user_id", "item_id", "score"), str(path))


def rank_recommendations(frame: pl.DataFrame, source: str) -> tuple[pl.DataFrame, list[Problem]]:
    """Ranks each user's items by falling score; ties are ranked by item id.

    Args:
        frame: Columns `user_id, item_id, score`.
        source: Where the rows come from, for the location of problems.

    Returns:
        `RECOMMENDATION_SCHEMA`, one row per user and item (the best score), sorted by user and
        rank; and a `Problem` for each row left out: `bad_recommendation` for an empty id or a
        score that is not finite, `duplicate_recommendation` for a repeated pair.
    """
    return _ranked(RecommendationTable.of(frame.lazy(), source))


def _ranked(table: RecommendationTable) -> tuple[pl.DataFrame, list[Problem]]:
    with _readable(table.source):
        checked = RecommendationTable(table.source, table.rows.collect().lazy())
    ranked, repeated = checked.rank(checked.usable().collect())
    left_out = pl.concat([checked.bad().collect(), repeated])
    return ranked, [Problem(*row) for row in left_out.iter_rows()]


@contextlib.contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Turns what reading the file raises into a `PlanError`."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise PlanError(
            f"cannot read the recommendations: {error}",
            location=str(Path(path).absolute()),
            remedy="Give a parquet file of user_id, item_id, score, or `recbole`",
            retryable=isinstance(error, OSError) and may_pass(error),
        ) from error


def group_by_front_item(
    interactions: pl.DataFrame, catalogue: Catalogue, column: str | None
) -> pl.DataFrame:
    """Replaces every item by the item of its group with the most interactions (ties by id).

    The catalogue's `column` names the group of an item; without it nothing is replaced. Items
    without a name there are in no group.
    """
    if column is None or column not in catalogue.items.columns:
        return interactions
    groups = catalogue.items.select("item_id", catalogue.items[column].alias("group"))
    grouped = interactions.join(groups, on="item_id", how="left", maintain_order="left")
    counts = grouped.filter(pl.col("group") != "").group_by("group", "item_id").len()
    fronts = counts.sort(["len", "item_id"], descending=[True, False]).unique(
        "group", keep="first", maintain_order=True
    )
    front = fronts.select("group", pl.col("item_id").alias("front"))
    return (
        grouped.join(front, on="group", how="left", maintain_order="left")
        .with_columns(item_id=pl.coalesce("front", "item_id"))
        .select(interactions.columns)
    )
