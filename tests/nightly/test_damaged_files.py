"""Damaged files of a night: our error with the path, or no harm; never another exception."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import PigeonError, PlanError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.steps import run_step
from tests.nightly.made_night import NIGHT, small_night, write_catalogue

FILES = ("plan", "skipped", "problems", "explained", "cohorts", "plan_info", "shard", "time")
DEEP = b"[" * 100_000


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> NightlyConfig:
    """The small night, published and promoted, so that it can be reported too."""
    folder = tmp_path_factory.mktemp("damaged")
    catalogue = write_catalogue(folder / "catalogue")
    made = NightlyConfig(work_dir=folder / "var", catalogue=str(catalogue), seed=7)
    small_night().write(made)
    for step in ("publish", "promote"):
        run_step(step, made, NIGHT)
    return made


def file_of(config: NightlyConfig, name: str) -> Path:
    paths = NightPaths.of(config, NIGHT)
    shard = small_night().pairs[0].shard
    others = {"shard": paths.shard(shard), "time": paths.drawing_time(shard)}
    found: Path = others[name] if name in others else getattr(paths, name)
    return found


def damaged(content: bytes) -> Iterator[bytes]:
    yield from (b"", b"PAR1", DEEP, b"null", b'{"assets": Infinity, "seconds": []}')
    yield from (content[: len(content) // 2], content[:-1])
    random = np.random.default_rng(0)
    for _ in range(8):
        data = bytearray(content)
        for place in random.integers(0, len(data), 4):
            data[place] = random.integers(0, 256)
        yield bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_damage_is_our_error_or_no_harm(config: NightlyConfig, name: str) -> None:
    path = file_of(config, name)
    content = path.read_bytes()
    try:
        for part in damaged(content):
            path.write_bytes(part)
            for step in ("publish", "report"):
                with contextlib.suppress(PigeonError):
                    run_step(step, config, NIGHT)
    finally:
        path.write_bytes(content)
    assert run_step("publish", config, NIGHT)["served"] == 5


@pytest.mark.parametrize("name", FILES[:-1])
def test_an_empty_file_is_named_with_what_to_do(config: NightlyConfig, name: str) -> None:
    path = file_of(config, name)
    content = path.read_bytes()
    path.write_bytes(b"")
    try:
        with pytest.raises(PlanError, match=r"Run `pigeon-rec nightly") as caught:
            run_step("publish", config, NIGHT)
        assert caught.value.location == str(path)
    finally:
        path.write_bytes(content)


def test_a_table_of_another_form_is_named(config: NightlyConfig) -> None:
    path = file_of(config, "plan")
    content = path.read_bytes()
    pl.read_parquet(path).rename({"item_id": "item"}).write_parquet(path)
    try:
        with pytest.raises(PlanError, match="item_id"):
            run_step("publish", config, NIGHT)
    finally:
        path.write_bytes(content)
