"""Visual affinity: how close an image is to the images of the items a user interacted with.

FAISS retrieves, once, the `neighbours` nearest items of every item. The similarity of an image v
to an interacted item i is

    strength(i, v) = max(0, (cos(i, v) - r_i) / (1 - r_i)),

where r_i is the cosine of the first item outside i's neighbourhood: 1 for an equal image, 0 at the
edge of the neighbourhood and beyond. Scaling by each item's own r_i counters hubness, the tendency
of some vectors to be near to many others. Divided by its sum over all n items, the strength is a
density. A user's next item is modelled as drawn from a mixture of the densities of the interacted
items, weighted by recency, and, with probability `BACKGROUND`, of a uniform distribution:

    affinity(u, v) = log(BACKGROUND + (1 - BACKGROUND) * n * sum_i share_i * density(i, v)).

This is a log-likelihood ratio against the uniform distribution, so it can be added to a
recommender's score; it is 0 for an image or a user without information. The density of an item
for itself is 0.
"""

from __future__ import annotations

from typing import Final

import faiss
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

__all__ = ["BACKGROUND", "VisualAffinity"]

BACKGROUND: Final = 0.3
"""Share of the interactions that images do not explain; the best of 0.1, 0.3, 0.6 on stickers."""

_DENSE_ITEMS = 1 << 14  # a dense table of this many items takes 1 GiB
_COLUMNS = 512  # columns of the table per block, so that a block stays in the processor's cache
_CELLS = 1 << 22  # neighbours gathered at once without the table: 48 MB
_SMALL = 1e-6


