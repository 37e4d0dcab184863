from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import NIGHT_SCHEMAS, publish, read_staged, stage
from pigeon_rec.warehouse.records import NightFacts
from tests.warehouse.nights import night_of

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "2026-06-01" / "staged"


def staged_users(folder: Path) -> list[str]:
    users: list[str] = pl.read_parquet(read_staged(folder).files("run_assets"))["user_id"].to_list()
    return users


def test_a_staged_night_reads_back_and_publishes_the_same(
    warehouse: DuckDBPyConnection, folder: Path
) -> None:
    night = night_of([ANN, BEN], rejected=[CAT], problems=2)
    staged = stage(night, folder)
    read = read_staged(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*NIGHT_SCHEMAS, "night.json"])
    for field in dataclasses.fields(NightFacts):
        facts = [getattr(source, field.name) for source in (night, staged.facts, read.facts)]
        assert facts == [facts[0]] * 3, field.name
    for name in NIGHT_SCHEMAS:
        assert pl.read_parquet(read.files(name)).equals(getattr(night, name)), name
    first = publish(warehouse, night)
    assert publish(warehouse, read) == dataclasses.replace(first, changed=False)


def test_staging_again_replaces_the_folder(folder: Path) -> None:
    stage(night_of([ANN, BEN]), folder)
    stage(night_of([CAT]), folder)
    assert staged_users(folder) == ["cat"]
    assert [path.name for path in folder.parent.iterdir()] == ["staged"]


def test_a_night_that_fails_its_checks_is_not_staged(folder: Path) -> None:
    stage(night_of([ANN]), folder)
    night = night_of([BEN])
    wrong = dataclasses.replace(night, assets=night.assets.with_columns(width=pl.lit(5)))
    with pytest.raises(WarehouseError, match="pictures are damaged"):
        stage(wrong, folder)
    assert staged_users(folder) == ["ann"]


@pytest.mark.parametrize("name", ["assets/part-00000.parquet", "scores/part-00000.parquet"])
def test_a_file_that_changed_since_is_refused(folder: Path, name: str) -> None:
    stage(night_of([ANN]), folder)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(WarehouseError, match=f"changed since: {name}") as caught:
        read_staged(folder)
    assert "Stage the night again" in str(caught.value)


@pytest.mark.parametrize(
    "damage", ["nothing there", "no index", "half an index", "no JSON", "no scores"]
)
def test_an_incomplete_folder_is_refused(folder: Path, damage: str) -> None:
    if damage != "nothing there":
        stage(night_of([ANN]), folder)
        index = folder / "night.json"
        whole = json.loads(index.read_text())
        half = {name: value for name, value in whole.items() if name != "seed"}
        texts = {"half an index": json.dumps(half), "no JSON": "{"}
        index.write_text(texts.get(damage, ""))
        if damage == "no index":
            index.unlink()
        if damage == "no scores":
            facts = dict(whole)
            del facts["files"]["scores/part-00000.parquet"]
            (folder / "scores" / "part-00000.parquet").unlink()
            index.write_text(json.dumps(facts))
    with pytest.raises(WarehouseError, match="no complete staged night"):
        read_staged(folder)


def test_a_folder_that_cannot_be_created_raises(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WarehouseError, match="cannot stage the night") as caught:
        stage(night_of([ANN]), tmp_path / "file" / "staged")
    assert "file/staged" in str(caught.value.location)
