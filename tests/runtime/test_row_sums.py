"""Sums of rows that are the same whatever their order and division."""

from __future__ import annotations

import hashlib

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.runtime.digests import RowsSum, id_hashes


def table(rows: list[tuple[str, int, float]]) -> pl.DataFrame:
    schema = {"name": pl.String(), "number": pl.Int32(), "score": pl.Float32()}
    return pl.DataFrame(rows, schema=schema, orient="row")


rows = st.lists(
    st.tuples(st.text(max_size=3), st.integers(-5, 5), st.sampled_from([0.0, 0.5, -1.0])),
    max_size=20,
)


@settings(max_examples=50)
@given(rows=rows, cut=st.integers(0, 20), order=st.randoms(use_true_random=False))
def test_neither_order_nor_division_of_rows_changes_their_sum(
    rows: list[tuple[str, int, float]], cut: int, order: object
) -> None:
    whole = RowsSum.of(table(rows))
    mixed = list(rows)
    order.shuffle(mixed)  # type: ignore[attr-defined]
    parts = RowsSum.of(table(mixed[:cut])) + RowsSum.of(table(mixed[cut:]))
    assert parts == whole
    assert whole.rows == len(rows)


def test_every_change_of_a_row_changes_the_sum() -> None:
    before = [("a", 1, 0.5), ("b", 2, 0.5)]
    changed = [
        [("a", 1, 0.5)],
        [*before, ("b", 2, 0.5)],
        [("a", 2, 0.5), ("b", 1, 0.5)],
        [("a", 1, 0.5), ("b", 2, 0.25)],
        [("b", 1, 0.5), ("b", 2, 0.5)],
        [("a", 1, 0.5), ("b", -2, 0.5)],
    ]
    sums = [RowsSum.of(table(rows)).sha256(["name"]) for rows in (before, *changed)]
    assert len(set(sums)) == len(sums)
    whole = RowsSum.of(table(before))
    assert whole.sha256(["name"]) != whole.sha256(["other"])


def test_the_hash_of_an_id_is_the_same_everywhere() -> None:
    first = hashlib.sha256(b"u1").digest()[:8]
    assert id_hashes(pl.Series(["u2", "u1", "u2"]))[1] == int.from_bytes(first, "little")
    assert RowsSum.of(table([("a", 1, 0.5)])).total == 1821315502779369103
