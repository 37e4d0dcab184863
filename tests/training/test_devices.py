"""Precision, processes and the device of recipes."""

from __future__ import annotations

from contextlib import nullcontext
from operator import attrgetter
from pathlib import Path

import pytest
import torch
from torch import nn

from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.devices import autocast, average_gradients, new_accelerator
from pigeon_rec.training.recipes import RECIPES
from tests.training.tiny import CONFIG

TABLES = {
    "tokenizer": ["averages.sums", "images.images"],
    "autoencoder": ["codec.latent_mean", "images.training"],
    "scorer": ["images.images", "ids", "mask", "topic", "words", "at"],
    "renderer": ["images.images", "rows", "near", "decoder.pos_embed"],
    "distil": ["images.images", "rows", "near", "teacher.codec.latent_mean"],
    "language-model": [
        "images.at",
        "rows",
        "decoder.pos_embed",
        "texts.targets.prefix",
        "asked.ids",
        "near",
    ],
    "reconstruct": ["rows", "decoder.pos_embed", "texts.targets.target_mask", "windows.history"],
    "align": ["rows", "decoder.pos_embed", "texts.target", "pairs.chosen", "train_rows"],
}
"""Tensors outside its module that each recipe computes batches from."""


def test_bfloat16_is_used_on_request() -> None:
    cpu, layer = torch.device("cpu"), nn.Linear(2, 2)
    with autocast(cpu, "bf16"):
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16
    with autocast(cpu, "no"):
        assert layer(torch.ones(1, 2)).dtype == torch.float32


@pytest.mark.parametrize("has", [True, False])
def test_an_accelerator_without_bfloat16_uses_float32(
    has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[torch.device, bool]] = []

    def supported(*, including_emulation: bool) -> bool:
        assert not including_emulation
        return has

    class Context(nullcontext[None]):
        def __init__(self, device: str, dtype: torch.dtype, *, enabled: bool) -> None:
            super().__init__()
            calls.append((torch.device(device), enabled))
            assert dtype == torch.bfloat16

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch, "autocast", Context)
    with autocast(torch.device("cuda", 1), "bf16"):
        assert calls == [(torch.device("cuda"), has)]


def test_one_process_keeps_its_gradients() -> None:
    weights = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    weights[0].grad = torch.tensor([1.0, 2.0])
    average_gradients(new_accelerator(), weights)
    assert weights[0].grad.tolist() == [1.0, 2.0]
    assert weights[1].grad is None


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_moves_everything_that_batches_are_made_of(
    name: str, artwork: TrainingArtwork, trained: Path
) -> None:
    recipe, device = RECIPES[name](CONFIG, artwork, trained), torch.device("meta")
    recipe.place(device)
    assert recipe.device == device
    assert {weight.device for weight in recipe.module().parameters()} == {device}
    still = [table for table in TABLES[name] if attrgetter(table)(recipe).device != device]
    assert still == []
