"""From parts to a plan: the best requests of all parts, and the decision on every pair.

Of the pairs only those that contend for a place are read; the tables of all pairs and users are
copied from the parts to the plan without being held in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from pigeon_rec.config import NightlyConfig, PlanConfig
from pigeon_rec.drawing.keys import asset_keys
from pigeon_rec.nightly.paths import NightPaths, PartPaths
from pigeon_rec.nightly.plan.choice import PAIR, Choice, choose_among, decide
from pigeon_rec.nightly.plan.cohorts import cohort_requests
from pigeon_rec.nightly.plan.split import Split
from pigeon_rec.runtime.files import read_parquet, sink_parquet
from pigeon_rec.warehouse import NIGHT_SCHEMAS
from pigeon_rec.warehouse.planning import refused_before

__all__ = ["KeyedRequests", "choose_requests", "shared_requests", "write_decisions", "write_users"]

_WHY: Final = ("reason", "detail", "cause")
_SLICE: Final = 1 << 16  # requests whose keys are computed at once
_PER_USER: Final = "short_history"  # the only kind of problem that can be as many as users


class KeyedRequests:
    """Keys of requests, and which of these earlier nights could not serve.

    A request is keyed and looked up once, however often it is asked for.

    Args:
        split: What decides a key.
        paths: The warehouse, and the date that it is looked up for.
        max_attempts: The setting of that name.
    """

    def __init__(self, split: Split, paths: NightPaths, max_attempts: int) -> None:
        self._split, self._paths, self._max_attempts = split, paths, max_attempts
        text = pl.String()
        self._keys = pl.DataFrame(schema=dict.fromkeys((*PAIR, "asset_key"), text))
        self._refused = pl.DataFrame(schema=dict.fromkeys((*PAIR, *_WHY), text))

    def refused(self, requests: pl.DataFrame) -> pl.DataFrame:
        """Returns `user_id, item_id, reason, detail, cause` of those not to be drawn again."""
        self._look_up(requests)
        return self._refused.join(requests, on=PAIR, how="semi", maintain_order="left")

    def keys(self, requests: pl.DataFrame) -> pl.Series:
        """Returns the `asset_key` of each request."""
        self._look_up(requests)
        pairs = requests.select(PAIR)
        return pairs.join(self._keys, on=PAIR, how="left", maintain_order="left")["asset_key"]

    def _look_up(self, requests: pl.DataFrame) -> None:
        new = requests.join(self._keys, on=PAIR, how="anti", maintain_order="left")
        if new.is_empty():
            return
        split, keys = self._split, list[str]()
        for part in new.iter_slices(_SLICE):
            keys += asset_keys(part, split.catalogue, split.prompt, split.context)
        keyed = new.select(*PAIR, pl.Series("asset_key", keys, dtype=pl.String()))
        known = refused_before(
            self._paths.warehouse, keys, before=self._paths.date, max_attempts=self._max_attempts
        )
        found = keyed.join(known, on="asset_key", maintain_order="left").select(*PAIR, *_WHY)
        self._keys = pl.concat([self._keys, keyed])
        self._refused = pl.concat([self._refused, found])


def shared_requests(
    config: NightlyConfig, parts: Sequence[PartPaths], split: Split
) -> pl.DataFrame:
    """Returns the requests of the cohorts of all parts, as `cohort_requests`."""
    counted = (
        _summed([getattr(part, name) for part in parts], ["cohort", "item_id"])
        for name in ("item_users", "views")
    )
    return cohort_requests(config, split, *counted)


def choose_requests(
    config: PlanConfig,
    parts: Sequence[PartPaths],
    shared: pl.DataFrame,
    requests: KeyedRequests,
    budget: int,
) -> Choice:
    """Chooses the best requests of the users of all parts and of the cohorts.

    Args:
        config: Limits of the plan.
        parts: Files of all parts, by user.
        shared: Requests of the cohorts.
        requests: Looks up requests.
        budget: Number of pictures that the night may plan.
    """
    priorities = _summed([part.priorities for part in parts], ["priority"])
    limit = config.max_assets_per_user

    def read(lowest: float, ties: int, affected: pl.Series) -> pl.DataFrame:
        contends = (pl.col("place") <= limit) | pl.col("user_id").is_in(affected.implode())
        above = _scan(part.pairs for part in parts).filter(contends, pl.col("priority") > lowest)
        found = [above.collect(engine="streaming")]
        for part in parts:  # the first by user are in the first parts
            if not ties:
                break
            tied = pl.scan_parquet(part.pairs).filter(contends, pl.col("priority") == lowest)
            found.append(tied.sort(PAIR).head(ties).collect(engine="streaming"))
            ties -= found[-1].height
        return pl.concat(found).drop("place")

    return choose_among(priorities, read, shared, config, budget, requests.refused)


def write_users(paths: NightPaths, parts: Sequence[PartPaths], problems: pl.DataFrame) -> int:
    """Writes what concerns single users: cohorts, skipped recommendations, and all problems.

    Args:
        paths: Files of the night.
        parts: Files of all parts, by user.
        problems: Problems of the tables that all parts share.

    Returns:
        Number of problems.
    """
    sink_parquet(_scan(part.members for part in parts), paths.cohorts)
    sink_parquet(_scan(part.skipped for part in parts), paths.skipped)
    names = list(NIGHT_SCHEMAS["problems"])
    found = _scan(part.problems for part in parts)
    of_users = pl.col("kind") == _PER_USER
    of_items = found.filter(~of_users).collect(engine="streaming")
    told = [pl.concat([problems, of_items]).unique().sort(names).lazy(), found.filter(of_users)]
    if paths.recommendation_problems.is_file():
        told.insert(1, pl.scan_parquet(paths.recommendation_problems).select(names))
    sink_parquet(pl.concat(told), paths.problems)
    return _height(paths.problems)


def write_decisions(
    paths: NightPaths, parts: Sequence[PartPaths], choice: Choice, limit: int
) -> pl.DataFrame:
    """Writes the decision on every recommendation, by user and rank.

    Returns:
        `reason, count`: how many recommendations have which reason.
    """
    of_affected = (
        _scan(part.pairs for part in parts)
        .filter(pl.col("user_id").is_in(choice.affected.implode()))
        .select(*PAIR, "priority")
        .collect(engine="streaming")
    )
    explained = decide(_scan(part.explained for part in parts), of_affected, choice, limit)
    sink_parquet(explained.select(list(NIGHT_SCHEMAS["plan_pairs"])), paths.explained)
    reasons = pl.scan_parquet(paths.explained).group_by("reason").agg(pl.len().alias("count"))
    return reasons.collect(engine="streaming")


def _scan(files: Iterable[Path]) -> pl.LazyFrame:
    return pl.scan_parquet(list(files), glob=False)


def _summed(files: Sequence[Path], keys: list[str]) -> pl.DataFrame:
    """Adds up counts of parts, one part at a time."""
    total = read_parquet(files[0])
    for file in files[1:]:
        both = pl.concat([total, read_parquet(file)])
        total = both.group_by(keys).agg(pl.exclude(keys).sum())
    return total.sort(keys)


def _height(file: Path) -> int:
    return int(pl.scan_parquet(file).select(pl.len()).collect().item())
