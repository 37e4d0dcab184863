"""Pictures that a night made for one user, in place of the item's, for that user alone."""

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

__all__ = ["ServedPictures", "served_vectors"]


@dataclass(frozen=True)
class ServedPictures:
    """Vectors of served pictures, by RecBole's numbers of user and item.

    Attributes:
        keys: int64 `[n]`, `user * n_items + item`, rising.
        vectors: Unit float32 `[n, dim]`.
        n_items: Items, padding included.
    """

    keys: Tensor
    vectors: Tensor
    n_items: int

    @classmethod
    def read(
        cls, settings: PigeonSettings, dataset: Any, seen: Tensor | None = None
    ) -> ServedPictures:
        """The pictures that `pigeon_served` serves to users and for items of the data set.

        Args:
            settings: Which warehouse, seen by which encoder.
            dataset: Has RecBole's numbers of users and items.
            seen: Unit vectors of the items, float32 `[n_items, dim]`. Where these are longer than
                the encoder's, they have a caption behind the picture, and keep it.

        Raises:
            WarehouseError: The file is missing or no warehouse.
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
        pictures = torch.from_numpy(vectors[[row for _, row in known]])
        if seen is not None:
            pictures = _with_captions(pictures, seen[keys % dataset.item_num])
        return cls(keys, pictures, dataset.item_num)

    @classmethod
    def none(cls, n_items: int) -> ServedPictures:
        """No picture for anybody."""
        return cls(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 0), n_items)

    def __len__(self) -> int:
        return len(self.keys)

    def of_users(self, users: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All pictures of a batch of users.

        Args:
            users: int64 `[batch]`.

        Returns:
            Row in the batch int64 `[found]`, item int64 `[found]`, vector float32 `[found, dim]`.
        """
        here = users.cpu()
        first = torch.searchsorted(self.keys, here * self.n_items)
        counts = torch.searchsorted(self.keys, (here + 1) * self.n_items) - first
        rows = torch.repeat_interleave(torch.arange(len(here)), counts)
        before = torch.cumsum(counts, 0) - counts
        places = torch.arange(len(rows)) - before[rows] + first[rows]
        items = self.keys[places] % self.n_items
        return tuple(found.to(users.device) for found in (rows, items, self.vectors[places]))  # type: ignore[return-value]

    def replace(self, users: Tensor, items: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Puts in the pictures that are served for these pairs.

        Args:
            users: int64 `[batch]`.
            items: int64 `[batch]`.
            pictures: What everybody sees, float32 `[batch, dim]`.

        Returns:
            The pictures, and a bool `[batch]` of those that were put in.
        """
        wanted = users.cpu() * self.n_items + items.cpu()
        if not len(self):
            return pictures, torch.zeros(len(users), dtype=torch.bool, device=users.device)
        places = torch.searchsorted(self.keys, wanted).clamp_max(len(self) - 1)
        served = self.keys[places] == wanted
        replaced = pictures.clone()
        replaced[served.to(users.device)] = self.vectors[places[served]].to(users.device)
        return replaced, served.to(users.device)


def _with_captions(pictures: Tensor, items: Tensor) -> Tensor:
    """Pictures `[n, picture dim]` in the place of those in item vectors `[n, dim]`."""
    dim = pictures.shape[1]
    length = items[:, :dim].norm(dim=1, keepdim=True)
    return (
        torch.cat([pictures * length, items[:, dim:]], dim=1) if items.shape[1] > dim else pictures
    )


def served_vectors(path: Path, encoder: str) -> tuple[pl.DataFrame, npt.NDArray[np.float32]]:
    """What a warehouse serves, seen by an encoder.

    Args:
        path: Serving link, snapshot or warehouse.
        encoder: Name or folder of the model that holds it.

    Returns:
        `user_id, item_id`, and unit float32 `[n, dim]` in the same order. A picture that cannot
        be read is left out: its user sees the item's.

    Raises:
        WarehouseError: The file is missing or no warehouse.
        ModelError: There is no such encoder.
    """
    from pigeon_rec.scoring.scorer import load_scorer
    from pigeon_rec.warehouse import served_assets

    served = served_assets(path)
    numbered = served.with_columns(item_id=pl.int_range(pl.len()).cast(pl.String()))
    shelf = Catalogue(
        numbered.select("item_id", "image", pl.col("image_uri").fill_null(""), "image_sha256"),
        path.resolve().parent,
    )
    eyes = load_scorer(encoder)
    images, problems = shelf.images(shelf.item_ids, size=eyes.module.config.image_size)
    broken = {int(problem.subject) for problem in problems}
    usable = [row for row in range(served.height) if row not in broken]
    vectors = eyes.encode_images(images[usable])
    return served.select("user_id", "item_id")[usable], vectors
