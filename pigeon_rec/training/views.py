"""Views of artwork: a shape and a look, drawn at random and applied on the device of the pixels.

A shape mirrors, shifts and sometimes bends an image; a look leaves its colours as they are
(natural) or redraws them in a made style. A language model that reads histories, references and
targets in views takes the style from the history, also one that no artwork has. The background is
white and stays white: what a shift or a bend uncovers is white, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.training.draws import uniform

__all__ = [
    "MADE_STYLES",
    "Looks",
    "Shapes",
    "apply_looks",
    "apply_shapes",
    "draw_looks",
    "draw_shapes",
    "random_views",
]

MADE_STYLES = 7
"""Number of made styles; style 0 is the natural look."""
_NUMBERS = 6
_STILL = 0.3
_TURN, _SCALE, _SLANT, _MOVE = 0.2, 0.15, 0.12, 0.08
_PERMUTATIONS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
_LIGHTNESS = (0.3, 0.59, 0.11)


@dataclass(frozen=True)
class Shapes:
    """Shapes of `n` images.

    Attributes:
        mirror: bool `[n]`.
        shift: int64 `[n, 2]`, whole pixels up and to the left.
        bent: bool `[n]`, whether the affine map is applied.
        affine: Float `[n, 2, 3]`, as of `torch.nn.functional.affine_grid`.
    """

    mirror: Tensor
    shift: Tensor
    bent: Tensor
    affine: Tensor

    def __getitem__(self, rows: Tensor) -> Shapes:
        return Shapes(*(values[rows] for values in vars(self).values()))


@dataclass(frozen=True)
class Looks:
    """Looks of `n` images.

    Attributes:
        style: int64 `[n]`: 0 is natural, 1 to `MADE_STYLES` a made style.
        numbers: Float `[n, 6]` in [0, 1), the details of the style.
    """

    style: Tensor
    numbers: Tensor

    def __getitem__(self, rows: Tensor) -> Looks:
        return Looks(self.style[rows], self.numbers[rows])

    def natural_where(self, natural: Tensor) -> Looks:
        """The same looks, natural where bool `[n]` is True."""
        return Looks(self.style.masked_fill(natural, 0), self.numbers)


def draw_shapes(
    count: int, random: torch.Generator, *, bent: float = 0.3, reach: int = 3
) -> Shapes:
    """Draws shapes: half of them mirrored, most of them shifted.

    Args:
        count: Number of images.
        random: On the device of the images.
        bent: Share of shapes with an affine map.
        reach: Largest shift in pixels.
    """
    shift = torch.randint(
        -reach, reach + 1, (count, 2), generator=random, device=random.device
    ).masked_fill(_chance(count, _STILL, random)[:, None], 0)
    mirror, bends = _chance(count, 0.5, random), _chance(count, bent, random)
    return Shapes(mirror, shift, bends, _affine(count, random))


def draw_looks(count: int, random: torch.Generator, *, natural: float = 0.7) -> Looks:
    """Draws looks; `natural` is the share of natural ones, the others have a made style."""
    style = torch.randint(1, MADE_STYLES + 1, (count,), generator=random, device=random.device)
    looks = Looks(style, uniform(random, count, _NUMBERS))
    return looks.natural_where(_chance(count, natural, random))


def random_views(
    pixels: Tensor, random: torch.Generator, *, natural: float = 0.7, bent: float = 0.3
) -> Tensor:
    """A view of each image `[n, 3, H, W]` in [-1, 1], drawn one by one."""
    shapes = draw_shapes(len(pixels), random, bent=bent)
    return apply_looks(
        apply_shapes(pixels, shapes), draw_looks(len(pixels), random, natural=natural)
    )


def apply_shapes(pixels: Tensor, shapes: Shapes) -> Tensor:
    """Mirrors, shifts and bends pixels `[n, 3, H, W]` in [-1, 1]; uncovered pixels are white."""
    mirrored = torch.where(_wide(shapes.mirror), pixels.flip(-1), pixels)
    moved = _shifted(mirrored, shapes.shift)
    grid = F.affine_grid(shapes.affine, list(moved.shape), align_corners=False)
    # White is 0 here, with which the sampler fills what it uncovers.
    bent = 1.0 - F.grid_sample(1.0 - moved, grid, mode="bicubic", align_corners=False)
    return torch.where(_wide(shapes.bent), bent.clamp(-1, 1), moved)


def apply_looks(pixels: Tensor, looks: Looks) -> Tensor:
    """Gives pixels `[n, 3, H, W]` in [-1, 1] their looks; the natural look changes nothing."""
    colours, drawn = (pixels + 1) / 2, pixels
    made = (_permuted, _turned, _duotone, _contrast, _levels, _outlined, _lit)
    for number, style in enumerate(made, start=1):
        changed = style(colours, looks.numbers).clamp(0, 1) * 2 - 1
        drawn = torch.where(_wide(looks.style == number), changed, drawn)
    return drawn


# Made styles: colours `[n, 3, H, W]` in [0, 1] and numbers `[n, 6]` -> colours, to be clamped.


def _permuted(colours: Tensor, numbers: Tensor) -> Tensor:
    """Swaps the channels."""
    orders = torch.tensor(_PERMUTATIONS, device=colours.device)
    order = orders[(numbers[:, 0] * len(orders)).long()]
    return colours.gather(1, _wide(order).expand_as(colours))


def _turned(colours: Tensor, numbers: Tensor) -> Tensor:
    """Turns the hue: a rotation about the grey axis."""
    angle = numbers[:, 0, None, None] * 2 * math.pi
    axis = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=colours.device) / 3**0.5
    eye = torch.eye(3, device=colours.device)
    turn = angle.cos() * eye + (1 - angle.cos()) / 3 + angle.sin() * axis
    return torch.einsum("nij,njhw->nihw", turn, colours - 1) + 1


def _duotone(colours: Tensor, numbers: Tensor) -> Tensor:
    """One dark colour to white, by lightness."""
    dark = _wide(numbers[:, :3]) * 0.8
    return dark + (1 - dark) * _grey(colours)


def _contrast(colours: Tensor, numbers: Tensor) -> Tensor:
    """More or less saturation and contrast."""
    saturation, contrast = _wide(numbers[:, 0]) * 1.8, 0.6 + _wide(numbers[:, 1]) * 0.9
    grey = _grey(colours)
    return 1 + (grey + saturation * (colours - grey) - 1) * contrast


def _levels(colours: Tensor, numbers: Tensor) -> Tensor:
    """Three to five levels of each channel."""
    steps = 2 + (_wide(numbers[:, 0]) * 3).floor()
    return (colours * steps).round() / steps


def _outlined(colours: Tensor, numbers: Tensor) -> Tensor:
    """Dark lines where a colour ends, over a paler filling or none."""
    ends = (F.max_pool2d(colours, 3, 1, 1) + F.max_pool2d(-colours, 3, 1, 1)).amax(1, keepdim=True)
    line = ((ends - 0.12 - 0.2 * _wide(numbers[:, 3])) * 6).clamp(0, 1)
    filling = (_wide(numbers[:, 4]) > 0.35) * (0.5 + 0.5 * _wide(numbers[:, 5]))
    return (1 - (1 - colours) * filling) * (1 - line) + _wide(numbers[:, :3]) * 0.45 * line


def _lit(colours: Tensor, numbers: Tensor) -> Tensor:
    """Light from above or from below, on everything but white."""
    ramp = torch.linspace(-1, 1, colours.shape[2], device=colours.device)[:, None]
    drawn = (1 - colours).amax(1, keepdim=True)
    return colours - drawn * ramp * (_wide(numbers[:, 0]) - 0.5) * 0.6


def _grey(colours: Tensor) -> Tensor:
    weights = torch.tensor(_LIGHTNESS, device=colours.device)[:, None, None]
    return (colours * weights).sum(1, keepdim=True)


def _shifted(pixels: Tensor, shift: Tensor) -> Tensor:
    """Moves each image by whole pixels over white."""
    count, _, height, width = pixels.shape
    above, left = shift.unbind(1)
    rows = above[:, None] + torch.arange(height, device=pixels.device)
    columns = left[:, None] + torch.arange(width, device=pixels.device)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None
    ]
    image = torch.arange(count, device=pixels.device)[:, None, None]
    places = image, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]
    moved = pixels.permute(0, 2, 3, 1)[places]
    return moved.masked_fill(~inside[..., None], 1.0).permute(0, 3, 1, 2).contiguous()


def _affine(count: int, random: torch.Generator) -> Tensor:
    """Small turns, scalings, slants and moves, `[n, 2, 3]`."""
    numbers = uniform(random, count, 6) * 2 - 1
    angle = numbers[:, 0] * _TURN
    wide, high = (1 + numbers[:, 1:3] * _SCALE).unbind(1)
    slant = numbers[:, 3] * _SLANT
    across = torch.stack([angle.cos() * wide, slant - angle.sin() * high], 1)
    down = torch.stack([angle.sin() * wide, angle.cos() * high], 1)
    turn = torch.stack([across, down], 1)
    return torch.cat([turn, numbers[:, 4:, None] * _MOVE], 2)


def _wide(values: Tensor) -> Tensor:
    """`[n]` or `[n, 3]` -> `[n, 1 or 3, 1, 1]`, to combine with images."""
    return values.reshape(len(values), -1, 1, 1)


def _chance(count: int, share: float, random: torch.Generator) -> Tensor:
    """Bool `[count]`, True with probability `share`."""
    return uniform(random, count) < share
