"""Distillation: the student reaches the teacher's picture in one step, and is what is bundled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.denoising import denoise
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.bundle import bundle
from pigeon_rec.training.distil import DistilRecipe
from tests.model.tiny import TINY, seeded
from tests.training.tiny import CONFIG, falls, generator


def _error(recipe: DistilRecipe, steps: int) -> float:
    """Mean squared distance of the latents to the teacher's, on eight validation images."""
    rows = next(recipe.validation_rows(8, 8))
    codes = recipe.encode(recipe.images.pixels(rows))
    noise = torch.randn((len(rows), *recipe.generator.latent_shape), generator=generator(3))
    with torch.inference_mode():
        decoded = recipe._decoded(codes, torch.ones(len(rows)))
        goal = denoise(recipe.teacher, decoded, noise, recipe.teacher_steps)
        return float(F.mse_loss(denoise(recipe.generator, decoded, noise, steps), goal))


def test_one_and_two_steps_come_nearer_to_the_teacher(
    artwork: TrainingArtwork, trained: Path
) -> None:
    with seeded():
        recipe = DistilRecipe(TINY, artwork, trained)
        before = {steps: _error(recipe, steps) for steps in (1, 2)}
        optimizer = torch.optim.Adam(recipe.generator.renderer.parameters(), lr=5e-3)
        for seed in range(120):
            recipe.losses(8, generator(seed))["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
    for steps, error in before.items():
        assert _error(recipe, steps) < 0.8 * error, steps


def test_only_the_student_learns(artwork: TrainingArtwork, trained: Path) -> None:
    recipe = DistilRecipe(TINY, artwork, trained)
    whole = load_file(trained / "renderer" / "model.safetensors")
    falls(recipe, steps=3)
    for name, weight in recipe.teacher.state_dict().items():
        assert torch.equal(weight, whole[name]), name
    student = recipe.module().state_dict()
    changed = {name for name, weight in whole.items() if not torch.equal(student[name], weight)}
    assert changed
    assert all(name.startswith("renderer.") for name in changed)


def test_a_renderer_of_noise_is_refused(artwork: TrainingArtwork, trained: Path) -> None:
    renderer = TINY.renderer.model_copy(update={"prediction": "epsilon"})
    config = TINY.model_copy(update={"renderer": renderer})
    with pytest.raises(TrainingError, match=r"predicts noise.*cannot be distilled"):
        DistilRecipe(config, artwork, trained)


def test_the_distilled_renderer_is_bundled_if_there_is_one(trained: Path, tmp_path: Path) -> None:
    for skipped, expected in (((), "distil"), (("distil",), "renderer")):
        run = tmp_path / expected
        shutil.copytree(trained, run, ignore=shutil.ignore_patterns(*skipped))
        made = load_file(bundle(CONFIG, run, run / "model") / "image_generator.safetensors")
        weights = load_file(trained / expected / "model.safetensors")
        assert all(torch.equal(w, weights[name].to(w.dtype)) for name, w in made.items())
