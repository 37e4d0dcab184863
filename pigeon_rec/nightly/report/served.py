"""One night as the serving snapshot holds it, with the counts of its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from pigeon_rec.errors import WarehouseError
from pigeon_rec.nightly.files import read_table
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.retrieval import COHORT_PREFIX
from pigeon_rec.warehouse import query, with_bytes

__all__ = ["ServedNight", "read_served_night"]

_IS_COHORT: Final = pl.col("user_id").str.starts_with(COHORT_PREFIX)


@dataclass(frozen=True)
class ServedNight:
    """The served assets of one night, and what was left out.

    Attributes:
        facts: The row of the night in `runs`.
        served: `user_id, item_id, asset_key, origin, image, mask_ratio, history_ids, ...`, by
            user and falling priority; assets of cohorts have the cohort's name as `user_id`.
        scores: `outcome, asset_key, metric, value`; outcome is `served` or `rejected`.
        rejections: `user_id, item_id, asset_key, reason, detail`.
        problems: `kind, subject, location, message`.
        skipped: `user_id, item_id, reason, detail` of the recommendations that were not planned.
    """

    facts: Mapping[str, Any]
    served: pl.DataFrame
    scores: pl.DataFrame
    rejections: pl.DataFrame
    problems: pl.DataFrame
    skipped: pl.DataFrame

    @property
    def own(self) -> pl.DataFrame:
        """Rows of `served` that were drawn for one user."""
        return self.served.filter(~_IS_COHORT)

    @property
    def shared(self) -> pl.DataFrame:
        """Rows of `served` that were drawn for a taste cohort."""
        return self.served.filter(_IS_COHORT)

    @property
    def users(self) -> int:
        """Number of users with an asset of their own."""
        return self.own["user_id"].n_unique()

    def reasons(self) -> dict[str, int]:
        """Counts rejections by reason."""
        return _counts(self.rejections["reason"])

    def skips(self) -> dict[str, int]:
        """Counts skipped recommendations by reason."""
        return _counts(self.skipped["reason"])

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

    def scores_by_key(self) -> dict[str, dict[str, float]]:
        """Returns asset key -> metric -> score of the served assets."""
        by_key: dict[str, dict[str, float]] = {}
        served = self.scores.filter(pl.col("outcome") == "served")
        for key, metric, value in served.select("asset_key", "metric", "value").iter_rows():
            by_key.setdefault(key, {})[metric] = value
        return by_key


def read_served_night(paths: NightPaths) -> ServedNight:
    """Reads one night from the serving snapshot.

    Raises:
        WarehouseError: There is no snapshot, or the night is not in it.
        PlanError: The night's list of skipped recommendations is missing.
    """
    of_run = {"run_id": paths.run_id}
    runs = query(paths.serving, "run_summary", of_run)
    if runs.is_empty():
        raise WarehouseError(
            f"the night of {paths.run_id} is not among the served ones",
            location=str(paths.serving),
            remedy="Run `pigeon-rec nightly publish` and `pigeon-rec nightly promote` first",
        )
    return ServedNight(
        facts=runs.row(0, named=True),
        served=with_bytes(query(paths.serving, "run_gallery", of_run)),
        scores=query(paths.serving, "run_scores", of_run),
        rejections=query(paths.serving, "run_rejections", of_run),
        problems=query(paths.serving, "run_problems", of_run),
        skipped=read_table(paths.skipped, "plan"),
    )


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.drop_nulls().value_counts(name="count").iter_rows()))
