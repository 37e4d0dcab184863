"""Losses and measures of drawn pixels against true ones; all arguments `[B, 3, H, W]`."""

from __future__ import annotations

from torch import Tensor

__all__ = ["edge_loss", "psnr"]


def edge_loss(drawn: Tensor, truth: Tensor) -> Tensor:
    """L1 loss of horizontal and vertical pixel gradients."""
    rows = (drawn.diff(dim=2) - truth.diff(dim=2)).abs().mean()
    return rows + (drawn.diff(dim=3) - truth.diff(dim=3)).abs().mean()


def psnr(drawn: Tensor, truth: Tensor) -> Tensor:
    """Mean peak signal-to-noise ratio in dB of pixels in [-1, 1], rounded to 8 bits as saved."""
    levels = [((pixels.detach().clamp(-1, 1) + 1) * 127.5).round() for pixels in (drawn, truth)]
    error = (levels[0] - levels[1]).square().mean((1, 2, 3))
    # An exact copy would be infinite; a hundredth of a level is 68 dB.
    return (10 * (255**2 / error.clamp(min=1e-2)).log10()).mean()
