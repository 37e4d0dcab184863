"""Stage 1: which weights learn, from which inputs, under which masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.language_model import LanguageModelRecipe
from pigeon_rec.training.reconstruct import ReconstructRecipe
from pigeon_rec.training.teacher_forcing import Conditioning, code_losses, read_codes, select_texts
from tests.model.tiny import tiny_personalisation
from tests.training.tiny import CONFIG


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
    recipe.losses(8, np.random.default_rng(0))["loss"].backward()
    silent = [
        name
        for name, weight in module.named_parameters()
        if weight.requires_grad and (weight.grad is None or weight.grad.abs().max() == 0)
    ]
    assert silent == []


def test_the_configured_share_of_references_is_the_target(recipe: ReconstructRecipe) -> None:
    target = torch.arange(len(recipe.artwork)).repeat(4)
    shares = {}
    for share in (0.0, 0.25, 1.0):
        recipe.same_reference = share
        rows = recipe._references(target, np.random.default_rng(0))
        assert np.array_equal(recipe.artwork.concept[rows], recipe.artwork.concept[target])
        shares[share] = float((rows == target).double().mean())
    assert shares[0.25] - shares[0.0] == pytest.approx(0.25, abs=0.05)
    assert shares[1.0] == 1.0


def loss_of(recipe: ReconstructRecipe, seed: int = 0) -> float:
    torch.manual_seed(0)
    with torch.no_grad():
        return float(recipe.losses(32, np.random.default_rng(seed))["loss"])


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
        recipe.texts.target.copy_(shuffled(recipe.texts.target))
    else:
        right: Callable[..., Tensor] = recipe._references
        monkeypatch.setattr(recipe, "_references", lambda *a: (right(*a) + 9) % 50)
    assert loss_of(recipe) != plain


def test_the_shared_prefix_equals_the_whole_instruction(
    artwork: TrainingArtwork, text: TextTokenizer, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backbone recipe computes a history once per user; inference computes it per request."""
    recipe = LanguageModelRecipe(CONFIG.model, artwork, text, trained)
    recipe.targets_per_user = 3
    recipe.history_ratio = recipe.reference_ratio = 0.0
    model = recipe.personalisation.eval()
    model.load_state_dict(
        tiny_personalisation().state_dict()
    )  # new weights would ignore their input
    monkeypatch.setattr(recipe, "_kept", lambda codes: torch.ones(codes.shape))
    batch = recipe.samples.draw(2, 3, np.random.default_rng(0))
    with torch.no_grad():
        split = float(recipe.losses(6, np.random.default_rng(0))["loss"])
        history = recipe.codes[batch.history].repeat_interleave(3, dim=0)
        target, reference = batch.target.flatten(), recipe.codes[batch.reference.flatten()]
        conditioning = Conditioning(
            select_texts(recipe.texts, target % len(artwork)),
            history,
            torch.ones(history.shape),
            reference,
            torch.ones(reference.shape),
        )
        codes = recipe.codes[target]
        logits = read_codes(model, recipe.decoder, recipe.rows, conditioning, codes)
        joined = float(code_losses(logits, codes)["loss"])
    assert split == pytest.approx(joined, rel=1e-4)
