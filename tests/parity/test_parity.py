"""The command that compares us with recorded numbers: what it prints, and what it refuses.

Files of our own test the command anywhere. `PIGEON_GOLDEN=DIR` adds the published ones.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from tests.model.tiny import seeded
from tests.parity.__main__ import main
from tests.parity.recorded import RECORDED, record
from tests.parity.runner import check_file

GOLDEN = os.environ.get("PIGEON_GOLDEN", "")
PUBLISHED = sorted(Path(GOLDEN).glob("*.safetensors")) if GOLDEN else []
published = pytest.mark.skipif(not PUBLISHED, reason="PIGEON_GOLDEN names no recorded files")

Change = Callable[[dict[str, Tensor], dict[str, str]], None]


def rewrite(path: Path, change: Change, folder: Path) -> Path:
    """A copy with changed tensors and metadata."""
    with safe_open(path, "pt") as file:
        names: list[str] = file.keys()
        tensors = {name: file.get_tensor(name) for name in names}
        metadata = dict(file.metadata())
    change(tensors, metadata)
    copy = folder / path.name
    save_file(tensors, copy, metadata)
    return copy


def damaged(prefix: str) -> Change:
    """Changes all numbers of the last tensor whose name begins so."""

    def change(tensors: dict[str, Tensor], _: dict[str, str]) -> None:
        name = max(name for name in tensors if name.startswith(prefix))
        value = tensors[name]
        if value.is_floating_point():
            with seeded(1):  # not the same for all: norms and softmaxes would not mind
                tensors[name] = value + torch.randn(value.shape) * (1 + value.abs())
        else:
            tensors[name] = ~value if value.dtype == torch.bool else value + 1

    return change


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small file of every kind that a few lines can describe."""
    made = tmp_path_factory.mktemp("recorded")
    for kind in RECORDED:
        record(kind, made)
    return made


def test_a_line_per_file_and_a_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == f"{len(RECORDED)} passed, 0 failed"
    assert [line.split()[1].rstrip(":") for line in lines] == sorted(RECORDED)
    for line in lines:
        assert re.fullmatch(r"ok   \w+: .+; \d+ comparisons, largest error \d\.\de[+-]\d\d", line)


@pytest.mark.slow
def test_it_runs_as_a_module(folder: Path, repository: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "selection.safetensors", tmp_path)
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    done = subprocess.run(
        [sys.executable, "-m", "tests.parity", str(tmp_path)],
        cwd=repository, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed"


def names_of(kind: str) -> list[str]:
    return list(RECORDED[kind]()[0])


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in sorted(RECORDED) for name in sorted(names_of(kind))],
)
def test_a_change_of_any_tensor_fails(folder: Path, tmp_path: Path, kind: str, name: str) -> None:
    source = folder / f"{kind}.safetensors"
    assert not check_file(rewrite(source, damaged(name), tmp_path)).passed


@pytest.mark.parametrize("kind", sorted(RECORDED))
def test_a_truncated_file_fails(folder: Path, tmp_path: Path, kind: str) -> None:
    whole = (folder / f"{kind}.safetensors").read_bytes()
    for size in (0, 6, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:size])
        assert not check_file(tmp_path / "cut.safetensors").passed


def test_an_unknown_kind_fails(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def other(_: dict[str, Tensor], metadata: dict[str, str]) -> None:
        metadata["kind"] = "teleporter"

    rewrite(folder / "adapter.safetensors", other, tmp_path)
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "FAIL adapter: unknown kind 'teleporter'",
        "0 passed, 1 failed",
    ]


def test_what_nobody_compares_is_no_pass(folder: Path, tmp_path: Path) -> None:
    def more(tensors: dict[str, Tensor], _: dict[str, str]) -> None:
        tensors["out.z"] = torch.zeros(2)

    result = check_file(rewrite(folder / "adapter.safetensors", more, tmp_path))
    assert not result.passed
    assert result.summary == "not looked at: out.z"


def without(name: str) -> Change:
    def change(tensors: dict[str, Tensor], _: dict[str, str]) -> None:
        del tensors[name]

    return change


def no_number(tensors: dict[str, Tensor], _: dict[str, str]) -> None:
    tensors["out.y"][0, 0] = torch.nan


def other_shape(tensors: dict[str, Tensor], _: dict[str, str]) -> None:
    tensors["out.y"] = tensors["out.y"][:1].contiguous()


def no_settings(_: dict[str, Tensor], metadata: dict[str, str]) -> None:
    metadata["settings"] = "{"


def other_sizes(_: dict[str, Tensor], metadata: dict[str, str]) -> None:
    metadata["settings"] = metadata["settings"].replace('"hid_dim": 4', '"hid_dim": 5')


@pytest.mark.parametrize(
    "damage",
    [without("out.y"), without("in.x"), without("param.encoder.bias"), no_number, other_shape,
     no_settings, other_sizes],
)  # fmt: skip
def test_other_damage_fails_and_ends_nothing(folder: Path, tmp_path: Path, damage: Change) -> None:
    assert not check_file(rewrite(folder / "adapter.safetensors", damage, tmp_path)).passed


def test_a_folder_that_is_not_there_is_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nowhere")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 0 failed"
    assert main([str(tmp_path)]) == 1  # but a folder without files proves nothing


@published
def test_all_published_files_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([GOLDEN]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{len(PUBLISHED)} passed, 0 failed"


@published
@pytest.mark.parametrize("path", PUBLISHED, ids=[path.stem for path in PUBLISHED])
def test_damaged_published_files_fail(path: Path, tmp_path: Path) -> None:
    with safe_open(path, "pt") as file:
        names: list[str] = file.keys()
    for prefix in ("param.", "in.", "out."):
        if any(name.startswith(prefix) for name in names):
            assert not check_file(rewrite(path, damaged(prefix), tmp_path)).passed, prefix
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-100])
    assert not check_file(tmp_path / "cut.safetensors").passed
