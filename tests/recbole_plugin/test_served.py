"""Assets of a published night replace the item's image for their user."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch

from pigeon_rec.errors import WarehouseError
from pigeon_rec.recbole_plugin import served as module
from pigeon_rec.recbole_plugin.served import ServedAssets, served_vectors
from pigeon_rec.recbole_plugin.settings import PigeonSettings
from pigeon_rec.warehouse import open_warehouse, promote, publish
from tests.recbole_plugin.conftest import Build
from tests.recbole_plugin.test_recommender import full_scores
from tests.recbole_plugin.world import N_ITEMS, vector_of
from tests.warehouse.nights import night_of


def assets() -> ServedAssets:
    """Two assets for user 1, one for user 3; ten items."""
    return ServedAssets(torch.tensor([12, 17, 35]), torch.eye(3), 10)


def test_assets_are_found_by_user() -> None:
    rows, items, vectors = assets().of_users(torch.tensor([3, 2, 1]))
    assert rows.tolist() == [0, 2, 2]
    assert items.tolist() == [5, 2, 7]
    assert torch.equal(vectors, torch.eye(3)[[2, 0, 1]])


def test_assets_replace_the_vectors_of_their_pairs() -> None:
    vectors, served = assets().replace(
        torch.tensor([1, 1, 2, 3]), torch.tensor([7, 8, 7, 5]), torch.zeros(4, 3)
    )
    assert served.tolist() == [True, False, False, True]
    assert torch.equal(vectors, torch.eye(3)[[1, 0, 0, 2]] * served.unsqueeze(-1))


def test_without_assets_nothing_is_found() -> None:
    rows, items, _ = ServedAssets.none(10).of_users(torch.tensor([1]))
    assert len(rows) == len(items) == 0


def test_an_asset_changes_only_the_score_of_its_pair(
    build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # u00 likes items 0, 4, 8, ...; the asset makes i01 look like these.
    pairs = pl.DataFrame({"user_id": ["u00", "unknown"], "item_id": ["i01", "i01"]})
    drawn = torch.stack([torch.from_numpy(vector_of(4)), torch.from_numpy(vector_of(4))]).float()
    monkeypatch.setattr(module, "served_vectors", lambda *_: (pairs, drawn.numpy()))
    before = build("BPR", pigeon_visual_weight=1.0)
    after = build("BPR", pigeon_visual_weight=1.0, pigeon_served=str(tmp_path / "s.duckdb"))
    plain, personal = full_scores(before), full_scores(after)
    changed = (plain != personal).nonzero()
    users = torch.cat([batch[0]["user_id"] for batch in after.test])
    row = users.tolist().index(after.dataset.field2token_id["user_id"]["u00"])
    item = after.dataset.field2token_id["item_id"]["i01"]
    assert changed.tolist() == [[row, item]]
    assert personal[row, item] > plain[row, item]
    assert plain.shape[1] == N_ITEMS + 1


def test_an_asset_keeps_the_caption_of_its_item(
    build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pairs = pl.DataFrame({"user_id": ["u00"], "item_id": ["i01"]})
    drawn = torch.tensor([[1.0, 0.0]])
    monkeypatch.setattr(module, "served_vectors", lambda *_: (pairs, drawn.numpy()))
    world = build("BPR", pigeon_visual_weight=1.0)
    settings = PigeonSettings.of({"pigeon_served": str(tmp_path / "s.duckdb")})
    item_vectors = torch.tensor([[0.0, 0.6, 0.8]]).repeat(N_ITEMS + 1, 1)
    served = ServedAssets.read(settings, world.dataset, item_vectors)
    assert torch.allclose(served.vectors, torch.tensor([[0.6, 0.0, 0.8]]))
    without_captions = ServedAssets.read(settings, world.dataset, item_vectors[:, :2])
    assert torch.equal(without_captions.vectors, drawn)


def test_assets_of_a_published_night_are_encoded(tmp_path: Path) -> None:
    pairs = [("ann", "noto/apple"), ("ben", "noto/pear")]
    with open_warehouse(tmp_path / "pigeon.duckdb") as connection:
        publish(connection, night_of(pairs))
    promote(tmp_path / "pigeon.duckdb", tmp_path / "serving.duckdb")
    served, vectors = served_vectors(tmp_path / "serving.duckdb", "sticker-64")
    assert served.rows() == pairs
    assert vectors.shape == (2, 192)
    assert torch.allclose(torch.from_numpy(vectors).norm(dim=1), torch.ones(2), atol=1e-4)
    assert float(vectors[0] @ vectors[1]) < 0.999  # different images, different vectors


def test_a_missing_warehouse_is_an_error(build: Build, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError):
        build("BPR", pigeon_served=str(tmp_path / "none.duckdb"))
