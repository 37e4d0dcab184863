"""Every example and figure of `docs/published.md` holds."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.full_size import LOW_RESOLUTION, parameter_counts
from pigeon_rec.config import GenerationConfig, NightlyConfig
from pigeon_rec.data import npy_files
from pigeon_rec.data.import_published import FIRST_TIME, import_published
from pigeon_rec.model.published.pipeline import PUBLISHED_GENERATION
from pigeon_rec.placement import Placement
from tests.conftest import ROOT
from tests.data.published_layout import write_movies

PAGE = ROOT / "docs" / "published.md"
TEXT = PAGE.read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)


@pytest.fixture
def place(tmp_path: Path, layout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small folder with the names of the page."""
    monkeypatch.chdir(tmp_path)
    write_movies(tmp_path / "ml-latest-small")
    shutil.copytree(layout, "LaVIT-7B-v2")
    checkpoint = Path("sticker/SFT/checkpoint-2975")
    checkpoint.mkdir(parents=True)
    for name in ("mask_generator", "adapter"):
        shutil.copytree(layout / name, checkpoint / name)
    shutil.copytree(layout / "llama", "sticker/DPO/checkpoint-375/llama/policy")
    return tmp_path


def test_the_command(place: Path, pigeon: Callable[..., Any]) -> None:
    command, _ = blocks("bash")
    words = shlex.split(command)
    assert words[0] == "pigeon-rec"
    assert pigeon(*words[1:]).code == 0
    written = {path.name for path in (place / "catalogue").iterdir()}
    assert written == {"items.parquet", "interactions.parquet", "sequences.parquet", "images"}
    assert all(name in TEXT for name in written)


def test_the_model_is_described_whole(place: Path, pigeon: Callable[..., Any]) -> None:
    outcome = pigeon(*shlex.split(blocks("bash")[1])[1:])
    assert re.search(r"complete +yes", outcome.out)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_python_runs(place: Path, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    import_published(place / "ml-latest-small", place / "catalogue")
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(blocks("python")[number], str(PAGE), "exec"), names)  # noqa: S102
    if number == 0:
        assert capsys.readouterr().out == "(1, 2, 16, 16, 3)\n"
    assert names["pigeon"].config.name == "LaVIT-7B-v2"


def test_yaml_has_the_published_settings() -> None:
    text, _ = blocks("yaml")
    settings = GenerationConfig.model_validate(yaml.safe_load(text)["generation"])
    assert settings == PUBLISHED_GENERATION


def test_a_night_may_be_placed() -> None:
    config = NightlyConfig.model_validate(yaml.safe_load(blocks("yaml")[1]))
    assert config.placement == Placement(dtype="bfloat16", device="cuda")


def test_every_field_of_a_placement_is_described() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \| .*\|$", TEXT, re.M))
    assert set(Placement.model_fields) <= rows


def test_the_counts_are_the_modules_own() -> None:
    high, low = parameter_counts(), parameter_counts(LOW_RESOLUTION)
    rows = re.findall(r"^\| `?(\w+)`? \| ([\d,]+) \| ([\d,]+) \|$", TEXT, re.M)
    found = {name: (a.replace(",", ""), b.replace(",", "")) for name, a, b in rows}
    wanted = {name: (str(high[name]), str(low[name])) for name in high}
    assert found == {**wanted, "all": (str(sum(high.values())), str(sum(low.values())))}
    assert round(sum(high.values()) * 4 / 1e9) == 46


def test_limits_are_those_of_the_code() -> None:
    assert npy_files.MAX_BYTES == 512 * 2**20
    assert "over 512 MB" in TEXT
    assert f"after {FIRST_TIME.date()}" in TEXT


def test_the_table_of_the_layout_names_every_file(place: Path) -> None:
    for folder in ("ml-latest-small/processed_seq", "LaVIT-7B-v2"):
        named = {path.stem for path in (place / folder).glob("*")} - {"all_clip_feats"}
        assert all(f"{name}" in TEXT for name in named), named