class VisualAffinity(nn.Module):
    """The affinity of users, given by their histories, to items or to images.

    A history is `items`, int64 `[batch, length]` (RecBole's internal ids, 0 for padding), and
    `weights`, float32 of the same shape, 0 at padding.

    Args:
        vectors: Item vectors, float32 `[n_items, dim]`, of any norm; a row of zeros is an item
            without an image.
        neighbours: Size of an item's neighbourhood; at most the number of other items.
        dense_items: With more items than this, densities are kept as lists of neighbours instead
            of a dense table.
    """

    def __init__(
        self, vectors: Tensor, neighbours: int, *, dense_items: int = _DENSE_ITEMS
    ) -> None:
        super().__init__()
        unit = nn.functional.normalize(vectors.float(), dim=-1)
        self.vectors: Tensor
        self.has_image: Tensor
        self.nearest: Tensor
        self.density: Tensor
        self.radius: Tensor
        self.mass: Tensor
        nearest, strength, radius = _neighbourhoods(unit, neighbours)
        mass = strength.sum(-1).clamp_min(_SMALL)
        # Not in the checkpoint: they are computed from the data set's features.
        self._keep("vectors", unit)
        self._keep("has_image", unit.norm(dim=-1) > 0.5)
        self._keep("radius", radius)
        self._keep("mass", mass)
        self._keep("nearest", nearest)
        self._keep("density", strength / mass.unsqueeze(-1))
        self.dense = len(unit) <= dense_items
        if self.dense:
            self._keep("density", _table(self.nearest, self.density))
            self._keep("nearest", nearest[:, :0])

    def _keep(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values, persistent=False)

    @property
    def n_items(self) -> int:
        """Number of items, padding included."""
        return len(self.vectors)

    def to_all(self, items: Tensor, weights: Tensor) -> Tensor:
        """Affinity to every item, float32 `[batch, n_items]`."""
        share, known = self._shares(items, weights)
        density = self._dense(items, share) if self.dense else self._sparse(items, share)
        affinity = self._log_ratio(density)
        return affinity.mul_((known.unsqueeze(-1) & self.has_image).to(affinity.dtype))

    def to_images(
        self, items: Tensor, weights: Tensor, item_ids: Tensor, image_vectors: Tensor
    ) -> Tensor:
        """Affinity of each row to one image, which may differ from its item's, float32 `[batch]`.

        Args:
            items: History items.
            weights: Their weights.
            item_ids: int64 `[batch]`, the item that each image shows.
            image_vectors: Unit vectors, float32 `[batch, dim]`.
        """
        share, known = self._shares(items, weights)
        cosine = torch.einsum("bld,bd->bl", self.vectors[items], image_vectors)
        radius = self.radius[items]
        strength = ((cosine - radius) / (1.0 - radius)).clamp_min(0.0)
        strength = strength.masked_fill(items == item_ids.unsqueeze(-1), 0.0)
        density = (share * strength / self.mass[items]).sum(-1)
        return self._log_ratio(density) * known

    def _shares(self, items: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the items with an image, normalised to sum 1, and whether there are any."""
        usable = weights * self.has_image[items]
        total = usable.sum(-1)
        return usable / total.clamp_min(_SMALL).unsqueeze(-1), total > 0

    def _dense(self, items: Tensor, share: Tensor) -> Tensor:
        """Mixture densities from the table, float32 `[batch, n_items]`."""
        out = torch.empty(len(items), len(self.density) * _COLUMNS, device=items.device)
        for block, columns in zip(self.density, out.split(_COLUMNS, dim=1), strict=True):
            columns.copy_(
                nn.functional.embedding_bag(items, block, per_sample_weights=share, mode="sum")
            )
        return out[:, : self.n_items]

    def _sparse(self, items: Tensor, share: Tensor) -> Tensor:
        """Mixture densities from the lists of neighbours, float32 `[batch, n_items]`."""
        out = torch.zeros(len(items), self.n_items, device=items.device)
        rows = max(1, _CELLS // max(1, items.shape[1] * self.nearest.shape[1]))
        for first in range(0, len(items), rows):
            part = slice(first, first + rows)
            columns = self.nearest[items[part]].flatten(1)  # [rows, length * neighbours]
            values = (self.density[items[part]] * share[part].unsqueeze(-1)).flatten(1)
            out[part].scatter_add_(1, columns, values)
        return out

    def _log_ratio(self, density: Tensor) -> Tensor:
        n = int(self.has_image.sum())
        return density.mul_((1.0 - BACKGROUND) * n).add_(BACKGROUND).log_()


def _table(nearest: Tensor, density: Tensor) -> Tensor:
    """Turns neighbour lists `[n, k]` into a dense table `[blocks, n, _COLUMNS]`."""
    count = len(nearest)
    blocks = -(-count // _COLUMNS)
    table = torch.zeros(count, blocks * _COLUMNS).scatter_(1, nearest, density)
    return table.view(count, blocks, _COLUMNS).transpose(0, 1).contiguous()


def _neighbourhoods(unit: Tensor, neighbours: int) -> tuple[Tensor, Tensor, Tensor]:
    """Nearest other items `[n, k]`, their strengths `[n, k]` and the radii `[n]` of all items."""
    rows = torch.nonzero(unit.norm(dim=-1) > 0.5).squeeze(-1)  # items with an image
    k = min(neighbours, max(0, len(rows) - 1))
    nearest = torch.zeros(len(unit), k, dtype=torch.int64)
    strength = torch.zeros(len(unit), k)
    radius = torch.full((len(unit),), 1.0 - _SMALL)
    if k == 0:
        return nearest, strength, radius
    vectors = np.ascontiguousarray(unit[rows].numpy(), dtype=np.float32)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    # Two more: the item itself, and the first item outside the neighbourhood.
    cosine, found = _without_self(*index.search(vectors, min(k + 2, len(rows))))
    edge = cosine[:, k] if cosine.shape[1] > k else np.full(len(cosine), -1.0, np.float32)
    edge = np.minimum(edge, np.float32(1.0 - _SMALL))
    near = np.maximum((cosine[:, :k] - edge[:, None]) / (1.0 - edge[:, None]), 0.0)
    nearest[rows] = rows[torch.from_numpy(found[:, :k])]
    strength[rows] = torch.from_numpy(near.astype(np.float32))
    radius[rows] = torch.from_numpy(edge.astype(np.float32))
    return nearest, strength, radius


def _without_self(
    cosine: npt.NDArray[np.float32], found: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Drops one entry per row: the item itself, or the last if equal images displace it."""
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(found), found.shape[1] - 1)
    return cosine[~own].reshape(shape), found[~own].reshape(shape)
