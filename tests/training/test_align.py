"""Stage 2: which weights learn, from which inputs, and the margin on validation pairs."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from pigeon_rec.errors import TrainingError
from pigeon_rec.training import align
from pigeon_rec.training.align import AlignRecipe
from pigeon_rec.training.configuration import AlignConfig
from pigeon_rec.training.loop import train
from pigeon_rec.training.pair_table import read_pairs, write_pairs
from pigeon_rec.training.teacher_forcing import code_labels
from tests.training.tiny import CONFIG, bundled, generator, quick_loop
from tests.training.toy import rows

PATCHES = 16
ALIGN = AlignConfig()


def preferred_codes(count: int) -> Iterator[dict[str, Any]]:
    """Pairs of one rule: even codes are chosen, odd codes are rejected."""
    random = np.random.default_rng(0)
    for _ in range(count):
        half = random.integers(0, 16, (2, PATCHES))
        yield {"chosen_codes": (2 * half[0]).tolist(), "rejected_codes": (2 * half[1] + 1).tolist()}


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A training folder before stage 2 with 48 pairs of that rule, 16 of them for validation."""
    run = tmp_path / "run"
    shutil.copytree(trained, run, ignore=shutil.ignore_patterns("align", "checkpoint"))
    pair = read_pairs(trained).filter(split="train").to_dicts()[0]
    made = [pair | codes | {"split": "train"} for codes in preferred_codes(48)]
    for validation in made[32:]:
        validation["split"] = "valid"
    write_pairs(made, run / "pairs.parquet")
    return run


def start(folder: Path, step: int = 0) -> AlignRecipe:
    recipe = AlignRecipe(CONFIG.model, ALIGN, bundled(), folder)
    recipe.set_training(True)
    recipe.start(step)
    return recipe


def losses_of(recipe: AlignRecipe, seed: int = 0) -> dict[str, float]:
    with torch.no_grad():
        losses = recipe.losses(8, generator(seed))
    return {name: float(value) for name, value in losses.items()}


def test_policy_and_reference_agree_before_the_first_step(folder: Path) -> None:
    first = losses_of(start(folder))
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    for name in ("margin", "chosen_reward", "rejected_reward"):
        assert first[name] == pytest.approx(0.0, abs=1e-5)


def test_the_margin_grows_on_validation_pairs(folder: Path) -> None:
    loop = quick_loop(
        12, batch_size=8, learning_rate=0.01, average=0.0, precision="no", validate_every=4
    )
    train(AlignRecipe(CONFIG.model, ALIGN, bundled(), folder), loop, folder / "align")
    validated = [row for row in rows(folder / "align") if "validation_margin" in row]
    margins = [row["validation_margin"] for row in validated]
    assert [row["step"] for row in validated] == [3, 7, 11]
    assert 0.0 < margins[0] < margins[1] < margins[2]
    assert validated[-1]["validation_accuracy"] >= 0.75  # 12 of 16 pairs
    assert validated[-1]["validation_loss"] < 0.95 * math.log(2)


def test_only_lora_changes(folder: Path) -> None:
    train(AlignRecipe(CONFIG.model, ALIGN, bundled(), folder), quick_loop(3), folder / "align")
    before = load_file(folder / "reconstruct" / "model.safetensors")
    after = load_file(folder / "align" / "model.safetensors")
    assert sorted(before) == sorted(after)
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed == {name for name in after if "lora_" in name}


def test_every_code_and_the_image_end_count(folder: Path) -> None:
    recipe = start(folder)
    one = torch.tensor([0])
    with torch.no_grad():
        plain = recipe.log_probabilities(one)
        for place in range(PATCHES):
            recipe.pairs.chosen[0, place] ^= 1
            other = recipe.log_probabilities(one)
            assert other[0] != plain[0], place
            assert other[1] == plain[1]
            recipe.pairs.chosen[0, place] ^= 1
    assert code_labels(recipe.pairs.chosen[:1])[0].tolist()[-1] == 0  # image end


def test_policy_and_reference_read_the_same_masks(folder: Path) -> None:
    """Log-probabilities are deterministic and depend on the stored masks."""
    recipe = start(folder)
    chosen = torch.tensor([3, 5, 7])
    with torch.no_grad():
        assert torch.equal(recipe.log_probabilities(chosen), recipe.log_probabilities(chosen))
        reference = recipe.reference[:, chosen]
        assert torch.allclose(recipe.log_probabilities(chosen), reference, atol=1e-4)
        recipe.pairs.history_keep[3] = 1 - recipe.pairs.history_keep[3]
        moved = recipe.log_probabilities(chosen) - reference
    assert moved[:, 0].abs().min() > 1e-4
    assert moved[:, 1:].abs().max() < 1e-4


