"""What a catalogue holds out."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon_rec.data.held_out import MOST, choose_held_out


def grid(concepts: int, styles: int) -> pl.DataFrame:
    """Every concept in every style, each picture once and chosen by someone."""
    rows = [(f"i{c}-{s}", f"s{s}", f"c{c}") for c in range(concepts) for s in range(styles)]
    return items(rows)


def items(rows: Sequence[tuple[str, str | None, str | None]]) -> pl.DataFrame:
    schema = dict.fromkeys(("item_id", "style", "concept"), pl.String())
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(image_sha256=pl.col("item_id"), chosen=pl.lit(value=True))


def held_out(frame: pl.DataFrame) -> set[str]:
    return set(frame.filter(choose_held_out(frame))["item_id"])


@given(concepts=st.integers(1, 60), styles=st.integers(2, 6))
def test_every_concept_keeps_a_style_and_loses_three_at_most(concepts: int, styles: int) -> None:
    frame = grid(concepts, styles)
    lost = frame.with_columns(choose_held_out(frame)).group_by("concept").agg(
        pl.col("held_out").sum(), pl.len()
    )  # fmt: skip
    assert (lost["held_out"] < lost["len"]).all()
    assert (lost["held_out"] <= 3).all()
    assert lost["held_out"].sum() <= 0.25 * frame.height


def test_about_a_tenth_of_many_pairs_and_of_many_items_is_held_out() -> None:
    for frame in (grid(400, 5), items([(f"i{n}", None, None) for n in range(2000)])):
        assert 0.08 < choose_held_out(frame).mean() < 0.12  # type: ignore[operator]


def test_no_more_than_can_be_evaluated_is_held_out() -> None:
    frame = items([(f"i{n}", None, None) for n in range(40 * MOST)])
    assert choose_held_out(frame).sum() == MOST


@pytest.mark.parametrize("count", [4, 12, 40])
def test_a_quarter_of_a_few_items_is(count: int) -> None:
    frame = items([(f"i{n}", None, None) for n in range(count)])
    assert choose_held_out(frame).sum() == min(20, count // 4)


def test_a_larger_catalogue_holds_out_the_same_and_some_of_the_new_ones() -> None:
    few = items([(f"i{n}", None, None) for n in range(1000)])
    more = items([(f"i{n}", None, None) for n in range(1500)])
    assert held_out(few) < held_out(more)
    assert held_out(few.reverse()) == held_out(few)


def test_a_pair_of_several_items_is_held_out_as_a_whole() -> None:
    frame = items([(f"i{c}-{s}-{n}", f"s{s}", f"c{c}")
                   for c in range(40) for s in range(3) for n in range(2)])  # fmt: skip
    cells = frame.with_columns(choose_held_out(frame)).group_by("concept", "style").agg(
        pl.col("held_out").n_unique()
    )  # fmt: skip
    assert choose_held_out(frame).any()
    assert (cells["held_out"] == 1).all()


def test_a_picture_that_another_item_shows_too_is_not_held_out() -> None:
    for frame in (grid(60, 3), items([(f"i{n}", None, None) for n in range(200)])):
        twice = held_out(frame)
        shared = pl.when(pl.col("item_id").is_in(list(twice))).then(pl.lit("same"))
        again = frame.with_columns(image_sha256=shared.otherwise("image_sha256"))
        assert twice
        assert not twice & held_out(again)


def test_items_that_nobody_has_chosen_make_no_case() -> None:
    frame = items([(f"i{n}", None, None) for n in range(200)])
    liked = frame.with_columns(chosen=pl.col("item_id") < "i5")
    assert all(item < "i5" for item in held_out(liked))


def test_labels_decide_between_pairs_and_items() -> None:
    """A concept in one style only cannot be redrawn from another: its items go one by one."""
    single = [(f"a{n}", "s0", f"c{n // 2}") for n in range(80)]
    frame = items([*single, *grid(40, 3).select("item_id", "style", "concept").rows()])
    frame = frame.with_columns(concept=pl.when(pl.col("item_id").str.starts_with("a"))
                               .then("x" + pl.col("concept")).otherwise("concept"))  # fmt: skip
    chosen = held_out(frame)
    assert any(item.startswith("a") for item in chosen)
    assert any(item.startswith("i") for item in chosen)


def test_of_a_concept_one_item_stays() -> None:
    frame = items([(f"i{n}", None, f"c{n // 2}") for n in range(60)])
    kept = frame.filter(~choose_held_out(frame))
    assert choose_held_out(frame).sum() > 5
    assert kept["concept"].n_unique() == 30
