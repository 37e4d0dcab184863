"""Trained recipes, assembled into one model folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.card import read_card
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.version import model_version
from pigeon_rec.scoring import clip_text_score
from pigeon_rec.scoring.scorer import load_scorer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.bundle import bundle
from pigeon_rec.training.data import folder_data
from pigeon_rec.training.lora import add_lora
from tests.model.tiny import QUICK, TINY, seeded
from tests.training.tiny import CONFIG

STAGES = shutil.ignore_patterns("reconstruct", "align")
UNDISTILLED = shutil.ignore_patterns("distil", "reconstruct", "align")


@pytest.mark.parametrize("stage", ["align", "reconstruct"])
def test_the_bundle_has_the_logits_of_its_last_stage(
    trained: Path, model: Path, stage: str, tmp_path: Path
) -> None:
    if stage == "reconstruct":
        shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("align"))
        model = bundle(CONFIG, tmp_path / "run", tmp_path / "model")
    with seeded():
        last = Personalisation(TINY)
        add_lora(last.language_model)
    last.load_state_dict(load_file(trained / stage / "model.safetensors"))
    bundled = PigeonPipeline.from_pretrained(model).personalisation
    ids = torch.randint(0, 282, (3, 9), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = last.eval().language_model(ids).logits
        assert torch.allclose(bundled.language_model(ids).logits, expected, atol=2e-3)
    for name, weight in last.mask_generator.state_dict().items():
        assert torch.equal(bundled.mask_generator.state_dict()[name], weight.half().float())


def test_stage_two_of_another_stage_one_is_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint"))
    path = tmp_path / "run" / "reconstruct" / "model.safetensors"
    weights = load_file(path)
    weights["adapter.encoder.bias"] += 1.0
    save_file(weights, path)
    with pytest.raises(TrainingError, match="another stage 1"):
        bundle(CONFIG, tmp_path / "run", tmp_path / "model")


def test_without_stage_one_the_backbone_is_bundled(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run", ignore=STAGES)
    made = bundle(CONFIG, tmp_path / "run", tmp_path / "model")
    before = load_file(trained / "language-model" / "model.safetensors")
    after = load_file(made / "personalisation.safetensors")
    for name, weight in after.items():
        assert torch.equal(weight, before[name].half() if weight.dtype == torch.float16 else weight)


def test_a_bundled_model_draws_and_scores(model: Path, artwork: TrainingArtwork) -> None:
    pipeline, scorer = PigeonPipeline.from_pretrained(model, batch_size=2), load_scorer(model)
    history, reference = artwork.images[None, :5].repeat(2, 0), artwork.images[5:7]
    out = pipeline(history, reference, ["cat", "dog"], keys=["a", "b"], settings=QUICK)
    assert out.images.shape == (2, 2, 16, 16, 3)
    images, texts = scorer.encode_images(out.images[:, 0]), scorer.encode_texts(["cat", "dog"])
    assert (images.shape, texts.shape) == ((2, 16 + 8), (2, 16))
    assert np.isfinite(clip_text_score(images, texts)).all()


def test_weights_are_in_half_precision_and_configurations_saved(model: Path) -> None:
    for path in model.rglob("*.safetensors"):
        assert {w.dtype for w in load_file(path).values() if w.is_floating_point()} == {
            torch.float16
        }
    assert json.loads((model / "config.json").read_text("utf-8"))["name"] == "tiny"
    scorer = json.loads((model / "scorer" / "config.json").read_text("utf-8"))
    assert scorer == CONFIG.scorer.model_dump(mode="json")


@pytest.mark.parametrize("missing", ["tokenizer", "renderer", "scorer", "language-model"])
def test_a_missing_recipe_is_named(trained: Path, tmp_path: Path, missing: str) -> None:
    shutil.copytree(trained, tmp_path / "run", ignore=UNDISTILLED)
    (tmp_path / "run" / missing / "model.safetensors").unlink()
    with pytest.raises(TrainingError, match=f"pigeon-rec train {missing}"):
        bundle(CONFIG, tmp_path / "run", tmp_path / "model")


def test_missing_adapters_are_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("align"))
    path = tmp_path / "run" / "reconstruct" / "model.safetensors"
    plain = {k: v for k, v in load_file(path).items() if "lora_" not in k}
    save_file(plain, path)
    with pytest.raises(TrainingError, match="'reconstruct' cannot be used"):
        bundle(CONFIG, tmp_path / "run", tmp_path / "model")


def test_the_card_says_what_the_model_was_trained_on(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint"))
    folder_data(tmp_path / "run", started_from=model_folder("sticker-64"))
    facts = read_card(bundle(CONFIG, tmp_path / "run", tmp_path / "model"))
    assert facts is not None
    assert facts.trained_on == (
        "Pictures: the world `bundled` of pigeon-rec, whose users are simulated",
        "Users: the world `bundled` of pigeon-rec, whose users are simulated",
        "Scenario: sticker",
        "Last training step: align",
    )
    assert facts.base_model == model_version("sticker-64")
