from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import (
    check_serving,
    check_warehouse,
    migrate,
    open_warehouse,
    promote,
    publish,
    sql_root,
)
from pigeon_rec.warehouse.connection import connect
from pigeon_rec.warehouse.marking import Marker
from tests.warehouse.nights import FIRST, SECOND, key_of, night_of

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")

BROKEN = {
    "UPDATE assets SET image = 'x'::BLOB WHERE user_id = 'ann'": {"damaged picture", "wrong size"},
    "UPDATE assets SET image_sha256 = 'x' WHERE user_id = 'ann'": {
        *("damaged picture", "unlisted picture"),
    },
    "UPDATE assets SET width = 5 WHERE user_id = 'ann'": {"damaged picture"},
    "UPDATE assets SET byte_size = 1 WHERE user_id = 'ann'": {"wrong size"},
    "DELETE FROM assets WHERE user_id = 'ann'": {"lost picture"},
    "UPDATE run_assets SET asset_key = 'x' WHERE user_id = 'ben'": {
        *("lost picture", "stray score", "unused picture", "wrong serving row"),
    },
    "DELETE FROM runs WHERE run_id = '2026-06-01'": {"unknown night"},
    "INSERT INTO asset_scores VALUES ('x', 'text_score', 0)": {"stray score"},
    "DELETE FROM asset_scores WHERE metric = 'selection_score'": {
        *("missing score", "wrong serving row"),
    },
    "UPDATE runs SET rejected = 7 WHERE run_id = '2026-06-01'": {"wrong count"},
    "DELETE FROM rejections": {"stray score", "wrong count"},
    "DELETE FROM served_pairs WHERE user_id = 'ann'": {"wrong serving row"},
    "UPDATE served_pairs SET score = 1 WHERE user_id = 'ann'": {"wrong serving row"},
    "INSERT INTO problems VALUES ('2000-01-01', 'k', 's', NULL, 'm')": {"unknown night"},
    "DELETE FROM generated_pictures": {"unlisted picture"},
    "DELETE FROM generated_pictures WHERE marking IS NULL": {"unlisted picture"},
    "UPDATE assets SET drawn_sha256 = 'x' WHERE user_id = 'ann'": {
        *("unlisted picture", "wrong mark"),
    },
    "UPDATE assets SET marking = 'c2pa' WHERE user_id = 'ann'": {"wrong mark"},
    "UPDATE assets SET model_version = 'x' WHERE user_id = 'ann'": {"wrong mark"},
    "INSERT INTO assets FROM assets WHERE user_id = 'ann'": {"repeated row"},
    "INSERT INTO asset_scores FROM asset_scores WHERE metric = 'history_score'": {
        *("repeated row", "wrong serving row"),
    },
    "INSERT INTO run_assets FROM run_assets WHERE user_id = 'ben'": {
        *("repeated row", "wrong count", "wrong serving row"),
    },
    "INSERT INTO rejections FROM rejections": {"repeated row", "wrong count"},
}


@pytest.fixture
def sound(writer_path: Path) -> Path:
    with open_warehouse(writer_path) as connection:
        marker = Marker("metadata")
        publish(connection, night_of([ANN], rejected=[CAT], problems=2), marker=marker)
        publish(connection, night_of([BEN], date=SECOND, reused=[ANN]), marker=marker)
    return writer_path


def test_a_sound_warehouse_has_no_faults(sound: Path, serving: Path) -> None:
    assert check_warehouse(sound).rows() == []
    assert check_serving(serving).rows() == []
    promote(sound, serving)
    assert check_warehouse(serving).rows() == []
    assert check_serving(serving).rows() == []


@pytest.mark.parametrize("damage", BROKEN)
def test_every_kind_of_damage_is_found(sound: Path, damage: str) -> None:
    with duckdb.connect(str(sound)) as connection:
        connection.execute(damage)
    faults = check_warehouse(sound)
    assert set(faults["kind"]) == BROKEN[damage]
    assert faults.columns == ["kind", "subject", "detail"]
    assert faults.rows() == sorted(faults.rows())


def test_faults_name_what_is_at_fault(sound: Path) -> None:
    with duckdb.connect(str(sound)) as connection:
        connection.execute("DELETE FROM assets WHERE user_id = 'ann'")
    key = key_of(ANN)
    assert check_warehouse(sound).rows() == [
        ("lost picture", f"{night} / ann / noto/apple", f"serves {key}, which is not in assets")
        for night in ("2026-06-01", "2026-06-02")
    ]


Damage = Callable[[Path], object]
OUTSIDE: dict[str, tuple[Damage, str]] = {
    "gone": (Path.unlink, "no bytes"),
    "other bytes": (lambda path: path.write_bytes(b"x"), "do not have the recorded SHA-256"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_bytes_outside_the_table_are_checked(
    warehouse: DuckDBPyConnection, writer_path: Path, tmp_path: Path, case: str
) -> None:
    images = f"file://{tmp_path}/pictures"
    publish(warehouse, night_of([ANN, BEN]), images=images)
    warehouse.close()
    assert check_warehouse(writer_path).rows() == []
    damage, message = OUTSIDE[case]
    file = sorted((tmp_path / "pictures").rglob("*.png"))[0]
    damage(file)
    faults = check_warehouse(writer_path).filter(kind="damaged picture")
    assert faults.height == 1
    assert message in faults["detail"][0]
    assert f"file://{file}" in faults["detail"][0]


def test_an_older_schema_is_a_fault(tmp_path: Path, writer_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    shutil.copy(sql_root() / "migrations" / "0001_tables.sql", folder)
    with connect(writer_path) as connection:
        migrate(connection, folder)
    [(kind, subject, detail)] = check_warehouse(writer_path).rows()
    assert (kind, subject) == ("other schema", "version 1")
    assert "publishing brings it up to date" in detail


def test_a_missing_warehouse_raises(writer_path: Path) -> None:
    with pytest.raises(WarehouseError, match="there is no warehouse"):
        check_warehouse(writer_path)


def test_snapshots_are_compared_with_their_names(sound: Path, serving: Path) -> None:
    first = promote(sound, serving)
    with open_warehouse(sound) as connection:
        publish(connection, night_of([BEN], date=FIRST))
    second = promote(sound, serving)
    first.chmod(0o644)
    with duckdb.connect(str(first)) as connection:
        connection.execute("DELETE FROM problems")
    assert check_serving(serving)["subject"].to_list() == [first.name]
    second.chmod(0o644)
    second.write_bytes(b"no database" * 500)
    faults = check_serving(serving).sort("subject", descending=first.name < second.name)
    assert set(faults["kind"]) == {"damaged snapshot"}
    assert set(faults["subject"]) == {first.name, second.name}
    second.unlink()
    assert "lost snapshot" in check_serving(serving)["kind"].to_list()
