"""Folders of models, and their versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pigeon_rec.errors import ModelError
from pigeon_rec.model import paths
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.version import model_version


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    (folder / "scorer").mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "scorer" / "weights.bin").write_bytes(b"1234")
    return folder


def test_a_folder_is_found_by_its_path(saved: Path) -> None:
    assert model_folder(saved) == saved
    assert model_folder(str(saved)) == saved


def test_a_bundled_model_is_found_by_its_name(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_BUNDLED", saved.parent)
    assert model_folder("mine") == saved


def test_an_unknown_name_tells_the_known_ones(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_BUNDLED", saved.parent)
    with pytest.raises(ModelError, match=r"no model 'sticker-46'.*bundled models \(mine\)"):
        model_folder("sticker-46")


def test_a_folder_without_configuration_is_no_model(saved: Path) -> None:
    with pytest.raises(ModelError):
        model_folder(saved / "scorer")


def test_a_version_is_name_and_digest(saved: Path) -> None:
    version = model_version(saved)
    assert re.fullmatch(r"mine-[0-9a-f]{12}", version)
    assert model_version(str(saved)) == version


def test_equal_files_are_one_version_wherever_they_lie(saved: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "mine"
    shutil.copytree(saved, copy)
    assert model_version(copy) == model_version(saved)


@pytest.mark.parametrize("change", ["byte", "name", "more"])
def test_any_change_is_another_version(saved: Path, change: str) -> None:
    before = model_version(saved)
    weights = saved / "scorer" / "weights.bin"
    if change == "byte":
        weights.write_bytes(b"1235")
    elif change == "name":
        weights.rename(saved / "scorer" / "weights.safetensors")
    else:
        (saved / "more").write_bytes(b"")
    assert model_version(saved) != before


def test_asking_for_a_version_loads_no_torch() -> None:
    program = "import sys, pigeon_rec.model.version; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=120).returncode == 0
