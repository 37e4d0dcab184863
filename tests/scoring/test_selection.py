"""Selection against a plain-loop reading of the published rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pigeon_rec.scoring import (
    choose_preference_pairs,
    combine_scores,
    picture_scores,
    shortlist,
)

Floats = NDArray[np.float64]

# Few distinct values, so that ties are common.
TIED = st.sampled_from([0.0, 0.25, 0.5, 0.75])
SHAPES = st.tuples(*[st.integers(1, 4)] * 4)


@st.composite
def score_pairs(draw: st.DrawFn) -> tuple[Floats, Floats]:
    shape = draw(SHAPES)
    arrays = hnp.arrays(np.float64, shape, elements=TIED)
    return draw(arrays), draw(arrays)


def _first_max(values: list[float]) -> int:
    return values.index(max(values))


def _plain(scores: Floats, lowest: bool = False) -> list[tuple[int, int, int, float]]:
    """(ratio, sequence, image, score) per sample, by plain loops."""
    picks = []
    for sample in scores.tolist():
        tops = []
        for sequences in sample:
            images = [_first_max(images) for images in sequences]
            values = [images[i] for images, i in zip(sequences, images, strict=True)]
            s = _first_max(values)
            tops.append((s, images[s], values[s]))
        values = [-top[2] if lowest else top[2] for top in tops]
        ratio = _first_max(values)
        picks.append((ratio, *tops[ratio]))
    return picks


def select(target: object, history: object, weight: float = 0.5) -> NDArray[np.int64]:
    """The best mask ratio of each sample, by scores `[samples, ratios]`."""
    combined = combine_scores(target, history, weight)  # type: ignore[arg-type]
    return choose_preference_pairs(combined[..., None, None]).chosen.ratio


def _rows(choice: object) -> list[tuple[int, int, int, float]]:
    fields = ("ratio", "sequence", "image", "score")
    return list(zip(*(getattr(choice, field).tolist() for field in fields), strict=True))


@given(score_pairs())
def test_choice_follows_the_rule(pair: tuple[Floats, Floats]) -> None:
    target, history = pair
    choice = choose_preference_pairs(combine_scores(target, history)).chosen
    assert _rows(choice) == _plain(0.5 * target + 0.5 * history)
    assert choice.ratio.dtype == np.int64


@given(score_pairs())
def test_preference_pairs_follow_the_rule(pair: tuple[Floats, Floats]) -> None:
    history, _ = pair
    preference = choose_preference_pairs(history)
    assert _rows(preference.chosen) == _plain(history)
    assert _rows(preference.rejected) == _plain(history, lowest=True)


@given(score_pairs(), st.floats(0.0, 1.0))
def test_no_other_ratio_scores_higher(pair: tuple[Floats, Floats], weight: float) -> None:
    target, history = (scores[:, :, 0, 0] for scores in pair)
    combined = combine_scores(target, history, weight)
    picked = np.take_along_axis(combined, select(target, history, weight)[:, None], axis=1)
    assert np.all(picked >= combined)


@given(score_pairs())
def test_samples_do_not_see_each_other(pair: tuple[Floats, Floats]) -> None:
    target, history = (scores[:, :, 0, 0] for scores in pair)
    alone = [select(t[None], h[None])[0] for t, h in zip(target, history, strict=True)]
    assert select(target, history).tolist() == alone


def test_the_weight_moves_the_choice_from_history_to_target() -> None:
    target, history = [[0.9, 0.1]], [[0.1, 0.8]]
    assert [select(target, history, w)[0] for w in (0.0, 0.5, 1.0)] == [1, 0, 0]


def test_the_first_ratio_wins_a_tie() -> None:
    assert select([[0.2, 0.4, 0.3]], [[0.4, 0.2, 0.3]]).tolist() == [0]


def test_a_candidate_without_a_score_never_wins_nor_becomes_the_disliked_one() -> None:
    scores = np.array([[np.nan, -0.5, -0.4], [np.nan, np.nan, np.nan]])
    assert select(scores, scores).tolist() == [2, 0]
    pair = choose_preference_pairs(scores[:, :, None, None])
    assert pair.chosen.ratio.tolist() == [2, 0]
    assert pair.rejected.ratio.tolist() == [1, 0]


def test_single_precision_is_kept() -> None:
    scores = np.ones((1, 2, 1, 1), np.float32)
    combined = combine_scores(scores, scores)
    assert choose_preference_pairs(combined).chosen.score.dtype == np.float32


@pytest.mark.parametrize(
    ("target", "history", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 2)), "differ in shape"),
        (np.ones(3), np.ones(3), r"must be \[samples, ratios, sequences, images\]"),
        (np.ones((2, 0)), np.ones((2, 0)), "no candidate"),
    ],
)
def test_unusable_scores_are_refused(target: Floats, history: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select(target, history)


def test_a_weight_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\], received 1.5"):
        select([[1.0]], [[1.0]], 1.5)


def test_preference_needs_all_four_axes() -> None:
    with pytest.raises(ValueError, match="sequences, images"):
        choose_preference_pairs(np.ones((2, 3)))


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=TIED),
       st.integers(1, 7))  # fmt: skip
def test_the_most_promising_are_the_best_in_their_order(scores: Floats, count: int) -> None:
    places = shortlist(scores, count)
    assert places.shape == (len(scores), min(count, scores.shape[1]))
    for row, chosen in zip(scores.tolist(), places.tolist(), strict=True):
        best = sorted(range(len(row)), key=lambda place: (-row[place], place))[:count]
        assert chosen == sorted(best)


def test_what_could_not_be_scored_is_the_least_promising() -> None:
    assert shortlist([[np.nan, -1.0, 0.5], [np.nan, np.nan, -9.0]], 2).tolist() == [
        [1, 2],
        [0, 2],
    ]


def test_scores_have_the_names_and_values_that_the_gate_and_selection_know() -> None:
    """Candidates of several users get the same scores as each user alone."""
    random = np.random.default_rng(2)
    pictures, texts = random.normal(size=(3, 4, 5)), random.normal(size=(3, 5))
    history, references = random.normal(size=(3, 2, 5)), random.normal(size=(3, 5))
    together = picture_scores(pictures, texts[:, None], history[:, None], references[:, None])
    for user in range(3):
        alone = picture_scores(pictures[user], texts[user], history[user], references[user])
        assert list(alone) == ["text_score", "history_score", "reference_score", "selection_score"]
        for name, values in alone.items():
            assert values.tolist() == pytest.approx(together[name][user].tolist())
    one = pictures[0, 1] / np.linalg.norm(pictures[0, 1])
    cosine = [one @ other / np.linalg.norm(other) for other in (texts[0], *history[0])]
    assert together["text_score"][0, 1] == pytest.approx(cosine[0])
    assert together["history_score"][0, 1] == pytest.approx(np.mean(cosine[1:]))
    assert together["selection_score"][0, 1] == pytest.approx(
        0.5 * cosine[0] + 0.5 * np.mean(cosine[1:])
    )
