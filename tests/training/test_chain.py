"""All recipes one after another, within some minutes, and continued."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.runtime.digests import file_sha256
from pigeon_rec.scoring.scorer import load_scorer
from pigeon_rec.training import chain, recipes
from pigeon_rec.training.chain import train_all
from pigeon_rec.training.configuration import TrainingConfig, load_training_config
from pigeon_rec.training.recipes import OPTIONAL, RECIPES
from tests.training.tiny import CONFIG, handful

ORDER = [name for name in RECIPES if name not in OPTIONAL]


@pytest.fixture(autouse=True)
def _small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "load_artwork", handful)


def weights(folder: Path) -> dict[str, str]:
    return {name: file_sha256(folder / name / "model.safetensors") for name in ORDER}


def test_minutes_are_shared_out_by_weight() -> None:
    config = load_training_config("sticker-64").with_minutes(12)
    loops, pairs = config.loops.values(), config.pairs
    assert sum(loop.minutes or 0 for loop in loops) + (pairs.minutes or 0) == pytest.approx(12)
    assert all(loop.steps is None for loop in loops)
    part = (config.loops["renderer"].minutes or 0) / config.loops["renderer"].share
    assert (pairs.minutes or 0) / pairs.share == pytest.approx(part)


def test_everything_is_trained_and_a_broken_chain_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.with_minutes(0.05)
    run, trained = recipes.run_recipe, []

    def broken(name: str, *arguments: object, **named: object) -> Path:
        trained.append(name)
        if name == "renderer" and trained.count(name) == 1:
            raise KeyboardInterrupt
        return run(name, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(chain, "run_recipe", broken)
    with pytest.raises(KeyboardInterrupt):
        train_all(config, tmp_path)
    model = train_all(config, tmp_path)
    assert model == tmp_path / "model"
    assert trained == [*ORDER[:4], *ORDER[3:]]
    assert not (tmp_path / "distil").exists()
    assert PigeonPipeline.from_pretrained(model).config == config.model
    assert load_scorer(model).module.config == config.scorer
    before = weights(tmp_path)
    train_all(config.with_minutes(10), tmp_path)
    assert weights(tmp_path) == before


def test_it_can_start_from_a_model(model: Path, tmp_path: Path) -> None:
    loops = {name: loop.model_copy(update={"steps": 1, "learning_rate": 1e-9})
             for name, loop in CONFIG.loops.items()}  # fmt: skip
    config: TrainingConfig = CONFIG.model_copy(update={"loops": loops})
    made = train_all(config, tmp_path, start=model)
    for file in ("personalisation.safetensors", "scorer/model.safetensors"):
        old, new = load_file(model / file), load_file(made / file)
        still = [key for key in old if old[key].float().sub(new[key].float()).abs().max() < 1e-2]
        assert len(still) > 0.9 * len(old)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_the_smoke_configuration_trains_on_a_gpu(tmp_path: Path) -> None:
    train_all(load_training_config("smoke").with_minutes(3), tmp_path)
    for name in ORDER:
        values = load_file(tmp_path / name / "model.safetensors").values()
        assert all(value.isfinite().all() for value in values if value.is_floating_point())
