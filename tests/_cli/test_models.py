"""The commands `pigeon-rec models ...` on a real registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.drawing.models import chosen_model
from tests.registered import promoted

Pigeon = Callable[..., Any]


@pytest.fixture
def versions(tmp_path: Path) -> list[str]:
    """Two models, promoted one after the other."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").touch()
    return [promoted(tmp_path, name, source) for name in ("first", "second")]


def test_the_list_marks_the_serving_model(
    pigeon: Pigeon, tmp_path: Path, versions: list[str]
) -> None:
    listed = json.loads(pigeon("models", "list", "--work-dir", tmp_path, "--json").out)["models"]
    assert {model["version"]: model["serving"] for model in listed} == {
        versions[0]: False,
        versions[1]: True,
    }
    table = pigeon("models", "list", "--work-dir", tmp_path).out.splitlines()
    assert table[0].split()[:3] == ["version", "decision", "serving"]
    [serving] = [line for line in table if " yes " in line]
    assert serving.startswith(versions[1])


def test_an_older_model_can_be_promoted_again(
    pigeon: Pigeon, tmp_path: Path, versions: list[str]
) -> None:
    shown = json.loads(pigeon("models", "show", "--work-dir", tmp_path, "--json").out)
    assert shown["version"] == versions[1]
    outcome = pigeon("models", "promote", versions[0], "--work-dir", tmp_path)
    assert outcome.code == 0
    assert outcome.out.startswith(f"model {versions[0]}\n")
    shown = json.loads(pigeon("models", "show", "--work-dir", tmp_path, "--json").out)
    assert (shown["version"], shown["serving"]) == (versions[0], True)
    other = json.loads(pigeon("models", "show", versions[1], "--work-dir", tmp_path, "--json").out)
    assert other["serving"] is False


@pytest.mark.parametrize("command", ["show", "promote"])
def test_the_error_for_an_unknown_version_names_the_known_ones(
    pigeon: Pigeon, tmp_path: Path, versions: list[str], command: str
) -> None:
    outcome = pigeon("models", command, "nobody", "--work-dir", tmp_path)
    assert outcome.code == 5
    assert all(version in outcome.err for version in versions)


def test_a_model_with_missing_weights_is_not_promoted(
    pigeon: Pigeon, tmp_path: Path, versions: list[str]
) -> None:
    (tmp_path / "models" / "first" / "note.txt").unlink()
    outcome = pigeon("models", "promote", versions[0], "--work-dir", tmp_path, "--json")
    assert outcome.code == 4
    assert json.loads(outcome.out)["error"]["kind"] == "ModelError"


def test_the_bundled_model_can_be_registered_and_promoted(
    pigeon: Pigeon, tmp_path: Path, versions: list[str]
) -> None:
    location = ("--work-dir", tmp_path, "--json")
    entered = json.loads(pigeon("models", "register", "sticker-64", *location).out)
    assert (entered["decision"], entered["serving"]) == ("accepted", False)
    again = pigeon("models", "register", "sticker-64", *location)
    assert again.code == 5
    assert "registered already" in json.loads(again.out)["error"]["what"]
    assert json.loads(pigeon("models", "promote", entered["version"], *location).out)["serving"]
    assert chosen_model("serving", tmp_path).version == entered["version"]


def test_a_folder_of_the_work_directory_is_registered_relative_to_it(
    pigeon: Pigeon, tmp_path: Path
) -> None:
    folder = tmp_path / "var" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").touch()
    arguments = (folder, "--work-dir", tmp_path / "var", "--reason", "looks good", "--json")
    entered = json.loads(pigeon("models", "register", *arguments).out)
    assert (entered["weights_path"], entered["reason"]) == ("mine", "looks good")
    assert pigeon("models", "register", tmp_path / "nothing", "--json").code == 4


def test_without_models_the_list_is_empty_and_no_file_is_created(
    pigeon: Pigeon, tmp_path: Path
) -> None:
    assert json.loads(pigeon("models", "list", "--work-dir", tmp_path, "--json").out) == {
        "models": []
    }
    assert "no model has been promoted" in pigeon("models", "show", "--work-dir", tmp_path).err
    assert pigeon("models", "promote", "any", "--work-dir", tmp_path).code == 5
    assert list(tmp_path.iterdir()) == []
