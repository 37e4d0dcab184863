"""Restyling samples: a concept in the style of a history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pigeon_rec.training.artwork import ArtworkTensors, TrainingArtwork
from pigeon_rec.training.restyle import RestyleBatch, RestyleSamples, other_style
from tests.training.tiny import generator

USERS, TARGETS = 300, 3


@pytest.fixture(scope="module")
def images(artwork: TrainingArtwork) -> ArtworkTensors:
    return ArtworkTensors.of(artwork)


@pytest.fixture(scope="module")
def category(artwork: TrainingArtwork) -> Tensor:
    names = artwork.rows["category"].to_numpy().astype(str)
    return torch.from_numpy(np.unique(names, return_inverse=True)[1])


@pytest.fixture(scope="module")
def batch(images: ArtworkTensors, category: Tensor) -> RestyleBatch:
    samples = RestyleSamples(
        images, category, TARGETS, noise=0.0, same_reference=0.0, same_category=0.5
    )
    return samples.draw(USERS, generator())


def test_shapes_and_range(images: ArtworkTensors, batch: RestyleBatch) -> None:
    assert batch.history.shape == (USERS, 5)
    assert batch.reference.shape == batch.target.shape == (USERS, TARGETS)
    for rows in (batch.history, batch.reference, batch.target):
        assert torch.isin(rows, images.training).all()


def test_history_and_targets_have_one_style_and_no_duplicates(
    images: ArtworkTensors, batch: RestyleBatch
) -> None:
    together = torch.cat([batch.history, batch.target], dim=1)
    assert all(len(set(styles)) == 1 for styles in images.style[together].tolist())
    assert all(len(set(row)) == len(row) for row in together.tolist())
    assert images.style[batch.target].unique().tolist() == list(range(images.at.shape[1]))


def test_the_reference_is_the_concept_in_another_style(
    images: ArtworkTensors, batch: RestyleBatch
) -> None:
    assert torch.equal(images.concept[batch.reference], images.concept[batch.target])
    alone = (images.at[images.concept[batch.target]] >= 0).sum(-1) == 1
    other = images.style[batch.reference] != images.style[batch.target]
    assert torch.equal(other, ~alone)
    assert other.float().mean() > 0.9


def test_a_concept_in_one_style_only_is_its_own_reference(images: ArtworkTensors) -> None:
    style = 2
    rows = images.training[images.style[images.training] == style]
    at = torch.full_like(images.at, -1)
    at[images.concept[rows], style] = rows
    assert torch.equal(other_style(replace(images, at=at), rows, 0.0, generator()), rows)


def test_references_are_of_all_other_styles(images: ArtworkTensors) -> None:
    target = images.at[:, 0].max().expand(400)
    found = other_style(images, target, 0.0, generator())
    concept = int(images.concept[target[0]])
    assert set(found.tolist()) == set(images.at[concept, 1:].tolist()) - {-1}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_configured_share_of_references_is_the_target(
    images: ArtworkTensors, category: Tensor, share: float
) -> None:
    samples = RestyleSamples(images, category, TARGETS, same_reference=share)
    batch = samples.draw(USERS, generator(1))
    found = float((batch.reference == batch.target).double().mean())
    assert found == pytest.approx(share, abs=0.1)


def test_histories_have_noise_up_to_its_limit_and_some_have_none(
    images: ArtworkTensors, category: Tensor
) -> None:
    batch = RestyleSamples(images, category, TARGETS, noise=0.5).draw(2000, generator(2))
    other = (images.style[batch.history] != images.style[batch.target[:, :1]]).float()
    # Half of 0.5 for three users in five; an eighth of the noise has the right style.
    assert float(other.mean()) == pytest.approx(0.25 * 0.6 * 7 / 8, abs=0.02)
    assert float((other.sum(1) == 0).float().mean()) > 0.5


def test_history_and_targets_can_share_a_category(images: ArtworkTensors, category: Tensor) -> None:
    def one_category(same_category: float) -> float:
        samples = RestyleSamples(images, category, 1, noise=0.0, same_category=same_category)
        batch = samples.draw(USERS, generator(3))
        named = category[torch.cat([batch.history, batch.target], dim=1)]
        return float((named == named[:, :1]).all(1).float().mean())

    assert one_category(1.0) > 0.9 > 0.3 > one_category(0.0)


def test_validation_has_every_validation_pair_in_a_history_of_its_style(
    images: ArtworkTensors, category: Tensor
) -> None:
    samples = RestyleSamples(images, category, TARGETS)
    batch, again = samples.validation(1000), samples.validation(1000)
    assert all(
        torch.equal(a, b) for a, b in zip(vars(batch).values(), vars(again).values(), strict=True)
    )
    known = (images.at[images.concept[images.validation]] >= 0).any(1)
    assert set(batch.target.flatten().tolist()) == set(images.validation[known].tolist())
    assert torch.isin(batch.history, images.training).all()
    assert torch.equal(images.style[batch.history], images.style[batch.target[:, :1]].expand(-1, 5))
    assert torch.equal(images.concept[batch.reference], images.concept[batch.target])
    assert not (batch.reference == batch.target).any()
    assert len(samples.validation(6).target) < len(batch.target)


def test_samples_are_determined_by_the_generator(images: ArtworkTensors, category: Tensor) -> None:
    samples = RestyleSamples(images, category, TARGETS)
    one, same, other = (samples.draw(4, generator(seed)) for seed in (5, 5, 6))
    assert all(
        torch.equal(a, b) for a, b in zip(vars(one).values(), vars(same).values(), strict=True)
    )
    assert not torch.equal(one.target, other.target)
