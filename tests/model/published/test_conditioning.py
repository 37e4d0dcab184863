"""Ways to condition on the history, for both kinds of pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pigeon_rec.errors import ModelError
from pigeon_rec.evaluation.conditioning import conditioned
from pigeon_rec.evaluation.methods import Conditioning
from pigeon_rec.model.pipeline import CodedRequests, PigeonPipeline, Pipeline
from pigeon_rec.model.published.pipeline import PublishedPipeline
from pigeon_rec.placement import Placement
from tests.model.tiny import QUICK, random_codes

HISTORY, REFERENCE = random_codes(5, 3, 16), random_codes(5, 16, seed=1)
SETTINGS = QUICK.model_copy(update={"history_mask_ratio": 0.25})


def written(pipeline: Pipeline, history: torch.Tensor = HISTORY) -> NDArray[np.int64]:
    keys = ["a", "b", "c", "d", "e"]
    requests = CodedRequests(history.numpy(), REFERENCE.numpy(), ["a red cat"] * 5, keys)
    return pipeline.write(requests, SETTINGS)


@pytest.mark.parametrize("how", ["no_history", "averaged_history"])
def test_our_own_pipeline_stays_what_it_is(pipeline: PigeonPipeline, how: Conditioning) -> None:
    placed = PigeonPipeline(
        pipeline.config, pipeline._parts(), pipeline.text, 3, Placement(dtype="float32")
    )
    other = conditioned(placed, how)
    assert type(other) is PigeonPipeline
    assert (other.batch_size, other.placement) == (3, placed.placement)
    assert other.generator is placed.generator
    assert other.personalisation.language_model is placed.personalisation.language_model
    assert set(other.parts()) == set(placed.parts())
    assert (written(other) != written(placed)).any()
    assert np.array_equal(written(conditioned(placed, "history")), written(placed))


def test_a_published_pipeline_stays_what_it_is(published: PublishedPipeline) -> None:
    other = conditioned(published, "no_history")
    assert type(other) is PublishedPipeline
    assert (other.batch_size, other.placement) == (2, published.placement)
    assert other.defaults == published.defaults
    assert other.image_shape == published.image_shape
    assert other.tokenizer is published.tokenizer
    assert other.generator is published.generator
    language_model = published.personalisation.language_model
    assert other.personalisation.language_model is language_model
    assert (written(other) != written(published)).any()


@pytest.mark.parametrize("kind", ["own", "published"])
def test_without_history_no_history_code_has_a_part(
    pipeline: PigeonPipeline, published: PublishedPipeline, kind: str
) -> None:
    plain: Pipeline = pipeline if kind == "own" else published
    other, turned = conditioned(plain, "no_history"), HISTORY.flip(0)
    assert np.array_equal(written(other), written(other, turned))
    assert (written(plain) != written(plain, turned)).any()


def test_an_averaged_history_does_not_depend_on_the_order_of_its_images(
    pipeline: PigeonPipeline,
) -> None:
    other = conditioned(pipeline, "averaged_history")
    unmasked = SETTINGS.model_copy(update={"history_mask_ratio": 0.0})
    requests = [
        CodedRequests(history.numpy(), REFERENCE.numpy(), ["a red cat"] * 5, list("abcde"))
        for history in (HISTORY, HISTORY[:, [2, 0, 1]])
    ]
    one, turned = (other.write(given, unmasked) for given in requests)
    assert np.array_equal(one, turned)
    one, turned = (pipeline.write(given, unmasked) for given in requests)
    assert not np.array_equal(one, turned)


def test_images_of_different_lengths_cannot_be_averaged(published: PublishedPipeline) -> None:
    with pytest.raises(ModelError, match="equally many tokens"):
        conditioned(published, "averaged_history")
