"""Users who have opted out: digests of their ids, so that the list names nobody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from pigeon_rec.errors import InteractionError
from pigeon_rec.runtime.files import write_parquet

__all__ = [
    "OPT_OUT_SCHEMA",
    "add_opt_outs",
    "opt_out_file",
    "read_opt_outs",
    "user_digest",
    "without_opted_out",
]

OPT_OUT_SCHEMA: Final = pl.Schema({"user_sha256": pl.String()})


def opt_out_file(work_dir: Path) -> Path:
    """Returns the list of a work directory; it need not exist."""
    return work_dir / "opt_out.parquet"


def user_digest(user_id: str) -> str:
    """Returns the SHA-256 of a user's id, in hexadecimal."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def read_opt_outs(path: Path) -> list[str]:
    """Returns the digests in the list, sorted; none if there is no list.

    Raises:
        InteractionError: The list cannot be read, which must not pass for an empty one.
    """
    if not path.exists():
        return []
    try:
        rows = pl.read_parquet(path, schema=OPT_OUT_SCHEMA)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InteractionError(
            f"cannot read who has opted out: {error}",
            location=str(path.absolute()),
            remedy="Put the file back from a backup; no night may run without it",
        ) from error
    return sorted(rows["user_sha256"].drop_nulls())


def without_opted_out(rows: pl.DataFrame, digests: Sequence[str]) -> pl.DataFrame:
    """Returns the rows whose `user_id` is not on the list."""
    if not digests:
        return rows
    listed = set(digests)
    doomed = [user for user in rows["user_id"].unique() if user_digest(user) in listed]
    return rows.filter(~pl.col("user_id").is_in(doomed))


def add_opt_outs(path: Path, user_ids: Iterable[str]) -> None:
    """Adds users to the list, which is made if needed.

    Raises:
        InteractionError: The list cannot be read.
    """
    digests = {*read_opt_outs(path), *map(user_digest, user_ids)}
    write_parquet(pl.DataFrame({"user_sha256": sorted(digests)}, schema=OPT_OUT_SCHEMA), path)
