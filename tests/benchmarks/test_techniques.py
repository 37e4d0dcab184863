"""What each technique changes about drawing, and what it must not change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.techniques import ALL, NONE, Techniques, draw, pipeline_for, write
from pigeon_rec.config import GenerationConfig
from pigeon_rec.drawing.drawer import Drawer
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.published.pipeline import PUBLISHED_GENERATION
from tests.drawing.tiny_drawer import REQUESTS, tiny_drawer
from tests.model.tiny import tiny_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_pipeline().save_pretrained(folder / "model")
    return folder


def drawer_for(techniques: Techniques, folder: Path) -> Drawer:
    pipeline = pipeline_for(techniques, str(folder / "model"))
    return tiny_drawer(folder / "catalogue", pipeline)


def test_all_techniques_are_the_night_and_none_the_published_runs() -> None:
    assert ALL.settings == GenerationConfig()
    assert NONE.settings == PUBLISHED_GENERATION


@pytest.mark.parametrize("off", ["codes", "prefix", "batches"])
def test_a_technique_that_only_saves_time_changes_no_picture(off: str, folder: Path) -> None:
    slower = replace(ALL, **{off: False})
    fast = draw(drawer_for(ALL, folder), REQUESTS, ALL)
    slow = draw(drawer_for(slower, folder), REQUESTS, slower)
    # Another batch shape sums in another order, which may move a pixel by one level.
    assert np.abs(fast.astype(int) - slow.astype(int)).max() <= int(off == "batches")


def test_a_technique_that_is_off_repeats_its_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    plain = PigeonPipeline.encode_images

    def counting(pipeline: PigeonPipeline, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        encoded.append(len(images))
        return plain(pipeline, images)

    monkeypatch.setattr(PigeonPipeline, "encode_images", counting)

    def tokenised(techniques: Techniques) -> int:
        encoded.clear()
        write(drawer_for(techniques, folder), REQUESTS, techniques)
        return sum(encoded)

    assert tokenised(ALL) == 6  # each picture once
    assert tokenised(replace(ALL, codes=False, batches=False)) == 3 * 3  # those of each request
    assert tokenised(replace(NONE, solver=True)) == 2 * 3 * 3  # and again for each ratio


def test_the_solver_is_the_one_named(folder: Path) -> None:
    named = {
        techniques.solver: type(pipeline_for(techniques, str(folder / "model")).generator.sampler())
        for techniques in (ALL, NONE)
    }
    assert {key: kind.__name__ for key, kind in named.items()} == {
        True: "DPMSolverMultistepScheduler",
        False: "DDIMScheduler",
    }


@pytest.mark.parametrize("on", ["bfloat16", "eight_bits", "planes"])
def test_optional_techniques_draw_as_well(on: str, folder: Path) -> None:
    other = replace(ALL, **{on: True})
    drawn = draw(drawer_for(other, folder), REQUESTS, other)
    plain = draw(drawer_for(ALL, folder), REQUESTS, ALL)
    assert drawn.shape == plain.shape
    if on == "planes":
        assert np.abs(drawn.astype(int) - plain.astype(int)).max() <= 1
    else:
        assert (drawn != plain).any()
