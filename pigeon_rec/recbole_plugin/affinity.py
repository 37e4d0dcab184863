"""How well a picture suits a user: whether it lies near, by FAISS, to what the user has chosen.

FAISS retrieves, once, the `neighbours` nearest items of every item. How near a picture v is to an
interacted item i is

    strength(i, v) = max(0, (cos(i, v) - r_i) / (1 - r_i)),   r_i = cosine of i's next nearest item:

1 for the same picture, 0 at the edge of i's neighbourhood and beyond. Scaling by each item's own
r_i keeps pictures that resemble everything from being near to everybody. Divided by its sum over
all n items, the strength is a density, and a user's next item follows the mixture of the densities
of the interacted items, by their recency, or (`BACKGROUND` of the time) none of them:

    affinity(u, v) = log(BACKGROUND + (1 - BACKGROUND) * n * sum_i share_i * density(i, v)).

It is a log-odds: 0 says nothing, as for a picture or a user we know nothing of, and it can be added
to a recommender's score. An item is no evidence for itself.
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
"""Share of the choices that pictures do not explain; the best of 0.1, 0.3 and 0.6 on stickers."""

_DENSE_ITEMS = 1 << 14  # items whose densities fit into one table of a GiB
_COLUMNS = 512  # of the table at once: so many of all rows stay in a processor's cache
_CELLS = 1 << 22  # neighbours gathered at once without that table: 48 MB
_SMALL = 1e-6


class VisualAffinity(nn.Module):
    """The affinity of users, given by their histories, to items or to pictures.

    A history is `items`, int64 `[batch, length]` with 0 for padding (RecBole's numbers), and
    `weights`, float32 of the same shape, 0 at padding.

    Args:
        vectors: Item vectors, float32 `[n_items, dim]` of any length; a row of zeros is an item
            without a picture.
        neighbours: How many nearest items each item has; fewer where there are not as many.
        dense_items: With more items than this, densities stay lists instead of one table.
    """

    def __init__(
        self, vectors: Tensor, neighbours: int, *, dense_items: int = _DENSE_ITEMS
    ) -> None:
        super().__init__()
        unit = nn.functional.normalize(vectors.float(), dim=-1)
        self.vectors: Tensor
        self.shown: Tensor
        self.nearest: Tensor
        self.density: Tensor
        self.radius: Tensor
        self.mass: Tensor
        nearest, strength, radius = _neighbourhoods(unit, neighbours)
        mass = strength.sum(-1).clamp_min(_SMALL)
        # Not in the checkpoint: they are made from the data set's features.
        self._keep("vectors", unit)
        self._keep("shown", unit.norm(dim=-1) > 0.5)
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
        """Items, padding included."""
        return len(self.vectors)

    def to_all(self, items: Tensor, weights: Tensor) -> Tensor:
        """Affinity to every item, float32 `[batch, n_items]`."""
        share, known = self._shares(items, weights)
        density = self._looked_up(items, share) if self.dense else self._gathered(items, share)
        affinity = self._log_odds(density)
        return affinity.mul_((known.unsqueeze(-1) & self.shown).to(affinity.dtype))

    def to_items(self, items: Tensor, weights: Tensor, candidates: Tensor) -> Tensor:
        """Affinity of each row to its own candidate, int64 `[batch]` -> float32 `[batch]`."""
        affinity = self.to_pictures(items, weights, candidates, self.vectors[candidates])
        return affinity * self.shown[candidates]

    def to_pictures(
        self, items: Tensor, weights: Tensor, candidates: Tensor, pictures: Tensor
    ) -> Tensor:
        """Affinity to candidates that look different from their item, float32 `[batch]`.

        Args:
            items: History items.
            weights: Their weights.
            candidates: int64 `[batch]`, the item each picture stands for.
            pictures: Unit vectors, float32 `[batch, dim]`.
        """
        share, known = self._shares(items, weights)
        cosine = torch.einsum("bld,bd->bl", self.vectors[items], pictures)
        radius = self.radius[items]
        strength = ((cosine - radius) / (1.0 - radius)).clamp_min(0.0)
        strength = strength.masked_fill(items == candidates.unsqueeze(-1), 0.0)
        density = (share * strength / self.mass[items]).sum(-1)
        return self._log_odds(density) * known

    def _shares(self, items: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the items that have a picture, of sum 1, and for whom there is one."""
        usable = weights * self.shown[items]
        total = usable.sum(-1)
        return usable / total.clamp_min(_SMALL).unsqueeze(-1), total > 0

    def _looked_up(self, items: Tensor, share: Tensor) -> Tensor:
        """Densities of histories from the table, float32 `[batch, n_items]`."""
        out = torch.empty(len(items), len(self.density) * _COLUMNS, device=items.device)
        for block, columns in zip(self.density, out.split(_COLUMNS, dim=1), strict=True):
            columns.copy_(
                nn.functional.embedding_bag(items, block, per_sample_weights=share, mode="sum")
            )
        return out[:, : self.n_items]

    def _gathered(self, items: Tensor, share: Tensor) -> Tensor:
        out = torch.zeros(len(items), self.n_items, device=items.device)
        rows = max(1, _CELLS // max(1, items.shape[1] * self.nearest.shape[1]))
        for first in range(0, len(items), rows):
            part = slice(first, first + rows)
            found = self.nearest[items[part]].flatten(1)  # [rows, length * neighbours]
            worth = (self.density[items[part]] * share[part].unsqueeze(-1)).flatten(1)
            out[part].scatter_add_(1, found, worth)
        return out

    def _log_odds(self, density: Tensor) -> Tensor:
        n = int(self.shown.sum())
        return density.mul_((1.0 - BACKGROUND) * n).add_(BACKGROUND).log_()


def _table(nearest: Tensor, density: Tensor) -> Tensor:
    """Lists `[n, k]` as one table, by blocks of columns, `[blocks, n, _COLUMNS]`."""
    count = len(nearest)
    blocks = -(-count // _COLUMNS)
    table = torch.zeros(count, blocks * _COLUMNS).scatter_(1, nearest, density)
    return table.view(count, blocks, _COLUMNS).transpose(0, 1).contiguous()


def _neighbourhoods(unit: Tensor, neighbours: int) -> tuple[Tensor, Tensor, Tensor]:
    """Nearest other items `[n, k]`, their strengths `[n, k]` and the radii `[n]` of all items."""
    shown = torch.nonzero(unit.norm(dim=-1) > 0.5).squeeze(-1)
    k = min(neighbours, max(0, len(shown) - 1))
    nearest = torch.zeros(len(unit), k, dtype=torch.int64)
    strength = torch.zeros(len(unit), k)
    radius = torch.full((len(unit),), 1.0 - _SMALL)
    if k == 0:
        return nearest, strength, radius
    vectors = np.ascontiguousarray(unit[shown].numpy(), dtype=np.float32)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    # One more for the item itself, and one more for the edge of the neighbourhood.
    cosine, found = _without_self(*index.search(vectors, min(k + 2, len(shown))))
    edge = cosine[:, k] if cosine.shape[1] > k else np.full(len(cosine), -1.0, np.float32)
    edge = np.minimum(edge, np.float32(1.0 - _SMALL))
    near = np.maximum((cosine[:, :k] - edge[:, None]) / (1.0 - edge[:, None]), 0.0)
    nearest[shown] = shown[torch.from_numpy(found[:, :k])]
    strength[shown] = torch.from_numpy(near.astype(np.float32))
    radius[shown] = torch.from_numpy(edge.astype(np.float32))
    return nearest, strength, radius


def _without_self(
    cosine: npt.NDArray[np.float32], found: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Drops one column a row: the item's own, or the last, where equal pictures hide it."""
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(found), found.shape[1] - 1)
    return cosine[~own].reshape(shape), found[~own].reshape(shape)
