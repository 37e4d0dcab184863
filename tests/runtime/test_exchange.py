"""Plan and shards between work directories that share only a location."""

from __future__ import annotations

from pathlib import Path

import fsspec
import polars as pl
import pytest
from pydantic import ValidationError

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.files import shards_to_draw
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.steps import run_step
from pigeon_rec.runtime.exchange import ExchangeError, fetch, send
from pigeon_rec.runtime.files import write_json
from tests.nightly.made_night import NIGHT, MadeNight, Pair, write_catalogue

PAIRS = [Pair(user, item) for user in ("ada", "bob") for item in ("line/apple", "line/boat")]
SHARDS = sorted({pair.shard for pair in PAIRS})


@pytest.fixture(params=["file", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, and an object store that lives in this process."""
    found = f"file://{tmp_path}/exchange" if request.param == "file" else "memory://nights"
    fs, root = fsspec.url_to_fs(found)
    if fs.exists(root):
        fs.rm(root, recursive=True)
    return found


def machine(tmp_path: Path, name: str, location: str) -> tuple[NightlyConfig, NightPaths]:
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir(exist_ok=True)
    config = NightlyConfig(
        catalogue=str(write_catalogue(catalogue)), work_dir=tmp_path / name, exchange=location
    )
    return config, NightPaths.of(config, NIGHT)


def test_shards_of_other_machines_are_published(tmp_path: Path, location: str) -> None:
    home, at_home = machine(tmp_path, "home", location)
    MadeNight(PAIRS).write(home)
    assert len(SHARDS) > 1
    drawn = {number: at_home.shard(number).read_bytes() for number in SHARDS}
    send(home.exchange, at_home.night, [at_home.plan])
    for number, content in drawn.items():
        at_home.shard(number).unlink()
        worker, there = machine(tmp_path, f"worker-{number}", location)
        fetch(worker.exchange, there.night, [there.plan])
        assert there.plan.read_bytes() == at_home.plan.read_bytes()
        assert shards_to_draw(worker, NIGHT) == SHARDS
        there.shards.mkdir(parents=True)
        there.shard(number).write_bytes(content)
        write_json({"assets": 1, "seconds": 2.0}, there.drawing_time(number))
        send(worker.exchange, there.night, there.shard_files(number))
    published = run_step("publish", home, NIGHT)
    assert (published["served"], published["planned"]) == (4, 4)
    assert {n: at_home.shard(n).read_bytes() for n in SHARDS} == drawn
    assert at_home.drawing_time(SHARDS[-1]).is_file()


def test_files_that_were_not_sent_are_left_out(tmp_path: Path, location: str) -> None:
    config, paths = machine(tmp_path, "home", location)
    fetch(config.exchange, paths.night, [paths.plan])
    for number in SHARDS:
        fetch(config.exchange, paths.night, paths.shard_files(number))
    assert not paths.night.exists()


def test_without_a_location_nothing_is_copied(tmp_path: Path) -> None:
    config, paths = machine(tmp_path, "home", "disk")
    MadeNight(PAIRS).write(config)
    before = pl.read_parquet(paths.plan)
    send(config.exchange, paths.night, [paths.plan])
    fetch(config.exchange, paths.night, [paths.plan])
    assert pl.read_parquet(paths.plan).equals(before)
    assert not list(tmp_path.glob("exchange*"))


def test_an_unreachable_location_can_be_retried(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, no folder", "utf-8")
    config, paths = machine(tmp_path, "home", f"file://{tmp_path}/taken")
    MadeNight(PAIRS).write(config)
    with pytest.raises(ExchangeError, match=r"cannot be written.*run the step again") as refused:
        send(config.exchange, paths.night, [paths.plan])
    assert refused.value.retryable


def test_an_unknown_protocol_is_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="exchange"):
        NightlyConfig(exchange="nowhere://bucket")
