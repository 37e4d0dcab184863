"""Views: what shapes and looks change, and what they leave as it is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pigeon_rec.training.views import (
    MADE_STYLES,
    Looks,
    Shapes,
    apply_looks,
    apply_shapes,
    draw_looks,
    draw_shapes,
    random_views,
)
from tests.training.tiny import generator

SEEDS = st.integers(0, 10_000)
STYLES = range(1, MADE_STYLES + 1)


def artwork(seed: int, count: int = 3) -> Tensor:
    """Blocks of colour `[count, 3, 16, 16]` in a white frame of four pixels."""
    blocks = torch.rand(count, 3, 2, 2, generator=generator(seed)) * 2 - 1
    pixels = torch.ones(count, 3, 16, 16)
    pixels[:, :, 4:12, 4:12] = blocks.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return pixels


def shapes(mirror: bool = False, shift: tuple[int, int] = (0, 0), count: int = 3) -> Shapes:
    drawn = draw_shapes(count, generator(), bent=0.0)
    return Shapes(
        torch.full((count,), mirror), torch.tensor([shift] * count), drawn.bent, drawn.affine
    )


def looks(style: int, seed: int = 0, count: int = 3) -> Looks:
    numbers = torch.rand(count, 6, generator=generator(seed))
    return Looks(torch.full((count,), style), numbers)


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_views_stay_in_range_and_depend_on_the_generator_alone(seed: int) -> None:
    pixels = artwork(seed)
    one, same, other = (
        random_views(pixels, generator(s), natural=0.2, bent=0.6) for s in (seed, seed, seed + 1)
    )
    assert one.shape == pixels.shape
    assert one.dtype == torch.float32
    assert one.min() >= -1
    assert one.max() <= 1
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_white_stays_white(seed: int) -> None:
    white = torch.ones(8, 3, 16, 16)
    assert torch.allclose(random_views(white, generator(seed), natural=0.0, bent=1.0), white)


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_the_natural_look_changes_nothing(seed: int) -> None:
    pixels = artwork(seed)
    assert torch.equal(apply_looks(pixels, looks(0, seed)), pixels)
    shaped = apply_shapes(pixels, draw_shapes(3, generator(seed), bent=0.5))
    assert torch.equal(random_views(pixels, generator(seed), natural=1.0, bent=0.5), shaped)


def test_mirroring_twice_changes_nothing() -> None:
    pixels = artwork(0)
    once = apply_shapes(pixels, shapes(mirror=True))
    assert torch.equal(once, pixels.flip(-1))
    assert torch.equal(apply_shapes(once, shapes(mirror=True)), pixels)


@given(rows=st.integers(-4, 4), columns=st.integers(-4, 4))
@settings(max_examples=20, deadline=None)
def test_a_shift_moves_whole_pixels_over_white(rows: int, columns: int) -> None:
    pixels = artwork(1)
    moved = apply_shapes(pixels, shapes(shift=(rows, columns)))
    # The frame is four pixels wide, so a cyclic shift is the same.
    assert torch.equal(moved, pixels.roll((-rows, -columns), (2, 3)))
    dark = apply_shapes(-torch.ones(3, 3, 16, 16), shapes(shift=(rows, columns)))
    assert int((dark == 1).sum()) == 9 * (256 - (16 - abs(rows)) * (16 - abs(columns)))


def test_a_bend_moves_colours_but_keeps_the_background() -> None:
    pixels = artwork(2, 40)
    drawn = draw_shapes(40, generator(), bent=1.0, reach=0)
    bent = apply_shapes(pixels, drawn)
    assert (bent != pixels).flatten(1).any(1).all()
    assert torch.equal(bent[:, :, 0, 0], torch.ones(40, 3))
    assert bool(draw_shapes(500, generator(), bent=0.0).bent.any()) is False
    share = float(draw_shapes(4000, generator(), bent=0.3).bent.float().mean())
    assert share == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("style", STYLES)
def test_every_made_style_changes_the_artwork_and_keeps_the_background(style: int) -> None:
    pixels = artwork(3, 30)
    made = apply_looks(pixels, looks(style, count=30))
    assert (made != pixels).flatten(1).any(1).float().mean() > 0.7
    # An outline is drawn on the pixels next to a colour, too.
    assert torch.allclose(made[:, :, :3], torch.ones(()))


def test_one_look_is_one_style_for_all_images() -> None:
    """Equal images with one look become equal images."""
    pixels = artwork(4, 1).expand(5, -1, -1, -1)
    user = torch.zeros(5, dtype=torch.long)
    for seed in range(10):
        look, shape = draw_looks(1, generator(seed), natural=0.0), draw_shapes(1, generator(seed))
        made = apply_looks(apply_shapes(pixels, shape[user]), look[user])
        assert torch.equal(made, made[:1].expand_as(made))


def test_looks_are_natural_as_often_as_asked() -> None:
    style = draw_looks(4000, generator(), natural=0.6).style
    assert float((style == 0).float().mean()) == pytest.approx(0.6, abs=0.03)
    assert set(style.tolist()) == {0, *STYLES}
    some = looks(2).natural_where(torch.tensor([True, False, True]))
    assert some.style.tolist() == [0, 2, 0]
