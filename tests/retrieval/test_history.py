"""History retrieval against an exhaustive search over each user's items."""

from __future__ import annotations

import datetime

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.config import RetrievalConfig
from pigeon_rec.errors import RetrievalError
from pigeon_rec.retrieval.history import HistoryRetriever

NOW = datetime.datetime(2026, 8, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
ITEMS = ["a", "b", "c", "d", "e", "f", "g"]


def unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    rows: npt.NDArray[np.float32] = vectors.astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def interactions(rows: list[tuple[str, str, float]]) -> pl.DataFrame:
    """Rows of user, item and age in days at `NOW`."""
    return pl.DataFrame(
        {
            "user_id": [row[0] for row in rows],
            "item_id": [row[1] for row in rows],
            "timestamp": [NOW - row[2] * DAY for row in rows],
        },
        schema={
            "user_id": pl.String(),
            "item_id": pl.String(),
            "timestamp": pl.Datetime("us", "UTC"),
        },
    )


def pairs(*rows: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        list(rows), schema={"user_id": pl.String(), "item_id": pl.String()}, orient="row"
    )


def exhaustive(
    embeddings: npt.NDArray[np.float32],
    rows: list[tuple[str, str, float]],
    user: str,
    reference: str,
    config: RetrievalConfig,
) -> list[tuple[str, float]]:
    """Every other item of the user, scored one by one; ages below zero are in the future."""
    ages: dict[str, float] = {}
    for owner, item, age in rows:
        if owner == user and age > 0:
            ages[item] = min(age, ages.get(item, age))
    newest = min(ages.values(), default=0.0)
    anchor = embeddings[ITEMS.index(reference)].astype(np.float64)
    scored = [
        (
            item,
            config.relevance_weight * float(embeddings[ITEMS.index(item)] @ anchor)
            + config.recency_weight * 0.5 ** ((age - newest) / config.half_life_days),
        )
        for item, age in ages.items()
        if item != reference
    ]
    return sorted(scored, key=lambda pair: (-round(pair[1], 5), pair[0]))[: config.history_length]


@settings(max_examples=150, deadline=None)
@given(
    codes=st.lists(st.integers(0, 3), min_size=len(ITEMS), max_size=len(ITEMS)),
    rows=st.lists(
        st.tuples(
            st.sampled_from(["u1", "u2", "u3"]),
            st.sampled_from(ITEMS),
            st.sampled_from([-1.0, 1.0, 2.0, 40.0]),
        ),
        max_size=25,
    ),
    requested=st.lists(
        st.tuples(st.sampled_from(["u1", "u2", "u3", "nobody"]), st.sampled_from(ITEMS)),
        min_size=1,
        max_size=8,
    ),
    relevance=st.sampled_from([0.0, 1.0]),
    recency=st.sampled_from([0.0, 0.25]),
    length=st.integers(1, 6),
)
def test_equals_exhaustive_search(
    codes: list[int],
    rows: list[tuple[str, str, float]],
    requested: list[tuple[str, str]],
    relevance: float,
    recency: float,
    length: int,
) -> None:
    # Only four different vectors, so that equal scores are common.
    palette = unit(np.random.default_rng(7).normal(size=(4, 5)))
    embeddings = palette[codes]
    config = RetrievalConfig(
        history_length=length,
        relevance_weight=relevance,
        recency_weight=recency,
        taste_weight=0.0,
    )
    retriever = HistoryRetriever(embeddings, interactions(rows), ITEMS, config, NOW)
    found = retriever.retrieve(pairs(*requested))
    assert found.select("user_id", "item_id").rows() == requested
    for (user, reference), row in zip(requested, found.iter_rows(named=True), strict=True):
        expected = exhaustive(embeddings, rows, user, reference, config)
        assert row["history_ids"] == [item for item, _ in expected]
        assert row["history_scores"] == pytest.approx([score for _, score in expected], abs=1e-5)
        cosines = [
            embeddings[ITEMS.index(item)] @ embeddings[ITEMS.index(reference)]
            for item, _ in expected
        ]
        assert row["history_similarity"] == pytest.approx(cosines, abs=1e-5)


def test_only_own_items_and_never_the_reference() -> None:
    embeddings = np.eye(7, dtype=np.float32)
    rows = [("u1", "a", 1.0), ("u1", "b", 2.0), ("u2", "c", 1.0)]
    retriever = HistoryRetriever(embeddings, interactions(rows), ITEMS, RetrievalConfig(), NOW)
    found = retriever.retrieve(pairs(("u1", "a"), ("u1", "c"), ("u2", "c"), ("u3", "a")))
    assert found["history_ids"].to_list() == [["b"], ["a", "b"], [], []]


def test_recency_breaks_ties_of_relevance_and_decays_with_the_half_life() -> None:
    embeddings = np.ones((7, 1), dtype=np.float32)
    rows = [("u", "a", 61.0), ("u", "b", 31.0), ("u", "c", 1.0)]
    config = RetrievalConfig(
        relevance_weight=1.0, recency_weight=0.4, half_life_days=30.0, taste_weight=0.0
    )
    retriever = HistoryRetriever(embeddings, interactions(rows), ITEMS, config, NOW)
    row = retriever.retrieve(pairs(("u", "d"))).row(0, named=True)
    assert row["history_ids"] == ["c", "b", "a"]
    assert row["history_scores"] == pytest.approx([1.4, 1.2, 1.1])


def test_taste_weight_prefers_items_near_the_users_mean_to_items_near_the_reference() -> None:
    embeddings = unit(
        np.array([[1, 0], [0.9, 0.2], [0.95, -0.1], [0.2, 1], [0.1, 1], [0, 1], [1, 1]])
    )
    rows = [("u", item, 1.0) for item in "abcd"]
    requested = pairs(("u", "f"))
    for weight, first in ((0.0, "d"), (3.0, "b")):
        config = RetrievalConfig(history_length=1, recency_weight=0.0, taste_weight=weight)
        found = HistoryRetriever(embeddings, interactions(rows), ITEMS, config, NOW).retrieve(
            requested
        )
        assert found["history_ids"].to_list() == [[first]]


def test_history_of_an_inactive_user_stays_the_same_on_later_nights() -> None:
    embeddings = unit(np.random.default_rng(3).normal(size=(7, 4)))
    rows = [("u", item, 3.0 * (i + 1)) for i, item in enumerate(ITEMS)]
    tonight, later = (
        HistoryRetriever(embeddings, interactions(rows), ITEMS, RetrievalConfig(), as_of)
        for as_of in (NOW, NOW + 400 * DAY)
    )
    requested = pairs(*[("u", item) for item in ITEMS])
    assert tonight.retrieve(requested).equals(later.retrieve(requested))


def test_order_of_interactions_and_batches_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(11)
    embeddings = unit(rng.normal(size=(7, 3)))
    rows = [(f"u{i % 3}", item, float(i % 5) + 1) for i, item in enumerate(ITEMS * 2)]
    requested = pairs(*[(f"u{i}", item) for i in range(3) for item in ITEMS])
    one = HistoryRetriever(embeddings, interactions(rows), ITEMS, RetrievalConfig(), NOW)
    expected = one.retrieve(requested)
    monkeypatch.setattr("pigeon_rec.retrieval.history._CELLS", 9)
    monkeypatch.setattr("pigeon_rec.retrieval._user_items._ROWS", 3)
    shuffled = interactions([rows[i] for i in rng.permutation(len(rows))])
    other = HistoryRetriever(embeddings, shuffled, ITEMS, RetrievalConfig(), NOW)
    assert other.retrieve(requested).equals(expected)


def test_no_pairs_and_no_interactions_give_empty_lists() -> None:
    embeddings = np.eye(7, dtype=np.float32)
    retriever = HistoryRetriever(embeddings, interactions([]), ITEMS, RetrievalConfig(), NOW)
    empty = retriever.retrieve(pairs())
    assert empty.height == 0
    assert dict(empty.schema) == {
        "user_id": pl.String(),
        "item_id": pl.String(),
        "history_ids": pl.List(pl.String()),
        "history_scores": pl.List(pl.Float32()),
        "history_similarity": pl.List(pl.Float32()),
    }
    assert retriever.retrieve(pairs(("u", "a")))["history_ids"].to_list() == [[]]


def test_unknown_items_are_named() -> None:
    embeddings = np.eye(7, dtype=np.float32)
    with pytest.raises(
        RetrievalError, match=r"1 item ids have no embedding.*'zebra'.*interactions"
    ):
        HistoryRetriever(
            embeddings, interactions([("u", "zebra", 1.0)]), ITEMS, RetrievalConfig(), NOW
        )
    retriever = HistoryRetriever(embeddings, interactions([]), ITEMS, RetrievalConfig(), NOW)
    with pytest.raises(RetrievalError, match=r"'yak'.*pairs"):
        retriever.retrieve(pairs(("u", "yak")))


@pytest.mark.parametrize(
    ("embeddings", "item_ids", "message"),
    [
        (np.eye(2, dtype=np.float32), ["a"], r"shape \(2, 2\) do not match 1 item"),
        (np.full((1, 2), np.nan, dtype=np.float32), ["a"], r"not finite \[item a\]"),
        (np.eye(2, dtype=np.float32), ["a", "a"], "not unique"),
    ],
)
def test_embeddings_that_do_not_match_are_refused(
    embeddings: npt.NDArray[np.float32], item_ids: list[str], message: str
) -> None:
    with pytest.raises(RetrievalError, match=message):
        HistoryRetriever(embeddings, interactions([]), item_ids, RetrievalConfig(), NOW)


def test_a_history_may_be_longer_than_any_user_has_items() -> None:
    embeddings = unit(np.eye(len(ITEMS)))
    rows = interactions([("u", "a", 1.0), ("u", "b", 2.0), ("v", "c", 1.0)])
    config = RetrievalConfig(history_length=2**31 - 1)
    retriever = HistoryRetriever(embeddings, rows, ITEMS, config, NOW)
    found = retriever.retrieve(pairs(("u", "g"), ("v", "g"), ("w", "g")))
    assert found["history_ids"].to_list() == [["a", "b"], ["c"], []]
