"""Cases that ask for a concept in the style of a history."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.restyle import RestyleBatch, RestyleCases, other_style

USERS, TARGETS = 300, 3


def rows_of(batch: RestyleBatch) -> tuple[NDArray[np.int64], ...]:
    return batch.history.numpy(), batch.reference.numpy(), batch.target.numpy()


@pytest.fixture(scope="module")
def batch(artwork: TrainingArtwork) -> RestyleBatch:
    cases = RestyleCases(artwork, noise=0.0, same_reference=0.0, same_theme=0.5)
    return cases.draw(USERS, TARGETS, np.random.default_rng(0))


def test_shapes_and_range(artwork: TrainingArtwork, batch: RestyleBatch) -> None:
    history, reference, target = rows_of(batch)
    assert history.shape == (USERS, 5)
    assert reference.shape == target.shape == (USERS, TARGETS)
    for rows in (history, reference, target):
        assert rows.dtype == np.int64
        assert rows.min() >= 0
        assert rows.max() < 2 * len(artwork)


def test_a_case_is_mirrored_as_a_whole_or_not_at_all(
    artwork: TrainingArtwork, batch: RestyleBatch
) -> None:
    mirrored = np.concatenate(rows_of(batch), axis=1) >= len(artwork)
    assert (mirrored.all(1) | ~mirrored.any(1)).all()
    assert 0.4 < mirrored.all(1).mean() < 0.6


def test_history_and_targets_have_one_style_and_no_picture_twice(
    artwork: TrainingArtwork, batch: RestyleBatch
) -> None:
    history, _, target = (rows % len(artwork) for rows in rows_of(batch))
    together = np.concatenate([history, target], axis=1)
    assert all(len(set(artwork.style[row])) == 1 for row in together)
    assert all(len(set(row)) == len(row) for row in together.tolist())
    assert set(artwork.style[target].ravel()) == set(range(len(artwork.styles)))


def test_the_reference_is_the_concept_in_another_style(
    artwork: TrainingArtwork, batch: RestyleBatch
) -> None:
    _, reference, target = (rows % len(artwork) for rows in rows_of(batch))
    assert np.array_equal(artwork.concept[reference], artwork.concept[target])
    alone = (artwork.at[artwork.concept[target]] >= 0).sum(-1) == 1
    other = artwork.style[reference] != artwork.style[target]
    assert np.array_equal(other, ~alone)
    assert other.mean() > 0.9


def test_a_concept_in_one_style_only_is_its_own_reference(artwork: TrainingArtwork) -> None:
    style = 2
    rows = np.flatnonzero(artwork.style == style)
    at = np.full_like(artwork.at, -1)
    at[artwork.concept[rows], style] = rows
    lonely = TrainingArtwork(
        artwork.rows, artwork.images, artwork.style, artwork.concept, at, artwork.styles,
        artwork.concepts,
    )  # fmt: skip
    found = other_style(lonely, rows, 0.0, np.random.default_rng(0))
    assert np.array_equal(found, rows)


def test_all_other_styles_serve_as_reference(artwork: TrainingArtwork) -> None:
    target = np.flatnonzero(artwork.style == 0)[:1].repeat(400)
    found = other_style(artwork, target, 0.0, np.random.default_rng(0))
    concept = artwork.concept[target[0]]
    assert set(found) == set(artwork.at[concept][1:]) - {-1}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_asked_share_of_references_is_the_target(
    artwork: TrainingArtwork, share: float
) -> None:
    cases = RestyleCases(artwork, same_reference=share)
    batch = cases.draw(USERS, TARGETS, np.random.default_rng(1))
    found = float((batch.reference == batch.target).double().mean())
    assert found == pytest.approx(share, abs=0.08)


def test_the_asked_share_of_the_history_is_of_any_style(artwork: TrainingArtwork) -> None:
    cases = RestyleCases(artwork, noise=0.4)
    history, _, target = (
        rows % len(artwork) for rows in rows_of(cases.draw(USERS, 2, np.random.default_rng(2)))
    )
    other = artwork.style[history] != artwork.style[target[:, :1]]
    assert float(other.mean()) == pytest.approx(0.4 * 7 / 8, abs=0.06)


def test_a_theme_can_be_shared(artwork: TrainingArtwork) -> None:
    category = artwork.rows["category"].to_numpy().astype(str)

    def one_theme(same_theme: float) -> float:
        cases = RestyleCases(artwork, noise=0.0, same_theme=same_theme)
        history, _, target = (
            rows % len(artwork) for rows in rows_of(cases.draw(USERS, 1, np.random.default_rng(3)))
        )
        rows = np.concatenate([history, target], axis=1)
        return float(np.mean([len(set(category[row])) == 1 for row in rows]))

    assert one_theme(1.0) > 0.9 > 0.3 > one_theme(0.0)


def test_the_generator_decides_everything(artwork: TrainingArtwork) -> None:
    cases = RestyleCases(artwork)
    one, same, other = (cases.draw(4, 3, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(rows_of(one), rows_of(same), strict=True))
    assert not np.array_equal(one.target, other.target)
