"""Parts of users: the users of a night divided by ranges of their ids.

Tables of any size are divided without being held in memory. Ranges keep the order: the tables of
all parts, one after the other, are the whole table sorted by user.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

__all__ = ["ONE_PART", "UserParts", "divide_users", "scatter", "scattered"]

_SAMPLED: Final = 4096  # users that the size of a part is estimated from: within 2 %
_BUFFERED: Final = 1 << 23  # rows that wait to be written, over all parts
_FEWEST: Final = 1 << 10


@dataclass(frozen=True)
class UserParts:
    """A division of all users into parts.

    Attributes:
        firsts: The smallest user id of each part but the first, ascending.
    """

    firsts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.firsts) + 1

    def numbers(self, user_ids: pl.Series) -> pl.Series:
        """Returns the part of each user, from 0."""
        firsts = pl.Series(self.firsts, dtype=pl.String())
        return firsts.search_sorted(user_ids, side="right").cast(pl.Int32())


ONE_PART: Final = UserParts(())


def divide_users(rows: pl.LazyFrame, users_per_part: int) -> UserParts:
    """Divides the users of a table into as few parts as have about `users_per_part` users each.

    Part sizes are estimated from a sample of the users, unless they are small.

    Args:
        rows: Column `user_id`; repeats are allowed, nulls are not.
        users_per_part: Wanted number of users.
    """
    users = rows.select("user_id")
    if users.select(pl.len()).collect(engine="streaming").item() <= users_per_part:
        return ONE_PART
    step = max(1, users_per_part // _SAMPLED)
    sampled = users.filter(pl.col("user_id").hash() % step == 0).unique()
    sample = sampled.collect(engine="streaming")["user_id"].sort()
    count = max(1, math.ceil(step * len(sample) / users_per_part))
    return UserParts(tuple(sample[n * len(sample) // count] for n in range(1, count)))


def scatter(rows: pl.LazyFrame, parts: UserParts, folder: Path) -> None:
    """Writes the rows of each part to files of its own below a folder, in their order.

    `scattered` reads them. Memory does not depend on the number of rows.
    """
    number = pl.col("user_id").map_batches(
        parts.numbers, return_dtype=pl.Int32(), is_elementwise=True
    )
    rows.with_columns(number.alias("part")).sink_parquet(
        pl.PartitionBy(folder, key="part", include_key=False, approximate_bytes_per_file=None),
        row_group_size=max(_FEWEST, _BUFFERED // len(parts)),
        compression="lz4",
        statistics=False,
        mkdir=True,
        engine="streaming",
    )


def scattered(rows: pl.LazyFrame, parts: UserParts, folder: Path) -> Iterator[pl.DataFrame]:
    """Yields the rows of each part that `scatter` wrote, one part after the other."""
    for number in range(len(parts)):
        files = sorted((folder / f"part={number}").glob("*.parquet"))
        yield pl.read_parquet(files) if files else pl.DataFrame(schema=rows.collect_schema())
