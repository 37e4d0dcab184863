"""Parts of a model that redraw a catalogue well are adopted, the others trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pigeon_rec.errors import ModelError
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.training.adapt import adopt_what_fits, adopted_in, round_trips
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.chain import train_all
from pigeon_rec.training.configuration import TrainingConfig, load_training_config
from tests.training.tiny import CONFIG


def wanting(**least: float) -> TrainingConfig:
    return CONFIG.model_copy(update={"adopt": least})


@pytest.fixture(scope="module")
def decibels(model: Path, artwork: TrainingArtwork) -> dict[str, float]:
    return dict(round_trips(PigeonPipeline.from_pretrained(model), artwork.images[:24]))


def test_every_part_that_knows_no_items_is_measured(decibels: dict[str, float]) -> None:
    assert set(decibels) == {"tokenizer", "autoencoder", "renderer"}
    assert all(1.0 < value < 40.0 for value in decibels.values())


def test_a_picture_that_comes_back_as_it_was_has_most_decibels(
    model: Path, artwork: TrainingArtwork
) -> None:
    pipeline = PigeonPipeline.from_pretrained(model)
    grey = np.full_like(artwork.images[:4], 127)
    with torch.no_grad():
        pipeline.decoder.preview_head.weight.zero_()  # type: ignore[union-attr]
        pipeline.decoder.preview_head.bias.zero_()  # type: ignore[union-attr]
    assert round_trips(pipeline, grey)["tokenizer"] > 45


def test_what_is_good_enough_is_adopted_unchanged(
    model: Path, artwork: TrainingArtwork, decibels: dict[str, float], tmp_path: Path
) -> None:
    config = wanting(tokenizer=-10.0, autoencoder=90.0, renderer=-10.0)
    assert adopt_what_fits(config, tmp_path, model, artwork) == ["tokenizer"]
    assert adopted_in(tmp_path) == ["tokenizer"]
    record = json.loads((tmp_path / "adopted.json").read_text())
    assert set(record["decibels"]) == set(decibels)
    given = load_file(model / "visual_tokenizer.safetensors")
    kept = load_file(tmp_path / "tokenizer" / "model.safetensors")
    for name, weight in given.items():
        assert torch.equal(kept[f"tokenizer.{name}"], weight.float())


def test_the_renderer_comes_only_with_what_it_builds_on(
    model: Path, artwork: TrainingArtwork, tmp_path: Path
) -> None:
    every = wanting(tokenizer=-10.0, autoencoder=-10.0, renderer=-10.0)
    assert adopt_what_fits(every, tmp_path / "all", model, artwork) == [
        "tokenizer", "autoencoder", "renderer",
    ]  # fmt: skip
    assert adopt_what_fits(wanting(renderer=-10.0), tmp_path / "one", model, artwork) == []


def test_a_recipe_that_has_begun_is_left_alone(
    model: Path, artwork: TrainingArtwork, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer" / "checkpoint").mkdir(parents=True)
    assert adopt_what_fits(wanting(tokenizer=-10.0), tmp_path, model, artwork) == []
    assert list((tmp_path / "tokenizer").iterdir()) == [tmp_path / "tokenizer" / "checkpoint"]


def test_nothing_is_measured_where_nothing_is_to_be_adopted(
    artwork: TrainingArtwork, tmp_path: Path
) -> None:
    assert adopt_what_fits(CONFIG, tmp_path, "nowhere", artwork) == []
    with pytest.raises(ModelError):
        adopt_what_fits(wanting(tokenizer=0.0), tmp_path, "nowhere", artwork)


def test_other_sizes_are_trained(model: Path, artwork: TrainingArtwork, tmp_path: Path) -> None:
    wider = CONFIG.model.autoencoder.model_copy(update={"channels": (16,)})
    config = wanting(autoencoder=-10.0)
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"autoencoder": wider})}
    )
    assert adopt_what_fits(config, tmp_path, model, artwork) == []
    assert "autoencoder" in json.loads((tmp_path / "adopted.json").read_text())["decibels"]


def test_adopted_recipes_take_no_minutes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artwork: TrainingArtwork
) -> None:
    given: dict[str, float | None] = {}

    def record(name: str, config: TrainingConfig, *_: object, **__: object) -> None:
        given[name] = config.loops[name].minutes

    monkeypatch.setattr("pigeon_rec.training.chain.training_artwork", lambda *_: artwork)
    monkeypatch.setattr("pigeon_rec.training.chain.run_recipe", record)
    monkeypatch.setattr("pigeon_rec.training.chain.make_pairs", lambda *_, **__: None)
    monkeypatch.setattr("pigeon_rec.training.chain.bundle", lambda *_: tmp_path)
    train_all(wanting(tokenizer=-10.0), tmp_path, start=model, minutes=7.0)
    assert set(given) == set(CONFIG.loops) - {"tokenizer", "distil"}
    # Six recipes and the pairs have equal shares.
    assert list(given.values()) == [1.0] * 6


def test_the_bundled_configuration_adopts() -> None:
    assert set(load_training_config("sticker-64").adopt) == {"tokenizer", "autoencoder", "renderer"}
