"""Windows and their split, as properties that hold for any interactions."""

from __future__ import annotations

from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.data.sequences import make_sequences, sliding_windows, split_windows

Rows = list[tuple[str, str, int]]
ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("rstuvwxyz"), st.integers(0, 40)),
    max_size=60,
)


def frame(rows: Rows) -> pl.DataFrame:
    schema = {"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def by_hand(rows: Rows) -> list[tuple[str, list[str], str, int, int]]:
    """Each user's windows, one by one."""
    expected = []
    for user in sorted({row[0] for row in rows}):
        own = sorted((time, item) for owner, item, time in rows if owner == user)
        expected += [
            (user, [item for _, item in own[i - 5 : i]], own[i][1], own[i][0], i)
            for i in range(5, len(own))
        ]
    return expected


@settings(max_examples=80, deadline=None)
@given(ROWS)
def test_windows_are_five_and_one_chronological_and_of_one_user(rows: Rows) -> None:
    assert sliding_windows(frame(rows)).rows() == by_hand(rows)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows: Rows, random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert make_sequences(frame(shuffled)).rows() == make_sequences(frame(rows)).rows()


@settings(max_examples=80, deadline=None)
@given(ROWS)
def test_the_split_is_eight_one_one_by_time(rows: Rows) -> None:
    windows = make_sequences(frame(rows))
    total = windows.height
    counts = {split: windows.filter(split=split).height for split in ("train", "valid", "test")}
    assert sum(counts.values()) == total
    assert abs(counts["train"] - 0.8 * total) < 1
    assert abs(counts["valid"] - 0.1 * total) < 1
    assert abs(counts["test"] - 0.1 * total) < 1
    times = [windows.filter(split=split)["timestamp"] for split in ("train", "valid", "test")]
    for earlier, later in pairwise(times):
        if len(earlier) and len(later):
            assert earlier.max() <= later.min()  # type: ignore[operator]


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_splitting_keeps_the_windows_and_their_order(rows: Rows) -> None:
    windows = sliding_windows(frame(rows))
    assert split_windows(windows).drop("split").equals(windows)


def test_ten_windows_split_eight_one_one() -> None:
    rows = [("u", f"i{time:02}", time) for time in range(15)]
    assert make_sequences(frame(rows))["split"].to_list() == ["train"] * 8 + ["valid", "test"]


def test_ties_in_time_are_broken_by_user_and_position() -> None:
    rows = [(user, f"i{i}", 7) for user in "ba" for i in range(10)]
    windows = make_sequences(frame(rows))
    assert windows["user_id"].to_list() == ["a"] * 5 + ["b"] * 5
    assert windows["split"].to_list() == ["train"] * 8 + ["valid", "test"]


def test_a_user_with_five_interactions_has_no_window() -> None:
    assert sliding_windows(frame([("u", f"i{i}", i) for i in range(5)])).is_empty()


def test_the_history_can_be_shorter() -> None:
    windows = sliding_windows(frame([("u", f"i{i}", i) for i in range(4)]), history_length=2)
    assert windows["history_ids"].to_list() == [["i0", "i1"], ["i1", "i2"]]
    assert windows["target_id"].to_list() == ["i2", "i3"]
