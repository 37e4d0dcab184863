"""Weights are read whole or in shards, and other files are refused."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pigeon_rec.errors import ModelError
from pigeon_rec.model.published.weight_files import WeightFiles, find_weights


@contextmanager
def bytes_read() -> Iterator[list[int]]:
    """Appends the bytes that this process reads in the block, mapped pages included."""
    found: list[int] = []
    before = _pages_and_bytes()
    yield found
    found.append(_pages_and_bytes() - before)


def _pages_and_bytes() -> int:
    counters = Path("/proc/self/io").read_text().split()
    mapped = resource.getrusage(resource.RUSAGE_SELF)
    return int(counters[1]) + (mapped.ru_majflt * resource.getpagesize())


def single(path: Path) -> WeightFiles:
    return WeightFiles((path,), path)


class _Runs:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return os.putenv, ("PIGEON_REC_CODE_WAS_RUN", "1")


@pytest.mark.parametrize("legacy", [False, True])
def test_bin_files_of_any_age(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "a.bin"
    weights = {"x": torch.arange(6.0).view(2, 3), "y": torch.ones(2, dtype=torch.bfloat16)}
    torch.save(weights, path, _use_new_zipfile_serialization=not legacy)
    files = single(path)
    headers = files.headers()
    assert {k: (v.shape, v.device.type) for k, v in headers.items()} == {
        "x": (torch.Size([2, 3]), "meta"),
        "y": (torch.Size([2]), "meta"),
    }
    found = dict(files.tensors())
    assert all(torch.equal(found[k], weights[k]) for k in weights)


@pytest.mark.parametrize("name", ["a.safetensors", "a.bin"])
def test_headers_tell_types_and_read_no_contents(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    kinds = (torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool)
    weights = {str(kind): torch.ones(2, 300, 1000, dtype=kind) for kind in kinds}
    if name.endswith("bin"):
        torch.save(weights, path)
    else:
        save_file(weights, path)
    single(path).headers()  # the first call imports libraries
    with bytes_read() as read:
        headers = single(path).headers()
    assert {k: (v.dtype, v.shape) for k, v in headers.items()} == {
        k: (v.dtype, v.shape) for k, v in weights.items()
    }
    assert read[0] < path.stat().st_size / 20


def test_a_type_that_torch_has_not_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    header = json.dumps({"x": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"0")
    with pytest.raises(ModelError, match=r"type F4.*a\.safetensors"):
        single(path).headers()


@pytest.mark.parametrize("inside", [_Runs(), {"x": _Runs()}, {"x": "text"}, [torch.ones(1)]])
@pytest.mark.parametrize("how", ["headers", "tensors"])
def test_anything_but_tensors_is_refused_and_not_run(
    tmp_path: Path, inside: object, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "adapter.bin"
    torch.save(inside, path)
    ran: list[object] = []
    monkeypatch.setattr(os, "putenv", lambda *a: ran.append(a))
    with pytest.raises(ModelError, match=r"cannot be read.*adapter\.bin"):
        dict(getattr(single(path), how)())
    assert ran == []


@pytest.mark.parametrize("name", ["a.bin", "a.safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x80\x02nothing of use")
    with pytest.raises(ModelError, match=name):
        single(path).headers()


def test_safetensors_come_first(tmp_path: Path) -> None:
    for name in ("model.safetensors", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(b"")
    assert find_weights(tmp_path, "model").paths == (tmp_path / "model.safetensors",)
    (tmp_path / "model.safetensors").unlink()
    assert find_weights(tmp_path, "model").paths == (tmp_path / "pytorch_model.bin",)


def test_no_weights_say_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing.*adapter_model\.safetensors or"):
        find_weights(tmp_path, "adapter_model")


@pytest.mark.parametrize("name", ["../secret.bin", "/etc/passwd", "sub/a.bin", 3])
def test_an_index_cannot_lead_out_of_its_folder(tmp_path: Path, name: object) -> None:
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"x": name}}))
    with pytest.raises(ModelError, match=r"outside its folder.*index\.json"):
        find_weights(tmp_path, "model")


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"weight_map": 3}'])
def test_a_damaged_index_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelError, match=r"index is damaged.*index\.json"):
        find_weights(tmp_path, "model")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "pytorch_model-00001-of-00002.bin"}}))
    with pytest.raises(ModelError, match=r"00001-of-00002\.bin"):
        find_weights(tmp_path, "model").headers()
