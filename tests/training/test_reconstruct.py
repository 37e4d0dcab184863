"""Stage 1: which weights learn, from which inputs, under which masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.reconstruct import ReconstructRecipe
from pigeon_rec.training.restyle import RestyleBatch
from tests.training.tiny import CONFIG, generator


@pytest.fixture
def recipe(artwork: TrainingArtwork, text: TextTokenizer, trained: Path) -> ReconstructRecipe:
    return ReconstructRecipe(CONFIG.model, artwork, text, trained)


def learns(name: str) -> bool:
    """LoRA, mask generator and reference adapter."""
    return "lora_" in name or name.startswith(("mask_generator.", "adapter.", "aligned."))


def test_only_adapters_mask_generator_and_reference_adapter_change(
    recipe: ReconstructRecipe, trained: Path
) -> None:
    before = load_file(trained / "language-model" / "model.safetensors")
    after = load_file(trained / "reconstruct" / "model.safetensors")
    for name, weight in after.items():
        if not learns(name):
            assert torch.equal(weight, before[name.replace("base_layer.", "")]), name
    trainable = {n for n, w in recipe.module().named_parameters() if w.requires_grad}
    assert trainable
    assert all(learns(name) for name in trainable)


def test_the_mask_generator_changes(trained: Path) -> None:
    before = load_file(trained / "language-model" / "model.safetensors")
    after = load_file(trained / "reconstruct" / "model.safetensors")
    names = [n for n in after if n.startswith("mask_generator.") and "positions" not in n]
    assert len(names) == 17
    still = [name for name in names if torch.equal(after[name], before[name])]
    # The keys' bias cancels in the softmax; only its third of the joint bias does not change.
    assert still == []
    assert torch.equal(after["mask_generator.positions"], before["mask_generator.positions"])


def test_every_weight_that_learns_gets_gradient(recipe: ReconstructRecipe) -> None:
    module = recipe.module().train()
    for name, weight in module.named_parameters():
        if "lora_B" in name:  # zero at the start, which hides lora_A
            torch.nn.init.normal_(weight, std=0.02)
    torch.manual_seed(0)
    recipe.losses(8, generator())["loss"].backward()
    silent = [
        name
        for name, weight in module.named_parameters()
        if weight.requires_grad and (weight.grad is None or weight.grad.abs().max() == 0)
    ]
    assert silent == []


def test_the_configured_share_of_references_is_the_target(recipe: ReconstructRecipe) -> None:
    chosen = torch.arange(len(recipe.windows))[:400]
    shares = {}
    for share in (0.0, 0.25, 1.0):
        recipe.same_reference = share
        batch = recipe._batch(recipe.windows, chosen, generator())
        concept = recipe.images.concept
        assert torch.equal(concept[batch.reference], concept[batch.target])
        shares[share] = float((batch.reference == batch.target).double().mean())
    assert shares[0.25] - shares[0.0] == pytest.approx(0.25, abs=0.12)
    assert shares[1.0] == 1.0


def test_no_training_target_is_validated_on_elsewhere(recipe: ReconstructRecipe) -> None:
    assert not torch.isin(recipe.windows.target, recipe.images.validation).any()


def loss_of(recipe: ReconstructRecipe, seed: int = 0) -> float:
    torch.manual_seed(0)
    with torch.no_grad():
        return float(recipe.losses(32, generator(seed))["loss"])


def shuffled(values: Tensor) -> Tensor:
    return values.roll(7, dims=0)


@pytest.mark.parametrize("what", ["history", "reference", "text"])
def test_the_loss_depends_on_all_conditioning(
    recipe: ReconstructRecipe, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe.module().eval()
    plain = loss_of(recipe)
    assert loss_of(recipe) == plain
    if what == "history":
        recipe.windows.history.copy_(shuffled(recipe.windows.history))
    elif what == "text":
        recipe.texts.targets.target.copy_(shuffled(recipe.texts.targets.target))
    else:
        right: Callable[..., RestyleBatch] = recipe._batch

        def wrong(*arguments: Any) -> RestyleBatch:
            batch = right(*arguments)
            return replace(batch, reference=(batch.reference + 9) % 50)

        monkeypatch.setattr(recipe, "_batch", wrong)
    assert loss_of(recipe) != plain
