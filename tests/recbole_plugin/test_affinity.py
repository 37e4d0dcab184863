"""The visual affinity against its formula, with dense and sparse densities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.recbole_plugin.affinity import BACKGROUND, VisualAffinity
from pigeon_rec.recbole_plugin.histories import recency_weights


def world(seed: int, n_items: int = 30) -> torch.Tensor:
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=(n_items, 6))).float()
    vectors[0] = 0.0
    return vectors


def by_the_formula(
    vectors: torch.Tensor, items: list[int], weights: list[float], neighbours: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Affinity of one history to every item, item by item."""
    unit = torch.nn.functional.normalize(vectors, dim=-1).double().numpy()
    usable = [j for j in range(len(unit)) if np.linalg.norm(unit[j]) > 0.5]
    total = sum(w for i, w in zip(items, weights, strict=True) if i in usable)
    density = np.zeros(len(unit))
    for i, weight in zip(items, weights, strict=True):
        if i not in usable:
            continue
        cosines = {j: float(unit[i] @ unit[j]) for j in usable if j != i}
        radius = sorted(cosines.values(), reverse=True)[neighbours]
        strength = {j: max(0.0, (c - radius) / (1 - radius)) for j, c in cosines.items()}
        for j, value in strength.items():
            density[j] += weight / total * value / sum(strength.values())
    affinity = np.log(BACKGROUND + (1 - BACKGROUND) * len(usable) * density)
    return np.where(np.isin(np.arange(len(unit)), usable) & (total > 0), affinity, 0.0)


@pytest.mark.parametrize("dense", [1000, 1])
def test_all_items_follow_the_formula(dense: int) -> None:
    vectors = world(1)
    vectors[7] = 0.0  # an item without an image
    affinity = VisualAffinity(vectors, 5, dense_items=dense)
    items = torch.tensor([[3, 4, 7, 0], [9, 0, 0, 0], [7, 0, 0, 0]])
    weights = torch.tensor([[0.5, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    found = affinity.to_all(items, weights)
    np.testing.assert_allclose(
        found[0], by_the_formula(vectors, [3, 4, 7], [0.5, 1.0, 1.0], 5), atol=1e-4
    )
    np.testing.assert_allclose(found[1], by_the_formula(vectors, [9], [1.0], 5), atol=1e-4)
    assert torch.equal(found[2], torch.zeros(30))  # a user without any image


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), neighbours=st.integers(1, 40))
def test_affinity_to_one_image_equals_that_to_its_item(seed: int, neighbours: int) -> None:
    affinity = VisualAffinity(world(seed), neighbours)
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(0, 30, (20, 4), generator=generator)
    weights = torch.rand(20, 4, generator=generator) * (items > 0)
    item_ids = torch.randint(1, 30, (20,), generator=generator)
    expected = affinity.to_all(items, weights)[torch.arange(20), item_ids]
    found = affinity.to_images(items, weights, item_ids, affinity.vectors[item_ids])
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_an_item_has_no_density_for_itself() -> None:
    affinity = VisualAffinity(world(2), 5)
    items, weights = torch.tensor([[3]]), torch.ones(1, 1)
    assert affinity.to_all(items, weights)[0, 3] == pytest.approx(np.log(BACKGROUND))


def test_equal_images_give_finite_affinities() -> None:
    vectors = torch.ones(9, 4)
    vectors[0] = 0.0
    found = VisualAffinity(vectors, 3).to_all(torch.tensor([[2, 5]]), torch.ones(1, 2))
    assert torch.isfinite(found).all()


def test_recency_weights_halve_and_are_0_at_padding() -> None:
    items, lengths = torch.tensor([[5, 6, 7, 0], [8, 0, 0, 0]]), torch.tensor([3, 1])
    expected = torch.tensor([[0.25, 0.5, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert torch.equal(recency_weights(items, lengths, 1.0), expected)
    assert torch.equal(recency_weights(items, lengths, float("inf")), (items > 0).float())
