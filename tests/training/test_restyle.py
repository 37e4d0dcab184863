"""Restyling samples: a concept in the style of a history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.restyle import RestyleBatch, RestyleSamples, other_style

USERS, TARGETS = 300, 3


def rows_of(batch: RestyleBatch) -> tuple[NDArray[np.int64], ...]:
    return batch.history.numpy(), batch.reference.numpy(), batch.target.numpy()


@pytest.fixture(scope="module")
def batch(artwork: TrainingArtwork) -> RestyleBatch:
    samples = RestyleSamples(artwork, noise=0.0, same_reference=0.0, same_category=0.5)
    return samples.draw(USERS, TARGETS, np.random.default_rng(0))


def test_shapes_and_range(artwork: TrainingArtwork, batch: RestyleBatch) -> None:
    history, reference, target = rows_of(batch)
    assert history.shape == (USERS, 5)
    assert reference.shape == target.shape == (USERS, TARGETS)
    for rows in (history, reference, target):
        assert rows.dtype == np.int64
        assert rows.min() >= 0
        assert rows.max() < 2 * len(artwork)


def test_a_sample_is_mirrored_as_a_whole_or_not_at_all(
    artwork: TrainingArtwork, batch: RestyleBatch
) -> None:
    mirrored = np.concatenate(rows_of(batch), axis=1) >= len(artwork)
    assert (mirrored.all(1) | ~mirrored.any(1)).all()
    assert 0.4 < mirrored.all(1).mean() < 0.6


def test_history_and_targets_have_one_style_and_no_duplicates(
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
    found = other_style(replace(artwork, at=at), rows, 0.0, np.random.default_rng(0))
    assert np.array_equal(found, rows)


def test_references_are_of_all_other_styles(artwork: TrainingArtwork) -> None:
    target = np.flatnonzero(artwork.style == 0)[:1].repeat(400)
    found = other_style(artwork, target, 0.0, np.random.default_rng(0))
    concept = artwork.concept[target[0]]
    assert set(found) == set(artwork.at[concept][1:]) - {-1}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_configured_share_of_references_is_the_target(
    artwork: TrainingArtwork, share: float
) -> None:
    samples = RestyleSamples(artwork, same_reference=share)
    batch = samples.draw(USERS, TARGETS, np.random.default_rng(1))
    found = float((batch.reference == batch.target).double().mean())
    assert found == pytest.approx(share, abs=0.08)


def test_the_configured_share_of_the_history_is_of_any_style(artwork: TrainingArtwork) -> None:
    samples = RestyleSamples(artwork, noise=0.4)
    history, _, target = (
        rows % len(artwork) for rows in rows_of(samples.draw(USERS, 2, np.random.default_rng(2)))
    )
    other = artwork.style[history] != artwork.style[target[:, :1]]
    assert float(other.mean()) == pytest.approx(0.4 * 7 / 8, abs=0.06)


def test_history_and_targets_can_share_a_category(artwork: TrainingArtwork) -> None:
    category = artwork.rows["category"].to_numpy().astype(str)

    def one_category(same_category: float) -> float:
        samples = RestyleSamples(artwork, noise=0.0, same_category=same_category)
        history, _, target = (
            rows % len(artwork)
            for rows in rows_of(samples.draw(USERS, 1, np.random.default_rng(3)))
        )
        rows = np.concatenate([history, target], axis=1)
        return float(np.mean([len(set(category[row])) == 1 for row in rows]))

    assert one_category(1.0) > 0.9 > 0.3 > one_category(0.0)


def test_samples_are_determined_by_the_generator(artwork: TrainingArtwork) -> None:
    samples = RestyleSamples(artwork)
    one, same, other = (samples.draw(4, 3, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(rows_of(one), rows_of(same), strict=True))
    assert not np.array_equal(one.target, other.target)
