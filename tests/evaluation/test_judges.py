"""The judges: their training artwork, their accuracy, and concept hits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.world import load_world
from pigeon_rec.errors import ModelError
from pigeon_rec.evaluation.judges import JUDGES_PATH, Judge, Judges, held_out_accuracy
from pigeon_rec.evaluation.train_judges import fit_judge, judge_stickers, validation_rows
from pigeon_rec.training.artwork import TrainingArtwork

WORLD = load_world("bundled")


@pytest.fixture(scope="module")
def judges() -> Judges:
    return Judges.load()


@pytest.fixture(scope="module")
def stickers() -> TrainingArtwork:
    return judge_stickers()


def test_judges_never_read_a_held_out_pair(stickers: TrainingArtwork) -> None:
    held_out = set(WORLD.artwork().filter("held_out")["item_id"])
    read = set(stickers.rows["item_id"])
    assert len(read) > 10_000
    assert read.isdisjoint(held_out)


def test_a_part_of_the_artwork_is_kept_for_validation(stickers: TrainingArtwork) -> None:
    assert 0.03 < validation_rows(stickers.rows).mean() < 0.05


@pytest.mark.slow
def test_the_judges_are_accurate(judges: Judges) -> None:
    accuracy = held_out_accuracy(judges)
    assert accuracy.pictures == 1178
    assert accuracy.style >= 0.90
    assert accuracy.concept >= 0.75
    assert min(accuracy.style_by_style.values()) >= 0.70


def test_every_style_and_concept_is_known(judges: Judges) -> None:
    assert judges.style.classes == tuple(sorted(WORLD.style_descriptions))
    assert set(judges.concept.classes) == set(WORLD.artwork()["concept"])


def test_the_bundled_judges_are_small() -> None:
    size = sum(path.stat().st_size for path in JUDGES_PATH.rglob("*") if path.is_file())
    assert 100_000 < size < 8 * 2**20


def test_noise_has_no_concept(judges: Judges) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    names = list(judges.concept.classes[::26][:60])
    hits = judges.concept_hits(judges.concept.embed(noise), names, [str(n) for n in range(60)])
    assert hits.mean() < 0.1


def test_the_other_concepts_depend_on_the_key_alone(judges: Judges) -> None:
    images, _ = load_catalogue("bundled").images(["noto/red-apple"] * 2, size=64)
    embeddings = judges.concept.embed(images)
    assert np.array_equal(
        judges.concept_hits(embeddings, ["red-apple", "red-apple"], ["a", "b"]), [True, True]
    )
    keys = [str(key) for key in range(20)]
    near = judges.concept_hits(np.repeat(embeddings[:1], 20, axis=0), ["green-apple"] * 20, keys)
    assert not near.all()  # sometimes the red apple is among the hundred
    again = [judges.concept_hits(embeddings[:1], ["green-apple"], [key])[0] for key in keys]
    assert near.tolist() == again


def test_an_unknown_concept_is_never_hit(judges: Judges) -> None:
    images, _ = load_catalogue("bundled").images(["noto/red-apple"], size=64)
    assert not judges.concept_hits(judges.concept.embed(images), ["no such thing"], ["a"])[0]


def test_a_picture_does_not_depend_on_its_batch(judges: Judges) -> None:
    items = WORLD.artwork()["item_id"].head(5).to_list()
    images, _ = load_catalogue("bundled").images(items, size=64)
    for judge in (judges.style, judges.concept):
        alone = np.concatenate([judge.embed(images[row : row + 1]) for row in range(5)])
        np.testing.assert_allclose(judge.embed(images), alone, atol=1e-5)


def test_a_judge_survives_saving(tmp_path: Path, stickers: TrainingArtwork) -> None:
    learned = np.zeros(len(stickers), dtype=bool)
    learned[::40] = True
    judge = fit_judge("style", stickers, learned)
    judge.save(tmp_path)
    again = Judge.load(tmp_path)
    images = stickers.images[:9]
    assert again.classes == judge.classes
    np.testing.assert_array_equal(again.embed(images), judge.embed(images))
    found = [judge.classes[k] for k in judge.scores(judge.embed(stickers.images[1::40])).argmax(1)]
    right = np.array(found) == stickers.rows["style"].to_numpy()[1::40]
    assert right.mean() > 0.6


def test_a_damaged_judge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="train-judges"):
        Judge.load(tmp_path)
