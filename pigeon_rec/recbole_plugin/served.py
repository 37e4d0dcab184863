"""Served assets: for their user, they replace the item's image in the affinity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.recbole_plugin.settings import PigeonSettings
from pigeon_rec.runtime.files import real_path

__all__ = ["ServedAssets", "served_vectors"]


@dataclass(frozen=True)
class ServedAssets:
    """Vectors of served assets, by RecBole's internal ids of user and item.

    Attributes:
        keys: int64 `[n]`, `user * n_items + item`, ascending.
        vectors: Unit float32 `[n, dim]`.
        n_items: Number of items, padding included.
    """

    keys: Tensor
    vectors: Tensor
    n_items: int

    @classmethod
    def read(
        cls, settings: PigeonSettings, dataset: Any, item_vectors: Tensor | None = None
    ) -> ServedAssets:
        """Reads the assets that `pigeon_served` serves to users and for items of the data set.

        Args:
            settings: The warehouse and the encoder.
            dataset: Gives the internal ids of users and items.
            item_vectors: Unit vectors of the items, float32 `[n_items, dim]`. If they are longer
                than the encoder's, the rest is the caption's vector, which assets inherit.

        Raises:
            WarehouseError: The file is missing or is not a warehouse.
            ModelError: There is no encoder of that name.
        """
        if settings.served is None:
            return cls.none(dataset.item_num)
        pairs, vectors = served_vectors(settings.served, settings.encoder)
        users = dataset.field2token_id[dataset.uid_field]
        items = dataset.field2token_id[dataset.iid_field]
        known = [
            (users[user] * dataset.item_num + items[item], row)
            for row, (user, item) in enumerate(pairs.iter_rows())
            if user in users and item in items
        ]
        known.sort()
        keys = torch.tensor([key for key, _ in known], dtype=torch.int64)
        assets = torch.from_numpy(vectors[[row for _, row in known]])
        if item_vectors is not None:
            assets = _with_captions(assets, item_vectors[keys % dataset.item_num])
        return cls(keys, assets, dataset.item_num)

    @classmethod
    def none(cls, n_items: int) -> ServedAssets:
        """Returns an empty set of assets."""
        return cls(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 0), n_items)

    def __len__(self) -> int:
        return len(self.keys)

    def of_users(self, users: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns all assets of a batch of users, int64 `[batch]`.

        Returns:
            Row in the batch int64 `[n]`, item int64 `[n]`, vector float32 `[n, dim]`.
        """
        on_cpu = users.cpu()
        first = torch.searchsorted(self.keys, on_cpu * self.n_items)
        counts = torch.searchsorted(self.keys, (on_cpu + 1) * self.n_items) - first
        rows = torch.repeat_interleave(torch.arange(len(on_cpu)), counts)
        before = torch.cumsum(counts, 0) - counts
        places = torch.arange(len(rows)) - before[rows] + first[rows]
        items = self.keys[places] % self.n_items
        return tuple(found.to(users.device) for found in (rows, items, self.vectors[places]))  # type: ignore[return-value]

    def replace(self, users: Tensor, items: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Replaces the vectors of the pairs that have an asset.

        Args:
            users: int64 `[batch]`.
            items: int64 `[batch]`.
            vectors: Vectors of the items' own images, float32 `[batch, dim]`.

        Returns:
            The new vectors, and a bool `[batch]` that is true where one was replaced.
        """
        keys = users.cpu() * self.n_items + items.cpu()
        if not len(self):
            return vectors, torch.zeros(len(users), dtype=torch.bool, device=users.device)
        places = torch.searchsorted(self.keys, keys).clamp_max(len(self) - 1)
        served = self.keys[places] == keys
        replaced = vectors.clone()
        replaced[served.to(users.device)] = self.vectors[places[served]].to(users.device)
        return replaced, served.to(users.device)


def _with_captions(assets: Tensor, items: Tensor) -> Tensor:
    """Item vectors `[n, dim]` with the image part replaced by `assets`, `[n, image dim]`."""
    dim = assets.shape[1]
    if items.shape[1] <= dim:
        return assets
    norm = items[:, :dim].norm(dim=1, keepdim=True)
    return torch.cat([assets * norm, items[:, dim:]], dim=1)


def served_vectors(path: Path, encoder: str) -> tuple[pl.DataFrame, npt.NDArray[np.float32]]:
    """Encodes the assets that a warehouse serves.

    Args:
        path: Serving link, snapshot or warehouse.
        encoder: What encodes the images, see `load_image_encoder`.

    Returns:
        `user_id, item_id`, and unit float32 `[n, dim]` in the same order. Unreadable images are
        left out.

    Raises:
        WarehouseError: The file is missing or is not a warehouse.
        ModelError: There is no such encoder.
    """
    from pigeon_rec.scoring.image_encoders import load_image_encoder
    from pigeon_rec.warehouse import served_assets

    served = served_assets(path)
    numbered = served.with_columns(item_id=pl.int_range(pl.len()).cast(pl.String()))
    catalogue = Catalogue(
        numbered.select("item_id", "image", pl.col("image_uri").fill_null(""), "image_sha256"),
        real_path(path).parent,
    )
    loaded = load_image_encoder(encoder)
    images, problems = catalogue.images(catalogue.item_ids, size=loaded.image_size)
    broken = {int(problem.subject) for problem in problems}
    usable = [row for row in range(served.height) if row not in broken]
    vectors = loaded.encode_images(images[usable])
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return served.select("user_id", "item_id")[usable], vectors
