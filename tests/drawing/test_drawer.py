"""Requests in, chosen pictures out, with a tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.drawing import Request
from pigeon_rec.drawing.drawer import Drawer
from tests.drawing.tiny_drawer import REQUESTS, tiny_drawer
from tests.model.tiny import QUICK


@pytest.fixture(scope="module")
def drawer(tmp_path_factory: pytest.TempPathFactory) -> Drawer:
    return tiny_drawer(tmp_path_factory.mktemp("catalogue"))


def test_steps_and_whole_agree(drawer: Drawer) -> None:
    items = drawer.items(REQUESTS)
    codes, conditions = drawer.write(REQUESTS, items), drawer.conditions(REQUESTS, items)
    images = drawer.render(codes, REQUESTS, drawer.shortlist(codes, conditions))
    choices = drawer.choose(images, REQUESTS, items, conditions)
    for row, drawn in enumerate(drawer.draw(REQUESTS, items)):
        assert drawn.request == REQUESTS[row]
        assert drawn.choice == choices[row]
        assert np.array_equal(drawn.image, images[row, choices[row].place])
        assert drawn.mask_ratio == QUICK.mask_ratios[choices[row].place]


def test_a_drawing_depends_on_its_request_alone(drawer: Drawer) -> None:
    together = drawer.draw(REQUESTS, drawer.items(REQUESTS))
    for request, drawn in zip(REQUESTS, together, strict=True):
        (alone,) = drawer.draw([request], drawer.items([request]))
        assert np.array_equal(alone.image, drawn.image)
        assert alone.choice == drawn.choice


def test_histories_of_any_length_keep_the_order_of_the_requests(drawer: Drawer) -> None:
    mixed = [REQUESTS[0], Request("d/0", ("i02",), "i03"), REQUESTS[1]]
    drawn = drawer.draw(mixed, drawer.items(mixed))
    assert [one.request for one in drawn] == mixed
    assert drawer.draw([], drawer.items([])) == []


def test_the_text_may_be_another_items(drawer: Drawer) -> None:
    other = replace(REQUESTS[0], target="i02")
    assert (REQUESTS[0].described_by, other.described_by) == ("i04", "i02")
    items = drawer.items([other])
    mine, theirs = (drawer.conditions([r], items) for r in (REQUESTS[0], other))
    assert not np.array_equal(mine.text, theirs.text)
    assert np.array_equal(mine.history, theirs.history)


def test_only_the_best_previews_are_rendered(drawer: Drawer) -> None:
    one = drawer.with_generation(rendered=1)
    items = one.items(REQUESTS)
    codes, conditions = one.write(REQUESTS, items), one.conditions(REQUESTS, items)
    places = one.shortlist(codes, conditions)
    assert places.shape == (len(REQUESTS), 1)
    previews = conditions.scores(one.embed(one.pipeline.preview(codes)))["selection_score"]
    assert places[:, 0].tolist() == previews.argmax(axis=1).tolist()
    assert drawer.shortlist(codes, conditions).tolist() == [[0, 1]] * len(REQUESTS)


def test_a_refused_request_keeps_its_best_candidate(tmp_path: Path) -> None:
    strict = tiny_drawer(tmp_path, gate=QualityGateConfig(min_text_score=1.0))
    (drawn,) = strict.draw(REQUESTS[:1], strict.items(REQUESTS[:1]))
    assert drawn.choice.rejection is not None
    assert drawn.choice.rejection.reason in ("blank", "off_target")


def test_a_limit_of_the_likeness_is_checked_on_the_concept_part(tmp_path: Path) -> None:
    gate = QualityGateConfig(min_text_score=-1.0, min_pixel_std=0.0, min_reference_likeness=1.0)
    strict = tiny_drawer(tmp_path, gate=gate)
    items = strict.items(REQUESTS)
    (drawn,) = strict.draw(REQUESTS[:1], items)
    assert drawn.choice.rejection is not None
    assert drawn.choice.rejection.reason == "off_target"
    likeness = drawn.choice.scores["likeness_score"]
    assert f"likeness {likeness:.3f} to what the reference shows" in drawn.choice.rejection.detail
    mine = strict.scorer.encode_images(drawn.image[None])
    reference = strict.conditions(REQUESTS[:1], items).reference
    assert likeness == pytest.approx(float((mine * reference).sum()), abs=1e-5)
    lenient = replace(strict, gate=gate.model_copy(update={"min_reference_likeness": -1.0}))
    assert lenient.draw(REQUESTS[:1], items)[0].choice.rejection is None
