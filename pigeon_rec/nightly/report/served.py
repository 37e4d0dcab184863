"""One night as the serving snapshot holds it, with the counts that reports are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from pigeon_rec.retrieval import COHORT_PREFIX

__all__ = ["ServedNight"]

_OF_COHORT: Final = pl.col("user_id").str.starts_with(COHORT_PREFIX)


@dataclass(frozen=True)
class ServedNight:
    """What readers get of one night, and what they do not get.

    Attributes:
        facts: The row of the night in `runs`.
        served: `user_id, item_id, asset_key, origin, image, mask_ratio, history_ids, ...`, by
            user, the most urgent first; pictures of cohorts under the names of the cohorts.
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
        """Rows of `served` that were drawn for one person, not for a cohort."""
        return self.served.filter(~_OF_COHORT)

    @property
    def shared(self) -> pl.DataFrame:
        """Rows of `served` that were drawn for a taste cohort."""
        return self.served.filter(_OF_COHORT)

    @property
    def users(self) -> int:
        """People who are served a picture of their own."""
        return self.own["user_id"].n_unique()

    def reasons(self) -> dict[str, int]:
        """Rejections by reason."""
        return _counts(self.rejections["reason"])

    def skips(self) -> dict[str, int]:
        """Skipped recommendations by reason."""
        return _counts(self.skipped["reason"])

    def problem_kinds(self) -> dict[str, int]:
        """Problems by kind."""
        return _counts(self.problems["kind"])

    def mask_ratios(self) -> dict[str, int]:
        """Served pictures by the mask ratio that won, lowest first."""
        return _counts(self.served["mask_ratio"].round(3).cast(pl.String))

    def scores_of(self, metric: str, outcome: str) -> list[float]:
        """Scores of all served, or all rejected, pictures."""
        wanted = (pl.col("metric") == metric) & (pl.col("outcome") == outcome)
        return self.scores.filter(wanted)["value"].to_list()

    def scores_by_key(self) -> dict[str, dict[str, float]]:
        """Asset key -> metric -> score of the served pictures."""
        by_key: dict[str, dict[str, float]] = {}
        served = self.scores.filter(pl.col("outcome") == "served")
        for key, metric, value in served.select("asset_key", "metric", "value").iter_rows():
            by_key.setdefault(key, {})[metric] = value
        return by_key


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.drop_nulls().value_counts(name="count").iter_rows()))
