"""The command `pigeon-rec model info`, as text and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.model.backbones.tiny import write_janus
from tests.model.published.layout import write_layout

Pigeon = Callable[..., Any]


def test_the_bundled_model(pigeon: Pigeon) -> None:
    outcome = pigeon("model", "info", "sticker-64")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0] == "model sticker-64"
    assert any(line.startswith("image_generator ") and "float16" in line for line in lines)
    assert "missing" not in outcome.out


def test_missing_files_are_listed(pigeon: Pigeon, tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "lavit")
    (folder / "visual_tokenizer" / "eva_vitg_psz14.bin").unlink()
    outcome = pigeon("model", "info", folder)
    assert f"missing file: {folder / 'visual_tokenizer' / 'eva_vitg_psz14.bin'}" in outcome.out
    facts = json.loads(pigeon("model", "info", folder, "--json").out)
    assert facts["complete"] is False
    assert facts["total"]["bfloat16"] == sum(part["bfloat16"] for part in facts["parts"])
    assert facts["total"]["int4"] < facts["total"]["int8"] < facts["total"]["bfloat16"]


def test_an_unknown_model(pigeon: Pigeon, tmp_path: Path) -> None:
    outcome = pigeon("model", "info", tmp_path / "nothing", "--json")
    assert outcome.code == 4
    assert "there is no model" in json.loads(outcome.out)["error"]["what"]


def test_backbones_of_libraries_and_of_ones_own_are_known(
    pigeon: Pigeon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_janus(tmp_path / "tiny")
    outcome = pigeon("model", "info", folder)
    assert outcome.code == 0
    assert "of transformers (janus)" in outcome.out
    assert "on an accelerator the last bit may differ" in outcome.out
    facts = json.loads(pigeon("model", "info", folder, "--json").out)
    assert (facts["kind"], facts["complete"], facts["bit_exact"]["cpu"]) == ("janus", True, True)
    (tmp_path / "shop_draws.py").write_text(OWN, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_draws", raising=False)
    facts = json.loads(pigeon("model", "info", "shop_draws:load", "--json").out)
    assert facts == {
        "kind": "function", "version": "shop_draws:load-7", "image_size": 48, "bit_exact": False,
    }  # fmt: skip


OWN = """
class Own:
    version, image_size, bit_exact = "7", 48, False

    def draw(self, requests, generation):
        raise NotImplementedError


def load(placement):
    return Own()
"""
