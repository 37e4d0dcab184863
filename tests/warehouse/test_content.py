from __future__ import annotations

import dataclasses
import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon_rec.warehouse import NIGHT_SCHEMAS, NightRecords
from pigeon_rec.warehouse._content import night_sha256
from pigeon_rec.warehouse._frames import registered
from pigeon_rec.warehouse.connection import connect_memory
from tests.warehouse.nights import night_of

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")
NIGHT = night_of([ANN, BEN], rejected=[CAT], problems=2)
PINNED = "4799a5bf3f5f7dc546f701bc21d491892ed5f849ffd479c73d9b4113f8f8c2e4"


def hash_of(night: NightRecords) -> str:
    """The hash in an empty warehouse, where all pictures and scores are new."""
    frames = {f"staged_{name}": getattr(night, name) for name in NIGHT_SCHEMAS}
    resolved = {
        "night_pictures": night.assets,
        "night_scores": night.scores,
        "night_run_assets": night.run_assets,
    }
    with connect_memory() as connection, registered(connection, **frames, **resolved):
        return night_sha256(connection, night)


def with_problem(subject: str, message: str, location: str | None = None) -> NightRecords:
    problem = NIGHT.problems.head(1).with_columns(
        subject=pl.lit(subject),
        message=pl.lit(message),
        location=pl.lit(location, pl.String),
    )
    return dataclasses.replace(NIGHT, problems=problem)


def with_history(*items: list[str]) -> NightRecords:
    histories = pl.Series("history_ids", list(items), dtype=pl.List(pl.String))
    return dataclasses.replace(NIGHT, assets=NIGHT.assets.with_columns(histories))


def test_the_hash_is_the_same_on_every_machine_and_release() -> None:
    # The bytes that Pillow writes for a picture depend on its version.
    assets = NIGHT.assets.with_columns(image_sha256=pl.lit("0" * 64))
    assert hash_of(dataclasses.replace(NIGHT, assets=assets)) == PINNED


@given(st.integers(0, 1 << 30))
def test_the_order_of_rows_does_not_count(seed: int) -> None:
    frames = ("assets", "run_assets", "scores", "rejections", "problems")
    shuffled = {
        name: getattr(NIGHT, name).sample(fraction=1.0, shuffle=True, seed=seed) for name in frames
    }
    assert hash_of(dataclasses.replace(NIGHT, **shuffled)) == hash_of(NIGHT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (with_problem("ab", "c"), with_problem("a", "bc")),
        (with_problem("a", "b", None), with_problem("a", "b", "")),
        (with_history(["a", "b"], ["c"]), with_history(["a"], ["b", "c"])),
        (with_history(["ab"], ["c"]), with_history(["a"], ["bc"])),
        (with_history([], ["a"]), with_history([""], ["a"])),
    ],
    ids=["texts", "null", "lists", "list texts", "empty list"],
)
def test_different_content_has_another_hash(one: NightRecords, other: NightRecords) -> None:
    assert hash_of(one) != hash_of(other)


def test_every_fact_and_column_counts() -> None:
    hashes = {hash_of(NIGHT)}
    facts: dict[str, object] = {
        "logical_date": dt.date(2026, 6, 2),
        "model_version": "x",
        "settings_hash": "x",
        "seed": 8,
        "config": {"model": "x"},
        "planned": 9,
        "skipped": 9,
    }
    for name, value in facts.items():
        changed: dict[str, object] = {name: value}
        hashes.add(hash_of(dataclasses.replace(NIGHT, **changed)))  # type: ignore[arg-type]
    for column in ("image_sha256", "format", "width", "mask_ratio", "seed", "model_version"):
        other = pl.lit(5) if NIGHT.assets[column].dtype.is_numeric() else pl.lit("x")
        assets = NIGHT.assets.with_columns(other.cast(NIGHT.assets[column].dtype).alias(column))
        hashes.add(hash_of(dataclasses.replace(NIGHT, assets=assets)))
    scores = NIGHT.scores.with_columns(pl.col("value") + 1e-12)
    hashes.add(hash_of(dataclasses.replace(NIGHT, scores=scores)))
    assert len(hashes) == 1 + len(facts) + 6 + 1


def test_locations_of_bytes_and_drawing_times_do_not_count() -> None:
    elsewhere = NIGHT.assets.with_columns(image_uri=pl.lit("s3://bucket/a.png"))
    slower = pl.DataFrame(
        {"shard": [0], "assets": [1], "seconds": [9.0]}, schema=NIGHT.drawing_times.schema
    )
    moved = dataclasses.replace(NIGHT, assets=elsewhere, drawing_times=slower)
    assert hash_of(moved) == hash_of(NIGHT)
