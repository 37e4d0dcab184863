"""Checkpoints under torch's restricted unpickler: ours can be read, code is refused."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - what torch raises when it refuses a file
from typing import Any

import numpy as np
import pytest
import torch
from recbole.quick_start import load_data_and_model

from pigeon_rec.errors import ModelError
from pigeon_rec.recbole_plugin import load_pigeon
from pigeon_rec.recbole_plugin.checkpoints import SavedConfig, read_checkpoint, restore_config
from tests.recbole_plugin.conftest import Build
from tests.recbole_plugin.test_recommender import full_scores, trained
from tests.recbole_plugin.world import BASES


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def saved(build: Build, base: str) -> tuple[Any, Path]:
    built = build(base)
    built.trainer.fit(built.train, built.valid, verbose=False, saved=True)
    return built, Path(built.trainer.saved_model_file)


@pytest.mark.parametrize("base", BASES)
def test_recboles_own_trainer_tests_the_best_epoch(base: str, build: Build) -> None:
    built, path = saved(build, base)
    result = built.trainer.evaluate(built.test)  # load_best_model is RecBole's default
    assert path.is_file()
    assert set(result) >= {"recall@10", "mrr@10", "ndcg@10"}


@pytest.mark.parametrize("base", BASES)
def test_recboles_own_loader_returns_the_same_model(base: str, build: Build) -> None:
    built, path = saved(build, base)
    built.model.load_state_dict(read_checkpoint(path)["state_dict"])
    expected = full_scores(built)
    config, model, dataset, *_ = load_data_and_model(str(path))
    assert config["MODEL_TYPE"] == built.config["MODEL_TYPE"]
    assert type(model) is type(built.model)
    assert dataset.item_num == built.dataset.item_num
    again, _, loaders = load_pigeon(path)
    for one in (model, again):
        one.eval()
        with torch.no_grad():
            scores = [
                one.full_sort_predict(batch[0]).view(-1, dataset.item_num) for batch in loaders[2]
            ]
        torch.testing.assert_close(torch.cat(scores), expected)


def test_training_resumes_from_a_checkpoint(build: Build) -> None:
    _, path = saved(build, "BPR")
    longer = build("BPR", epochs=4)
    longer.trainer.resume_checkpoint(path)
    assert longer.trainer.start_epoch in (1, 2)
    longer.trainer.fit(longer.train, longer.valid, verbose=False)


@pytest.mark.parametrize("place", ["config", "state_dict", "other_parameter"])
def test_code_in_a_checkpoint_is_refused_and_not_run(
    place: str, build: Build, tmp_path: Path
) -> None:
    _, path = saved(build, "BPR")
    state = read_checkpoint(path)
    state["config"] = SavedConfig(state["config"])
    touched = tmp_path / "touched"
    torch.save({**state, place: Malicious(touched)}, path, pickle_protocol=2)
    with pytest.raises(ModelError, match="cannot be read"):
        load_pigeon(path)
    with pytest.raises(UnpicklingError):
        load_data_and_model(str(path))  # RecBole's own loader
    assert not touched.exists()


def test_a_checkpoint_of_plain_recbole_is_refused(build: Build) -> None:
    built = build("BPR", wrapped=False)
    built.trainer.fit(built.train, built.valid, verbose=False, saved=True)
    with pytest.raises(ModelError, match=r"cannot be read.*one of plain RecBole is refused"):
        load_pigeon(built.trainer.saved_model_file)


def test_text_in_a_saved_configuration_is_never_evaluated(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    config = restore_config({"epochs": f"__import__('os').system('touch {touched}')"})
    assert not touched.exists()
    assert config["epochs"].startswith("__import__")


def test_a_checkpoint_cannot_name_a_pickle_file() -> None:
    config = restore_config({"dataset_save_path": "a.pth", "dataloaders_save_path": "b.pth"})
    assert config["dataset_save_path"] is None
    assert config["dataloaders_save_path"] is None


def test_torch_still_refuses_other_code(build: Build, tmp_path: Path) -> None:
    build("BPR")
    torch.save(Malicious(tmp_path / "touched"), tmp_path / "bad.pth")
    with pytest.raises(UnpicklingError):
        torch.load(tmp_path / "bad.pth")
    from recbole.config import Config

    assert Config not in torch.serialization.get_safe_globals()


def test_a_learned_weight_is_part_of_the_checkpoint(build: Build) -> None:
    built = trained(build, "BPR")
    full_scores(built)
    weight = float(built.model.visual_weight)
    other = build("BPR")
    other.model.load_state_dict(built.model.state_dict())
    assert float(other.model.visual_weight) == weight


@pytest.mark.parametrize("values", [[1], {"MODEL_TYPE": "SPELL"}])
def test_damaged_configurations_are_refused(values: Any) -> None:
    with pytest.raises(ModelError):
        restore_config(values)


def damaged(content: bytes) -> list[bytes]:
    """Cut off, empty, and with other bytes here and there."""
    random = np.random.default_rng(0)
    flipped = []
    for _ in range(60):
        data = bytearray(content)
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(0, 256)
        flipped.append(bytes(data))
    return [b"", b"PK", content[: len(content) // 2], *flipped]


def test_a_damaged_checkpoint_is_our_error_or_harmless(build: Build, tmp_path: Path) -> None:
    _, path = saved(build, next(iter(BASES)))
    for content in damaged(path.read_bytes()):
        (tmp_path / "damaged.pth").write_bytes(content)
        with contextlib.suppress(ModelError):
            read_checkpoint(tmp_path / "damaged.pth")
    (tmp_path / "damaged.pth").write_bytes(b"")
    with pytest.raises(ModelError, match=r"cannot be read: .+ \["):
        read_checkpoint(tmp_path / "damaged.pth")
