"""The movie scenario through the whole pipeline: titles before pictures, pictures of 2:3."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pigeon_rec.data.aspect import Aspect
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.errors import ModelError
from pigeon_rec.model.output import PigeonOutput
from pigeon_rec.model.pipeline import PigeonPipeline
from tests.model.tiny import QUICK, pictures

ROWS, IMAGES = 5, 3
HISTORY, REFERENCE = pictures(ROWS, IMAGES), pictures(ROWS, seed=1)
TITLES = [[f"Film {row * IMAGES + image} (19{row}{image})" for image in range(IMAGES)]
          for row in range(ROWS)]  # fmt: skip
PROMPT = load_prompt("movie")


def draw(pipeline: PigeonPipeline, rows: list[int], **changes: Any) -> PigeonOutput:
    given: dict[str, Any] = {
        "history_texts": [[PROMPT.history(title) for title in TITLES[row]] for row in rows],
        "scenario": "movie",
    }
    return pipeline(
        HISTORY[rows],
        REFERENCE[rows],
        [PROMPT.target(f"Target {row}", "a red cat", "Drama", "Drama, War") for row in rows],
        keys=[f"asset-{row}/0" for row in rows],
        settings=QUICK,
        **(given | changes),
    )


@pytest.fixture(scope="module")
def drawn(pipeline: PigeonPipeline) -> PigeonOutput:
    return draw(pipeline, list(range(ROWS)))


def test_pictures_are_shown_in_their_proportions(drawn: PigeonOutput) -> None:
    assert drawn.aspect == Aspect(2, 3)
    assert drawn.images.shape == (ROWS, 2, 16, 16, 3)
    shown = drawn.pictures()
    assert shown.shape == (ROWS, 2, 24, 16, 3)
    assert shown.dtype == np.uint8
    assert np.array_equal(shown[3, 1], Aspect(2, 3).from_square(drawn.images[3, 1]))


def test_stickers_are_shown_as_they_are_drawn(pipeline: PigeonPipeline) -> None:
    drawn = draw(pipeline, [0, 1], scenario="sticker", history_texts=None)
    assert np.array_equal(drawn.pictures(), drawn.images)


@pytest.mark.parametrize("rows", [[0], [4, 2], [3, 1, 4, 0, 2]])
def test_bytes_do_not_depend_on_neighbours_and_their_titles(
    pipeline: PigeonPipeline, drawn: PigeonOutput, rows: list[int]
) -> None:
    again = draw(pipeline, rows)
    assert np.array_equal(again.images, drawn.images[rows])
    assert np.array_equal(again.codes, drawn.codes[rows])


def test_a_title_has_its_part_in_the_picture(pipeline: PigeonPipeline, drawn: PigeonOutput) -> None:
    texts = [[PROMPT.history(title) for title in titles] for titles in TITLES]
    texts[2][1] = PROMPT.history("Something else (2001)")
    other = draw(pipeline, list(range(ROWS)), history_texts=texts)
    changed = [not np.array_equal(a, b) for a, b in zip(other.codes, drawn.codes, strict=True)]
    assert changed == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history_texts": None}, r"'movie' needs `history_texts`: 3 for each of 2.*received none"),
        ({"history_texts": [["a", "b", "c"]]}, r"3 for each of 2.*received 1 of \[3\]"),
        ({"history_texts": [["a", "b", "c"], ["a"]]}, r"received 2 of \[1, 3\]"),
        ({"scenario": "sticker"}, "'sticker' has no text before its history images"),
    ],
)
def test_texts_that_do_not_fit_the_scenario_are_named(
    pipeline: PigeonPipeline, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        draw(pipeline, [0, 1], **changes)
