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


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), neighbours=st.integers(1, 40))
def test_lists_of_neighbours_give_what_the_table_gives(seed: int, neighbours: int) -> None:
    vectors = world(seed)
    vectors[5 + seed % 20] = 0.0  # an item without an image in the midst
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(0, 30, (20, 4), generator=generator)
    weights = torch.rand(20, 4, generator=generator) * (items > 0)
    dense = VisualAffinity(vectors.clone(), neighbours)
    lists = VisualAffinity(vectors.clone(), neighbours, dense_items=1)
    for part in (slice(0, 3), slice(3, 20), slice(0, 20)):  # neighbourhoods grow
        found = lists.to_all(items[part], weights[part])
        torch.testing.assert_close(found, dense.to_all(items[part], weights[part]))


def test_neighbourhoods_are_searched_for_seen_items_only() -> None:
    affinity = VisualAffinity(world(3, 200), 5, dense_items=1)
    affinity.to_all(torch.tensor([[3, 4, 0], [4, 9, 0]]), torch.ones(2, 3))
    affinity.to_all(torch.tensor([[9, 11]]), torch.ones(1, 2))
    assert torch.nonzero(affinity.place > 0).squeeze(-1).tolist() == [3, 4, 9, 11]
    assert len(affinity._known.radius) == 5  # and the row of items without an image


def test_pairs_are_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    affinity = VisualAffinity(world(4), 5)
    generator = torch.Generator().manual_seed(4)
    items = torch.randint(0, 30, (50, 4), generator=generator)
    weights, item_ids = torch.ones(50, 4), torch.randint(1, 30, (50,), generator=generator)
    whole = affinity.to_images(items, weights, item_ids, affinity.vectors[item_ids])
    gathered: list[int] = []
    original = torch.einsum

    def einsum(equation: str, *operands: torch.Tensor) -> torch.Tensor:
        gathered.append(operands[0].numel())
        return original(equation, *operands)

    monkeypatch.setattr("pigeon_rec.recbole_plugin.affinity._VALUES", 7 * 4 * 6)
    monkeypatch.setattr(torch, "einsum", einsum)
    parts = affinity.to_images(items, weights, item_ids, affinity.vectors[item_ids])
    torch.testing.assert_close(parts, whole)
    assert max(gathered) == 7 * 4 * 6


def test_one_image_alone_has_no_neighbours() -> None:
    vectors = torch.zeros(4, 6)
    vectors[2] = 1.0
    affinity = VisualAffinity(vectors, 5)
    items, weights = torch.tensor([[2, 1]]), torch.ones(1, 2)
    assert affinity.to_all(items, weights)[0, 2] == pytest.approx(np.log(BACKGROUND))
    image = torch.nn.functional.normalize(torch.ones(1, 6))
    found = affinity.to_images(items, weights, torch.tensor([3]), image)
    assert torch.isfinite(found).all()


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
