"""Motifs and scenery: whole, different from each other, and chosen by title and genres."""

from __future__ import annotations

import numpy as np
import pytest

from pigeon_rec.demo.posters.composition import compose
from pigeon_rec.demo.posters.motifs import GENRE_MOTIFS, MOTIFS, choose_motif
from pigeon_rec.demo.posters.raster import fill, grown, outline
from pigeon_rec.demo.posters.scenery import SCENERY
from pigeon_rec.demo.posters.shapes import Layer, box, disc, layer, line, placed, ring


def whole(layers: list[Layer]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    covered = np.zeros((240, 160), dtype=np.float32)
    for one in layers:
        covered = np.maximum(covered, fill(one))
    return covered


def painted(layers: list[Layer]) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """The number of the role that is seen at each place, on a coarse grid."""
    seen = np.zeros((240, 160), dtype=np.int8)
    for one in layers:
        seen[fill(one) > 0.5] = 1 + ("main", "second", "light", "dark").index(one.role)
    return seen[2:190:4, 2::4]


@pytest.mark.parametrize("name", MOTIFS)
def test_a_motif_fills_its_box_in_several_roles(name: str) -> None:
    drawn = MOTIFS[name](np.random.default_rng(3))
    assert len({one.role for one in drawn}) >= 3
    covered = whole(placed(drawn, 0.5, 0.6, 0.36))
    assert 0.04 < covered.mean() < 0.32
    rows, columns = np.flatnonzero(covered.max(1)), np.flatnonzero(covered.max(0))
    assert max(np.ptp(rows), np.ptp(columns)) > 0.6 * 0.72 * 160
    # It may reach beyond the box, but not by more than a third.
    assert abs(rows.mean() - 0.6 * 160) < 40
    assert columns.min() >= 5
    assert columns.max() <= 155


def test_no_two_motifs_look_alike() -> None:
    names = list(MOTIFS)
    drawn = [placed(MOTIFS[name](np.random.default_rng(3)), 0.5, 0.6, 0.36) for name in names]
    flat = np.stack([painted(layers) for layers in drawn]).reshape(len(names), -1)
    alike = (flat[:, None] == flat[None]).mean(-1) - 2 * np.eye(len(names))
    assert alike.max() < 0.97, [names[i] for i in np.unravel_index(alike.argmax(), alike.shape)]


def test_every_genre_has_several_motifs() -> None:
    assert set().union(*GENRE_MOTIFS.values()) <= set(MOTIFS)
    assert min(len(motifs) for motifs in GENRE_MOTIFS.values()) >= 4


@pytest.mark.parametrize("name", SCENERY)
def test_scenery_reaches_the_lower_edge(name: str) -> None:
    layers = SCENERY[name](np.random.default_rng(5), 1.1)
    assert {"near"} <= {one.role for one in layers} <= {"sky", "far", "near"}
    assert whole(layers)[-1].mean() > 0.9


def test_a_word_of_the_title_gives_the_motif() -> None:
    random = np.random.default_rng(1)
    assert choose_motif(["the", "piano"], "drama", random) == "piano"
    assert choose_motif(["heat"], "crime", random) in GENRE_MOTIFS["crime"]
    assert choose_motif([], "unheard of", random) in MOTIFS


def test_the_most_telling_genre_comes_first() -> None:
    film = compose("Alien (1979)", 1979, "Action, Horror, Sci-Fi, Thriller")
    assert film.genres == ("sci-fi", "horror", "thriller", "action")
    assert film.title == "Alien"
    assert film.words.endswith("sci-fi, horror, thriller, action film of 1979")
    assert compose("Untitled", None, "").words.endswith(" film")


def test_a_title_in_another_language_is_left_out() -> None:
    assert compose("French Twist (Gazon maudit) (1995)", 1995, "Comedy").title == "French Twist"
    assert compose("(1995)", 1995, "Comedy").title == ""


def test_masks_have_the_area_of_their_shapes() -> None:
    square = layer("main", box(0.25, 0.5, 0.75, 1.0))
    assert fill(square).sum() == pytest.approx(80 * 80, rel=0.02)
    assert grown(square, 0.05).sum() == pytest.approx(96 * 96, rel=0.02)
    assert outline(square, 0.05).sum() == pytest.approx(96 * 96 - 80 * 80, rel=0.05)
    circle = layer("main", ring(0.5, 0.75, 0.4, 0.3))
    assert fill(circle).sum() == pytest.approx(np.pi * (64**2 - 48**2), rel=0.02)
    bar = layer("main", line(0.1, (0.2, 0.5), (0.8, 0.5)))
    assert fill(bar).sum() == pytest.approx(96 * 16 + np.pi * 64, rel=0.05)
    outside = layer("main", disc(3.0, 3.0, 0.1))
    assert fill(outside).sum() == 0