def test_masked_tokens_carry_no_information(folder: Path) -> None:
    recipe = start(folder)
    pairs, every = recipe.pairs, torch.arange(8)
    with torch.no_grad():
        before = recipe.log_probabilities(every)
        pairs.history[pairs.history_keep == 0] = 5
        pairs.reference[pairs.reference_keep == 0] = 5
        assert torch.equal(recipe.log_probabilities(every), before)
        pairs.history[pairs.history_keep == 1] = 5
        assert (recipe.log_probabilities(every) != before).all()


def test_reference_log_probabilities_are_computed_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(folder).reference

    def again(_recipe: AlignRecipe) -> torch.Tensor:
        raise AssertionError("computed again")

    monkeypatch.setattr(AlignRecipe, "_reference_log_probabilities", again)
    assert torch.equal(start(folder, step=7).reference, first)
    assert first.shape == (2, 48)
    assert (first < 0).all()
    write_pairs(read_pairs(folder).to_dicts()[:40], folder / "pairs.parquet")
    with pytest.raises(AssertionError, match="computed again"):
        start(folder)


def test_the_reference_is_stage_one_even_if_the_policy_has_changed(folder: Path) -> None:
    wanted = start(folder).reference
    (folder / "align" / "reference.safetensors").unlink()
    recipe = AlignRecipe(CONFIG.model, ALIGN, bundled(), folder)
    for name, weight in recipe.module().named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    recipe.set_training(True)
    moved = {name: w.clone() for name, w in recipe.module().state_dict().items()}
    recipe.start(0)
    assert torch.allclose(recipe.reference, wanted, atol=1e-4)
    assert all(torch.equal(w, moved[name]) for name, w in recipe.module().state_dict().items())


def test_a_run_resumes_with_its_own_pairs_only(folder: Path) -> None:
    start(folder)
    write_pairs(read_pairs(folder).to_dicts()[:40], folder / "pairs.parquet")
    with pytest.raises(TrainingError, match="started with other preference pairs"):
        start(folder, step=5)


def test_a_killed_run_gives_the_same_curve(folder: Path, tmp_path: Path) -> None:
    loop = quick_loop(6, checkpoint_every=2, validate_every=2)
    shutil.copytree(folder, tmp_path / "again")
    train(AlignRecipe(CONFIG.model, ALIGN, bundled(), folder), loop, folder / "align")
    recipe = AlignRecipe(CONFIG.model, ALIGN, bundled(), tmp_path / "again")

    def killed(step: int) -> None:
        if step == 4:
            raise KeyboardInterrupt

    recipe.after_step = killed  # type: ignore[method-assign]
    out = tmp_path / "again" / "align"
    with pytest.raises(KeyboardInterrupt):
        train(recipe, loop, out)
    path = train(AlignRecipe(CONFIG.model, ALIGN, bundled(), tmp_path / "again"), loop, out)
    assert rows(out) == rows(folder / "align")
    assert path.read_bytes() == (folder / "align" / "model.safetensors").read_bytes()


def test_pairs_of_another_stage_one_are_refused(folder: Path) -> None:
    path = folder / "reconstruct" / "model.safetensors"
    weights = load_file(path)
    weights["adapter.encoder.bias"] += 1.0
    save_file(weights, path)
    with pytest.raises(TrainingError, match="made by another stage-1 model"):
        AlignRecipe(CONFIG.model, ALIGN, bundled(), folder)


def test_missing_training_pairs_are_refused(folder: Path) -> None:
    write_pairs(read_pairs(folder).filter(split="valid").to_dicts(), folder / "pairs.parquet")
    with pytest.raises(TrainingError, match="no preference pair to train on"):
        AlignRecipe(CONFIG.model, ALIGN, bundled(), folder)
    (folder / "pairs.parquet").unlink()
    with pytest.raises(TrainingError, match="pigeon-rec train pairs"):
        AlignRecipe(CONFIG.model, ALIGN, bundled(), folder)


def test_dropout_is_off_while_stage_two_trains(folder: Path) -> None:
    recipe = start(folder)
    assert not any(module.training for module in recipe.module().modules())
    assert pl.Series(losses_of(recipe).values()).equals(pl.Series(losses_of(recipe).values()))
    assert align.belongs_to_stage_one(folder)
