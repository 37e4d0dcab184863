"""Pictures of several items: once in a history, and none of a placeholder."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.retrieval import shared_pictures
from tests.small_world import write_items

START = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
PICTURES = {"a": "A", "b": "A", "c": "A", "d": "D", "e": "E", "f": "E"}


def catalogue(pictures: dict[str, str]) -> Catalogue:
    rows = [
        {
            "item_id": item,
            "image_uri": f"{name}.png",
            "image_sha256": hashlib.sha256(name.encode()).hexdigest(),
        }
        for item, name in pictures.items()
    ]
    return Catalogue(pl.DataFrame(rows), None)


def interactions(rows: list[tuple[str, str, int]]) -> pl.DataFrame:
    """Rows of (user, item, day)."""
    timed = [(user, item, START + dt.timedelta(days=day)) for user, item, day in rows]
    schema = pl.Schema(
        {"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Datetime("us", "UTC")}
    )
    return pl.DataFrame(timed, schema=schema, orient="row")


def kept(rows: list[tuple[str, str, int]]) -> list[tuple[str, str]]:
    once = shared_pictures(catalogue(PICTURES), 1.0).once(interactions(rows))
    assert once.columns == ["user_id", "item_id", "timestamp"]
    return once.select("user_id", "item_id").rows()


def test_the_latest_of_equal_pictures_is_kept() -> None:
    rows = [("u", "a", 3), ("u", "b", 1), ("u", "d", 0), ("u", "a", 0), ("v", "b", 1)]
    assert kept(rows) == [("u", "a"), ("u", "d"), ("u", "a"), ("v", "b")]


def test_a_tie_goes_to_the_first_id() -> None:
    assert kept([("u", "c", 1), ("u", "b", 1), ("u", "f", 0)]) == [("u", "b"), ("u", "f")]


@given(
    st.lists(st.tuples(st.sampled_from("uv"), st.sampled_from(sorted(PICTURES)), st.integers(0, 3)))
)
def test_every_picture_of_a_user_is_left_once(rows: list[tuple[str, str, int]]) -> None:
    once = {(user, PICTURES[item]) for user, item in kept(rows)}
    assert once == {(user, PICTURES[item]) for user, item, _ in rows}
    assert len(set(kept(rows))) == len(once)


def test_without_copies_nothing_changes() -> None:
    rows = interactions([("u", "b", 1), ("u", "a", 0)])
    shared = shared_pictures(catalogue({"a": "A", "b": "B"}), 0.0)
    assert shared.once(rows) is rows
    assert (shared.placeholders, shared.problems) == ({}, ())


@pytest.mark.parametrize(
    ("copies", "others", "share", "found"),
    [
        (5, 20, 0.2, False),  # exactly the share
        (6, 20, 0.2, True),
        (4, 0, 0.1, False),  # too few to tell
        (5, 0, 0.9, True),
        (9, 0, 1.0, False),  # switched off
    ],
)
def test_a_picture_of_a_large_share_is_a_placeholder(
    copies: int, others: int, share: float, found: bool
) -> None:
    pictures = {f"c{n}": "none yet" for n in range(copies)} | {
        f"i{n}": f"{n}" for n in range(others)
    }
    shared = shared_pictures(catalogue(pictures), share)
    assert set(shared.placeholders) == ({f"c{n}" for n in range(copies)} if found else set())
    # What is no placeholder still counts once.
    assert set(shared.pictures["item_id"]) == (set() if found else {f"c{n}" for n in range(copies)})
    assert [(p.kind, p.subject) for p in shared.problems] == (
        [("placeholder_image", "c0")] if found else []
    )


def test_the_problem_names_picture_and_share(tmp_path: Path) -> None:
    rows = [(f"i{n}", "none.png", "a" * 64) for n in range(5)]
    items = load_catalogue(
        write_items(tmp_path / "items.parquet", [*rows, ("j", "j.png", "b" * 64)])
    )
    [problem] = shared_pictures(items, 0.5).problems
    assert problem.location == f"image_uri 'none.png', {'a' * 64}"
    assert problem.message.startswith(
        "the picture is that of 5 items (83.3%), so it is taken for a"
    )
