"""One night as the serving snapshot holds it, with the counts of its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from pigeon_rec.errors import WarehouseError
from pigeon_rec.runtime.reasons import NOT_DRAWN
from pigeon_rec.warehouse.read import query
from pigeon_rec.warehouse.stores import with_bytes

__all__ = ["ServedNight", "read_served_night"]

_QUANTILES: Final[Mapping[str, float]] = {"p05": 0.05, "median": 0.5, "p95": 0.95}


@dataclass(frozen=True)
class ServedNight:
    """The assets that one night serves, and those it rejected.

    Attributes:
        facts: The row of the night in `runs`.
        served: `user_id, of_cohort, item_id, asset_key, origin, image, mask_ratio, history_ids,
            ...`, by user and falling priority; the `user_id` of a cohort's asset is its name.
        scores: `outcome, asset_key, metric, value`; outcome is `served` or `rejected`.
        rejections: `user_id, item_id, asset_key, reason, detail`.
        problems: `kind, subject, location, message`.
        drawing_times: `shard, assets, seconds` of the shards that were drawn and measured.
        snapshot_bytes: Size of the snapshot.
    """

    facts: Mapping[str, Any]
    served: pl.DataFrame
    scores: pl.DataFrame
    rejections: pl.DataFrame
    problems: pl.DataFrame
    drawing_times: pl.DataFrame
    snapshot_bytes: int

    @property
    def own(self) -> pl.DataFrame:
        """Rows of `served` that were drawn for one user."""
        return self.served.filter(~pl.col("of_cohort"))

    @property
    def shared(self) -> pl.DataFrame:
        """Rows of `served` that were drawn for a taste cohort."""
        return self.served.filter("of_cohort")

    @property
    def users(self) -> int:
        """Number of users with an asset of their own."""
        return self.own["user_id"].n_unique()

    @property
    def drawn(self) -> int:
        """Number of requests drawn in this night, rejected ones included."""
        rejected = sum(count for why, count in self.reasons().items() if why not in NOT_DRAWN)
        generated: int = self.facts["generated"]
        return generated + rejected

    def reasons(self) -> dict[str, int]:
        """Counts rejections by reason."""
        return _counts(self.rejections["reason"])

    def problem_kinds(self) -> dict[str, int]:
        """Counts problems by kind."""
        return _counts(self.problems["kind"])

    def mask_ratios(self) -> dict[str, int]:
        """Counts served assets by the mask ratio of the chosen candidate, lowest first."""
        return _counts(self.served["mask_ratio"].round(3).cast(pl.String))

    def scores_of(self, metric: str, outcome: str) -> list[float]:
        """Returns one score of all served, or of all rejected, assets."""
        wanted = (pl.col("metric") == metric) & (pl.col("outcome") == outcome)
        return self.scores.filter(wanted)["value"].to_list()

    def score_numbers(self) -> dict[str, dict[str, dict[str, float]]]:
        """Returns metric -> outcome -> count, mean and quantiles."""
        value = pl.col("value")
        summary = self.scores.group_by("metric", "outcome").agg(
            value.len().alias("count"),
            value.mean().alias("mean"),
            *(value.quantile(q, "linear").alias(name) for name, q in _QUANTILES.items()),
        )
        numbers: dict[str, dict[str, dict[str, float]]] = {}
        for row in summary.sort("metric", "outcome").iter_rows(named=True):
            numbers.setdefault(row.pop("metric"), {})[row.pop("outcome")] = row
        return numbers

    def scores_by_key(self) -> dict[str, dict[str, float]]:
        """Returns asset key -> metric -> score of the served assets."""
        by_key: dict[str, dict[str, float]] = {}
        served = self.scores.filter(pl.col("outcome") == "served")
        for key, metric, value in served.select("asset_key", "metric", "value").iter_rows():
            by_key.setdefault(key, {})[metric] = value
        return by_key


def read_served_night(serving: Path, run_id: str) -> ServedNight:
    """Reads one night from the serving snapshot.

    Raises:
        WarehouseError: There is no snapshot, or the night is not in it.
    """
    of_run = {"run_id": run_id}
    runs = query(serving, "run_summary", of_run)
    if runs.is_empty():
        raise WarehouseError(
            f"the night of {run_id} is not among the served ones",
            location=str(serving),
            remedy="Run `pigeon-rec nightly publish` and `pigeon-rec nightly promote` first",
        )
    return ServedNight(
        facts=runs.row(0, named=True),
        served=with_bytes(query(serving, "run_gallery", of_run)),
        scores=query(serving, "run_scores", of_run),
        rejections=query(serving, "run_rejections", of_run),
        problems=query(serving, "run_problems", of_run),
        drawing_times=query(serving, "run_drawing_times", of_run),
        snapshot_bytes=serving.stat().st_size,
    )


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.drop_nulls().value_counts(name="count").iter_rows()))
