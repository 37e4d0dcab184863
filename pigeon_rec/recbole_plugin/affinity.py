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

import functools
from dataclasses import dataclass
from typing import Any, Final

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
_VALUES = 1 << 24  # numbers of gathered vectors held at once: 64 MB
_QUERIES = 1 << 12  # items whose neighbours are searched at once
_SMALL = 1e-6


class VisualAffinity(nn.Module):
    """The affinity of users, given by their histories, to items or to images.

    A history is `items`, int64 `[batch, length]` (RecBole's internal ids, 0 for padding), and
    `weights`, float32 of the same shape, 0 at padding.

    Neighbourhoods are computed when an item is first seen in a history: a catalogue of a million
    items then needs memory and time for the items that users interacted with, not for all.

    Args:
        vectors: Item vectors, float32 `[n_items, dim]`, of any norm; a row of zeros is an item
            without an image. They are normalised in place.
        neighbours: Size of an item's neighbourhood; at most the number of other items.
        dense_items: With more items than this, densities are kept as lists of neighbours instead
            of a dense table.
    """

    def __init__(
        self, vectors: Tensor, neighbours: int, *, dense_items: int = _DENSE_ITEMS
    ) -> None:
        super().__init__()
        unit = _normalised(vectors.float())
        self.vectors: Tensor
        self.has_image: Tensor
        self.without_image: Tensor
        self.place: Tensor
        # Not in the checkpoint: they are computed from the data set's features.
        self.register_buffer("vectors", unit, persistent=False)
        self.register_buffer("has_image", (unit != 0).any(dim=-1), persistent=False)
        without_image = torch.nonzero(~self.has_image).squeeze(-1)
        self.register_buffer("without_image", without_image, persistent=False)
        # Row of an item's neighbourhood; that of items without an image is 0, and has no strength.
        self.images = int(self.has_image.sum())
        self.neighbours = min(neighbours, max(0, self.images - 1))
        place = torch.full((len(unit),), -1 if self.neighbours else 0)
        self.register_buffer("place", place.masked_fill_(~self.has_image, 0), persistent=False)
        self.dense = len(unit) <= dense_items
        self._table: Tensor | None = None
        self._known = Neighbourhoods.none(self.neighbours)

    @property
    def n_items(self) -> int:
        """Number of items, padding included."""
        return len(self.vectors)

    def to_all(self, items: Tensor, weights: Tensor) -> Tensor:
        """Affinity to every item, float32 `[batch, n_items]`."""
        share, known = self._shares(items, weights)
        density = self._dense(items, share) if self.dense else self._sparse(items, share)
        affinity = self._log_ratio(density)
        # By index: there are few of them, mostly the padding alone, and a mask would cost a pass.
        affinity.index_fill_(0, torch.nonzero(~known).squeeze(-1), 0.0)
        return affinity.index_fill_(1, self.without_image, 0.0)

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
        rows = max(1, _VALUES // max(1, items.shape[1] * self.vectors.shape[1]))
        parts = zip(
            *(x.split(rows) for x in (items, weights, item_ids, image_vectors)), strict=True
        )
        return torch.cat([self._to_images(*part) for part in parts])

    def _to_images(
        self, items: Tensor, weights: Tensor, item_ids: Tensor, image_vectors: Tensor
    ) -> Tensor:
        share, known = self._shares(items, weights)
        near = self._neighbourhoods(items)
        cosine = torch.einsum("bld,bd->bl", self.vectors[items], image_vectors)
        place = self.place[items]
        radius = near.radius[place]
        strength = ((cosine - radius) / (1.0 - radius)).clamp_min(0.0)
        strength = strength.masked_fill(items == item_ids.unsqueeze(-1), 0.0)
        density = (share * strength / near.mass[place]).sum(-1)
        return self._log_ratio(density) * known

    def search(self, items: Tensor) -> None:
        """Searches the neighbourhoods of items now, many at once, instead of in every batch."""
        self._neighbourhoods(items)

    def _shares(self, items: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the items with an image, normalised to sum 1, and whether there are any."""
        usable = weights * self.has_image[items]
        total = usable.sum(-1)
        return usable / total.clamp_min(_SMALL).unsqueeze(-1), total > 0

    def _dense(self, items: Tensor, share: Tensor) -> Tensor:
        """Mixture densities from the table, float32 `[batch, n_items]`."""
        table = self._dense_table()
        out = torch.empty(len(items), len(table) * _COLUMNS, device=items.device)
        for block, columns in zip(table, out.split(_COLUMNS, dim=1), strict=True):
            columns.copy_(
                nn.functional.embedding_bag(items, block, per_sample_weights=share, mode="sum")
            )
        return out[:, : self.n_items]

    def _sparse(self, items: Tensor, share: Tensor) -> Tensor:
        """Mixture densities from the lists of neighbours, float32 `[batch, n_items]`."""
        near = self._neighbourhoods(items)
        out = torch.zeros(len(items), self.n_items, device=items.device)
        rows = max(1, _CELLS // max(1, items.shape[1] * self.neighbours))
        for first in range(0, len(items), rows):
            part = slice(first, first + rows)
            place = self.place[items[part]]
            columns = near.nearest[place].flatten(1).long()  # [rows, length * neighbours]
            values = (near.density[place] * share[part].unsqueeze(-1)).flatten(1)
            out[part].scatter_add_(1, columns, values)
        return out

    def _log_ratio(self, density: Tensor) -> Tensor:
        return density.mul_((1.0 - BACKGROUND) * self.images).add_(BACKGROUND).log_()

    def _dense_table(self) -> Tensor:
        """Densities of all items for all items as `[blocks, n_items, _COLUMNS]`."""
        if self._table is None:
            near = self._neighbourhoods(torch.arange(self.n_items, device=self.place.device))
            nearest, density = near.nearest[self.place].long(), near.density[self.place]
            self._table = _table(nearest, density)
            self._known = near.without_lists()  # the table has them
        return self._table

    def _neighbourhoods(self, items: Tensor) -> Neighbourhoods:
        """All that are known, those of `items` among them."""
        new = items[self.place[items] < 0].unique()
        if len(new):
            found = _search(self.vectors, self.has_image, new, self.neighbours)
            first = len(self._known.radius)
            self.place[new] = torch.arange(first, first + len(new), device=new.device)
            self._known = self._known.joined(found)
        return self._known

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        # Moved with the module, but neither parameters nor buffers: they grow.
        self._known = self._known.moved(fn)
        self._table = None if self._table is None else fn(self._table)
        return super()._apply(fn, recurse)


@dataclass(frozen=True)
class Neighbourhoods:
    """The nearest items of some items, one row each; row 0 belongs to items without an image.

    Attributes:
        nearest: int32 `[rows, k]`; with `[rows, 0]` they are in the dense table only.
        density: float32 `[rows, k]`.
        radius: float32 `[rows]`, cosine of the first item outside.
        mass: float32 `[rows]`, sum of the strengths.
    """

    nearest: Tensor
    density: Tensor
    radius: Tensor
    mass: Tensor

    @classmethod
    def none(cls, k: int) -> Neighbourhoods:
        """Row 0 alone."""
        empty = torch.zeros(1, k, dtype=torch.int32), torch.zeros(1, k)
        return cls(*empty, torch.full((1,), 1.0 - _SMALL), torch.full((1,), _SMALL))

    def joined(self, other: Neighbourhoods) -> Neighbourhoods:
        """These rows, then the other's."""
        pairs = zip(_parts(self), _parts(other), strict=True)
        return Neighbourhoods(*(torch.cat(pair) for pair in pairs))

    def moved(self, fn: Any) -> Neighbourhoods:
        """With a function of `nn.Module._apply` applied."""
        return Neighbourhoods(*(fn(part) for part in _parts(self)))

    def without_lists(self) -> Neighbourhoods:
        """Radii and masses only."""
        return Neighbourhoods(self.nearest[:, :0], self.density[:, :0], self.radius, self.mass)


def _parts(near: Neighbourhoods) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The fields in their order, not copied."""
    return near.nearest, near.density, near.radius, near.mass


def _normalised(vectors: Tensor) -> Tensor:
    """The vectors divided by their norm, in place; a vector without a direction becomes 0."""
    norm = vectors.norm(dim=-1, keepdim=True)
    return vectors.div_(torch.where(norm > 0, norm, torch.inf))


def _table(nearest: Tensor, density: Tensor) -> Tensor:
    """Turns neighbour lists `[n, k]` into a dense table `[blocks, n, _COLUMNS]`."""
    count = len(nearest)
    blocks = -(-count // _COLUMNS)
    table = torch.zeros(count, blocks * _COLUMNS, device=nearest.device)
    table.scatter_(1, nearest, density)
    return table.view(count, blocks, _COLUMNS).transpose(0, 1).contiguous()


def _search(unit: Tensor, has_image: Tensor, items: Tensor, k: int) -> Neighbourhoods:
    """The neighbourhoods of some items, all with an image, by FAISS."""
    with_image = torch.nonzero(has_image).squeeze(-1).cpu()
    first, last = int(with_image[0]), int(with_image[-1])
    gapless = last - first + 1 == len(with_image)  # all but the padding: no copy is needed
    catalogue = unit.cpu()[slice(first, last + 1) if gapless else with_image].numpy()
    own = torch.searchsorted(with_image, items.cpu()).numpy()
    parts = []
    for start in range(0, len(own), _QUERIES):
        queries = own[start : start + _QUERIES]
        # Two more: the item itself, and the first item outside the neighbourhood.
        similar, found = faiss.knn(
            catalogue[queries],
            catalogue,
            min(k + 2, len(catalogue)),
            metric=faiss.METRIC_INNER_PRODUCT,
        )
        cosine, nearest = _without_self(similar, found, queries)
        edge = cosine[:, k] if cosine.shape[1] > k else np.full(len(cosine), -1.0, np.float32)
        edge = np.minimum(edge, np.float32(1.0 - _SMALL))
        near = np.maximum((cosine[:, :k] - edge[:, None]) / (1.0 - edge[:, None]), 0.0)
        strength = torch.from_numpy(near.astype(np.float32))
        mass = strength.sum(-1).clamp_min(_SMALL)
        parts.append(
            Neighbourhoods(
                with_image[torch.from_numpy(nearest[:, :k])].int(),
                strength / mass.unsqueeze(-1),
                torch.from_numpy(edge.astype(np.float32)),
                mass,
            )
        )
    whole = functools.reduce(Neighbourhoods.joined, parts)
    return whole.moved(lambda part: part.to(unit.device))


def _without_self(
    cosine: npt.NDArray[np.float32], found: npt.NDArray[np.int64], own: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Drops one entry per row: the item itself, or the last if equal images displace it."""
    drop = found == own[:, None]
    drop[~drop.any(axis=1), -1] = True
    shape = (len(found), found.shape[1] - 1)
    return cosine[~drop].reshape(shape), found[~drop].reshape(shape)
