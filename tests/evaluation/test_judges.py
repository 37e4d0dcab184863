"""The judges: their training artwork, their accuracy, concept hits and new classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.dataset import load_dataset
from pigeon_rec.data.world import load_world
from pigeon_rec.errors import ModelError, TrainingError
from pigeon_rec.evaluation import train_judges
from pigeon_rec.evaluation.degradations import compressed
from pigeon_rec.evaluation.judge_accuracy import (
    ArtworkAccuracy,
    JudgeAccuracy,
    autoencoder_of,
    held_out_accuracy,
    judge_accuracy,
)
from pigeon_rec.evaluation.judges import JUDGES_PATH, Judge, Judges
from pigeon_rec.evaluation.network import NetworkConfig
from pigeon_rec.evaluation.tables import ARTWORK
from pigeon_rec.evaluation.train_judges import (
    STYLE_RECIPE,
    fit_judge,
    judge_stickers,
    validation_rows,
)
from pigeon_rec.model.configuration import AutoencoderConfig
from pigeon_rec.model.image_generator import LatentCodec
from pigeon_rec.model.loading import load_pipeline
from pigeon_rec.training.artwork import TrainingArtwork, load_artwork

WORLD = load_world("bundled")


def style_of(judges: Judges) -> Judge:
    assert judges.style is not None
    return judges.style


def concept_of(judges: Judges) -> Judge:
    assert judges.concept is not None
    return judges.concept


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


def test_validation_leaves_every_concept_in_training(stickers: TrainingArtwork) -> None:
    learned = stickers.rows.filter(~validation_rows(stickers.rows))
    assert set(learned["concept"]) == set(stickers.rows["concept"])


def shares(accuracy: JudgeAccuracy) -> tuple[list[float], list[float]]:
    """Accuracy of the style and the concept judge on each version of the artwork."""
    styles = [version.style for version in accuracy.accuracy if version.style is not None]
    concepts = [version.concept for version in accuracy.accuracy if version.concept is not None]
    assert len(styles) == len(concepts) == len(accuracy.accuracy)
    return styles, concepts


@pytest.mark.slow
def test_the_judges_are_accurate_on_all_held_out_artwork(judges: Judges) -> None:
    accuracy = held_out_accuracy(judges, autoencoder_of(load_pipeline("sticker-64")))
    assert accuracy.pictures == 1178
    assert [version.artwork for version in accuracy.accuracy] == list(ARTWORK)
    (style, *worse_styles), (concept, *worse_concepts) = shares(accuracy)
    assert style >= 0.93
    assert concept >= 0.88
    assert min(worse_styles) >= 0.90
    assert min(worse_concepts) >= 0.85
    assert min(accuracy.style_by_style.values()) >= 0.75


@pytest.fixture(scope="module")
def held_out() -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    """A fixed sample of held-out artwork."""
    rows = WORLD.artwork().filter("held_out").sample(160, seed=0)
    return rows, load_catalogue("bundled").images(rows["item_id"].to_list(), size=64)[0]


def test_compression_does_not_mislead_the_judges(
    judges: Judges, held_out: tuple[pl.DataFrame, NDArray[np.uint8]]
) -> None:
    accuracy = judge_accuracy(judges, *held_out, autoencoder=None)
    assert [version.artwork for version in accuracy.accuracy][:2] == ["real", "jpeg_75"]
    styles, concepts = shares(accuracy)
    assert styles[0] >= 0.93
    assert concepts[0] >= 0.88
    assert styles[1] >= 0.90
    assert concepts[1] >= 0.85


def test_accuracy_counts_what_the_judges_find(
    judges: Judges, held_out: tuple[pl.DataFrame, NDArray[np.uint8]]
) -> None:
    rows, images = held_out[0].head(20), held_out[1][:20]
    accuracy = judge_accuracy(judges, rows, images, autoencoder=None)
    found = np.array(judges.styles(style_of(judges).embed(compressed(images, 60))))
    hits = judges.concept_hits(
        concept_of(judges).embed(compressed(images, 60)),
        rows["concept"].to_list(),
        rows["item_id"].to_list(),
    )
    expected = ArtworkAccuracy("jpeg_60", (found == rows["style"].to_numpy()).mean(), hits.mean())
    assert expected in accuracy.accuracy
    assert set(accuracy.style_by_style) == set(rows["style"])


def test_every_style_and_concept_is_known(judges: Judges) -> None:
    assert style_of(judges).classes == tuple(sorted(WORLD.style_descriptions))
    assert set(concept_of(judges).classes) == set(WORLD.artwork()["concept"])


def test_the_bundled_judges_are_small() -> None:
    size = sum(path.stat().st_size for path in JUDGES_PATH.rglob("*") if path.is_file())
    assert 100_000 < size < 3 * 2**20


def test_noise_has_no_concept(judges: Judges) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    names = list(concept_of(judges).classes[::26][:60])
    hits = judges.concept_hits(concept_of(judges).embed(noise), names, [str(n) for n in range(60)])
    assert hits.mean() < 0.1


def test_the_other_concepts_depend_on_the_key_alone(judges: Judges) -> None:
    images, _ = load_catalogue("bundled").images(["noto/red-apple"] * 2, size=64)
    embeddings = concept_of(judges).embed(images)
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
    assert not judges.concept_hits(concept_of(judges).embed(images), ["no such thing"], ["a"])[0]


def test_a_picture_does_not_depend_on_its_batch(judges: Judges) -> None:
    items = WORLD.artwork()["item_id"].head(5).to_list()
    images, _ = load_catalogue("bundled").images(items, size=64)
    for judge in (style_of(judges), concept_of(judges)):
        alone = np.concatenate([judge.embed(images[row : row + 1]) for row in range(5)])
        np.testing.assert_array_equal(judge.embed(images), alone)


@pytest.fixture(scope="module")
def small_judge(stickers: TrainingArtwork) -> Judge:
    """A small style judge, trained for seconds."""
    sizes = NetworkConfig(kind="style", widths=(8, 16, 32), dimensions=16)
    recipe = replace(STYLE_RECIPE, network=sizes, epochs=6, learning_rate=0.01, batch_size=16)
    return fit_judge(stickers.images[::40], stickers.rows["style"][::40].to_list(), recipe)


def test_a_little_artwork_teaches_a_style(small_judge: Judge, stickers: TrainingArtwork) -> None:
    scores = small_judge.scores(small_judge.embed(stickers.images[1::40]))
    found = [small_judge.classes[code] for code in scores.argmax(1)]
    right = np.array(found) == stickers.rows["style"].to_numpy()[1::40]
    assert right.mean() > 0.4  # 1 of 8 by chance


def test_a_judge_survives_saving(
    tmp_path: Path, small_judge: Judge, stickers: TrainingArtwork
) -> None:
    small_judge.save(tmp_path)
    again = Judge.load(tmp_path)
    images = stickers.images[:9]
    assert again.classes == small_judge.classes
    vectors = again.embed(images)
    np.testing.assert_array_equal(vectors, small_judge.embed(images))
    np.testing.assert_array_equal(again.scores(vectors), small_judge.scores(vectors))


def test_training_is_repeatable(stickers: TrainingArtwork) -> None:
    sizes = NetworkConfig(kind="concept", widths=(8, 16), dimensions=8)
    recipe = replace(STYLE_RECIPE, network=sizes, epochs=1, batch_size=8)
    images, labels = stickers.images[::400], stickers.rows["style"][::400].to_list()
    one, other = (fit_judge(images, labels, recipe) for _ in range(2))
    np.testing.assert_array_equal(one.embed(images), other.embed(images))


def test_both_judges_are_trained_written_and_validated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = WORLD.training_artwork()
    few = rows.filter(pl.col("concept").is_in(rows["concept"].unique().sort().head(20).to_list()))
    monkeypatch.setattr(
        train_judges,
        "judge_stickers",
        lambda: load_artwork(load_dataset(), 64, set(few["concept"])),
    )
    for name in ("STYLE_RECIPE", "CONCEPT_RECIPE"):
        recipe = getattr(train_judges, name)
        sizes = recipe.network.model_copy(update={"widths": (8, 16), "dimensions": 8})
        monkeypatch.setattr(train_judges, name, replace(recipe, network=sizes, epochs=1))
    codec = LatentCodec(AutoencoderConfig(latent_channels=4, channels=(16,))).eval()
    accuracy = train_judges.train_judges(tmp_path, codec)
    judges = Judges.load(tmp_path)
    assert set(concept_of(judges).classes) == set(few["concept"])
    assert 0 < accuracy.pictures < 0.1 * few.height
    assert [version.artwork for version in accuracy.accuracy] == list(ARTWORK)


def test_a_class_of_one_picture_is_known_and_two_classes_are_needed(
    stickers: TrainingArtwork,
) -> None:
    sizes = NetworkConfig(kind="style", widths=(8, 16), dimensions=8)
    recipe = replace(STYLE_RECIPE, network=sizes, epochs=1)
    judge = fit_judge(stickers.images[:5], ["a", "a", "b", "b", "c"], recipe)
    assert judge.classes == ("a", "b", "c")
    assert np.isfinite(judge.embed(stickers.images[:5])).all()
    with pytest.raises(TrainingError, match="cannot be trained"):
        fit_judge(stickers.images[:3], ["a", "a", "b"], recipe)


def test_a_new_class_is_known_by_its_artwork(judges: Judges, stickers: TrainingArtwork) -> None:
    upside_down = stickers.images[:64, ::-1]  # 64 pictures of several styles
    negative = np.invert(upside_down)
    judge = style_of(judges).with_class("negative", negative[:32])
    assert judge.classes == (*style_of(judges).classes, "negative")
    codes = judge.scores(judge.embed(negative[32:])).argmax(1)
    assert (codes == judge.codes(["negative"])).mean() > 0.5  # one of nine by chance
    np.testing.assert_array_equal(
        judge.scores(judge.embed(upside_down))[:, :-1],
        style_of(judges).scores(style_of(judges).embed(upside_down)),
    )


def test_a_damaged_judge_is_refused(tmp_path: Path, small_judge: Judge) -> None:
    with pytest.raises(ModelError, match="train-judges"):
        Judge.load(tmp_path)
    small_judge.save(tmp_path)
    config = (tmp_path / "config.json").read_text()
    for damaged in ("", config.replace("16", "17"), config.replace("noto-v1", "noto")[:-20]):
        (tmp_path / "config.json").write_text(damaged)
        with pytest.raises(ModelError, match="train-judges"):
            Judge.load(tmp_path)
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Judge.load(tmp_path)
