"""Division of users into parts by ranges of their ids, without holding the tables."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.data.parts import ONE_PART, UserParts, divide_users, scatter, scattered

ids = st.text(st.sampled_from("abü\n𝄞"), min_size=1, max_size=4)


def rows_of(users: list[str]) -> pl.LazyFrame:
    return pl.LazyFrame({"user_id": users}, schema={"user_id": pl.String}).with_row_index("row")


@settings(max_examples=50)
@given(users=st.lists(ids, min_size=1, max_size=40), per_part=st.integers(1, 12))
def test_parts_are_ranges_of_about_the_wanted_size(users: list[str], per_part: int) -> None:
    parts = divide_users(rows_of(users), per_part)
    distinct = pl.Series(sorted(set(users), key=str.encode))
    numbers = parts.numbers(distinct)
    assert numbers.is_sorted()
    if len(users) <= per_part:
        assert parts == ONE_PART
        return
    assert numbers.unique().to_list() == list(range(len(parts)))
    sizes = numbers.value_counts()["count"]
    assert len(parts) == -(-len(distinct) // per_part)
    assert sizes.max() <= per_part  # type: ignore[operator]
    assert sizes.max() - sizes.min() <= 1  # type: ignore[operator]


def test_many_users_are_divided_by_a_sample() -> None:
    users = pl.LazyFrame({"user_id": [f"u{n:06d}" for n in range(200_000)] * 2})
    parts = divide_users(users, 50_000)
    assert len(parts) in (4, 5)
    sizes = parts.numbers(users.collect()["user_id"]).value_counts()["count"] / 2
    assert max(sizes) < 55_000
    assert min(sizes) > 35_000


@settings(max_examples=25)
@given(users=st.lists(ids, max_size=40), firsts=st.sets(ids, max_size=6))
def test_every_row_is_in_the_part_of_its_user_and_in_order(
    users: list[str], firsts: set[str]
) -> None:
    rows = rows_of(users)
    parts = UserParts(tuple(sorted(firsts, key=str.encode)))
    with tempfile.TemporaryDirectory() as folder:
        scatter(rows, parts, Path(folder) / "raw")
        found = list(scattered(rows, parts, Path(folder) / "raw"))
    assert len(found) == len(parts)
    numbers = parts.numbers(rows.collect()["user_id"])
    for number, frame in enumerate(found):
        assert frame.equals(rows.collect().filter(numbers == number))


@pytest.mark.parametrize("users", [["a", "b"], ["b", "a", "b"]])
def test_a_user_at_the_border_belongs_to_the_later_part(users: list[str]) -> None:
    parts = UserParts(("b",))
    assert parts.numbers(pl.Series(users)).to_list() == [int(user == "b") for user in users]
