"""Trained parts, loaded and frozen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.visual_tokenizer import NO_CODE
from pigeon_rec.training.frozen import load_codec, load_tokenizer, near_codes, swap_codes
from tests.training.tiny import CONFIG, generator


def test_loaded_parts_are_frozen_and_not_in_training(trained: Path) -> None:
    for part in (*load_tokenizer(CONFIG.model, trained), load_codec(CONFIG.model, trained)):
        assert not part.training
        assert not any(weight.requires_grad for weight in part.parameters())


def test_near_codes_are_the_nearest_other_rows() -> None:
    rows = F.normalize(torch.randn(40, 4, generator=generator()), dim=-1)
    near = near_codes(rows)
    assert near.shape == (40, 8)
    for row, found in enumerate(near.tolist()):
        similar = (rows @ rows[row]).argsort(descending=True).tolist()
        assert similar[0] == row
        assert found == similar[1:9]


def test_up_to_the_largest_share_of_codes_is_swapped_for_near_ones() -> None:
    near = (torch.arange(40)[:, None] + torch.arange(1, 9)) % 40
    codes = torch.randint(40, (600, 50), generator=generator())
    codes[:, 45:] = NO_CODE
    swapped = swap_codes(codes, near, 0.4, generator(1))
    changed = swapped != codes
    assert not changed[:, 45:].any()
    assert set((swapped - codes)[changed].remainder(40).tolist()) == set(range(1, 9))
    share = changed[:, :45].float().mean(1)
    assert 0.25 < float((share == 0).float().mean()) < 0.4
    assert float(share.max()) < 0.7
    assert float(share.mean()) == pytest.approx(0.7 * 0.2, abs=0.02)
    assert torch.equal(swap_codes(codes, near, 0.4, generator(1)), swapped)


def test_a_part_that_was_not_trained_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"'autoencoder'.*pigeon-rec train autoencoder"
    ) as refused:
        load_codec(CONFIG.model, tmp_path)
    assert refused.value.location == str(tmp_path / "autoencoder" / "model.safetensors")


def test_a_part_of_other_sizes_is_refused(trained: Path) -> None:
    with pytest.raises(TrainingError, match=r"(?s)'tokenizer' cannot be used: Error"):
        load_tokenizer(PigeonConfig(), trained)


def test_a_damaged_part_is_refused(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "autoencoder").mkdir()
    whole = (trained / "autoencoder" / "model.safetensors").read_bytes()
    (tmp_path / "autoencoder" / "model.safetensors").write_bytes(whole[:500])
    with pytest.raises(TrainingError, match="'autoencoder' cannot be used"):
        load_codec(CONFIG.model, tmp_path)
