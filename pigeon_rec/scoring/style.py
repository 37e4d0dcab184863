"""The style part of the scorer: an image's look, whatever it shows.

Style is in the statistics of feature maps, concept in their arrangement (Gatys et al., arXiv
1508.06576; means and deviations suffice, arXiv 1703.06868).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["StyleHead"]

_SMALL = 1e-6  # keeps the deviation of a flat map differentiable


class StyleHead(nn.Module):
    """Statistics of the image tower's convolutions, then two linear layers.

    Args:
        channels: Channels of each feature map.
        width: Hidden width.
        embedding: Length of the output.
    """

    def __init__(self, channels: Sequence[int], width: int, embedding: int) -> None:
        super().__init__()
        count = 2 * sum(channels)
        # Statistics differ in scale by orders of magnitude.
        self.norm = nn.BatchNorm1d(count, affine=False)
        self.layers = nn.Sequential(
            nn.Linear(count, width), nn.GELU(), nn.Linear(width, embedding, bias=False)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Feature maps `[B, channels, h, w]` -> float32 `[B, embedding]` of unit length."""
        statistics = torch.cat([part for values in maps for part in _moments(values)], dim=1)
        return F.normalize(self.layers(self.norm(statistics)).float(), dim=-1)


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, float32 `[B, channels]` each."""
    variance, mean = torch.var_mean(values.float(), dim=(2, 3), correction=0)
    return mean, (variance + _SMALL).sqrt()
