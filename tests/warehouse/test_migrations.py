from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import (
    connect,
    content_digest,
    migrate,
    open_warehouse,
    schema_version,
    sql_files,
    sql_root,
)
from pigeon_rec.warehouse.migrations import available_migrations
from tests.warehouse.nights import TABLES, file_hash


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(sql_root() / "migrations", tmp_path / "migrations"))


def objects(connection: DuckDBPyConnection) -> dict[str, str]:
    rows = connection.execute(
        """
        SELECT table_name, 'table' FROM duckdb_tables() WHERE NOT internal
        UNION ALL SELECT view_name, 'view' FROM duckdb_views() WHERE NOT internal
        UNION ALL SELECT function_name, 'macro' FROM duckdb_functions()
        WHERE function_type = 'table_macro' AND NOT internal
        """
    ).fetchall()
    return dict(rows)


def test_an_empty_file_gets_the_whole_schema(warehouse: DuckDBPyConnection) -> None:
    promised = {
        **dict.fromkeys((*TABLES, "served_pairs", "image_stores", "schema_migrations"), "table"),
        **dict.fromkeys(("served_assets", "asset_quality_daily"), "view"),
        **dict.fromkeys(("asset_for", "assets_for_user"), "macro"),
    }
    assert promised.items() <= objects(warehouse).items()
    recorded = warehouse.execute("SELECT version, name, checksum FROM schema_migrations").fetchall()
    assert recorded == [(m.version, m.name, m.checksum) for m in available_migrations()]
    assert schema_version(warehouse) == len(recorded) >= 2
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for *_, checksum in recorded)


def test_opening_again_applies_and_writes_nothing(writer_path: Path) -> None:
    with open_warehouse(writer_path) as connection:
        applied = connection.execute("SELECT * FROM schema_migrations").fetchall()
    before = file_hash(writer_path)
    with open_warehouse(writer_path) as connection:
        assert migrate(connection) == []
        assert connection.execute("SELECT * FROM schema_migrations").fetchall() == applied
    assert file_hash(writer_path) == before


def test_a_later_migration_is_added_to_an_older_file(
    warehouse: DuckDBPyConnection, folder: Path
) -> None:
    version = schema_version(warehouse)
    (folder / f"{version + 1:04d}_cohorts.sql").write_text(
        "CREATE TABLE later_cohorts (cohort INTEGER PRIMARY KEY);\n-- ; not a statement\n"
    )
    assert [m.name for m in migrate(warehouse, folder)] == ["cohorts"]
    assert migrate(warehouse, folder) == []
    assert schema_version(warehouse) == version + 1
    with pytest.raises(WarehouseError, match="does not know") as caught:
        migrate(warehouse)
    assert f"{version + 1:04d}_cohorts" in str(caught.value)
    assert "Upgrade" in str(caught.value)


def test_a_failing_migration_leaves_nothing_behind(
    warehouse: DuckDBPyConnection, folder: Path
) -> None:
    version = schema_version(warehouse)
    file = folder / f"{version + 1:04d}_broken.sql"
    file.write_text("CREATE TABLE half (i INTEGER); SELECT no_such_function();")
    before = objects(warehouse)
    with pytest.raises(WarehouseError, match="no_such_function"):
        migrate(warehouse, folder)
    assert objects(warehouse) == before
    assert schema_version(warehouse) == version
    file.write_text("CREATE TABLE half (i INTEGER);")
    assert [m.name for m in migrate(warehouse, folder)] == ["broken"]


def test_an_edited_migration_is_refused(warehouse: DuckDBPyConnection, folder: Path) -> None:
    file = folder / "0001_tables.sql"
    file.write_text(file.read_text().replace("\n", "\r\n"))
    assert migrate(warehouse, folder) == []
    file.write_text(file.read_text() + "CREATE TABLE more (i INTEGER);")
    with pytest.raises(WarehouseError, match="0001_tables was edited"):
        migrate(warehouse, folder)
    assert "more" not in objects(warehouse)


@pytest.mark.parametrize(
    ("name", "message"),
    [("9999_gap.sql", "numbered"), ("0002_double.sql", "numbered"), ("3_short.sql", "named like")],
)
def test_misnumbered_migrations_are_refused(folder: Path, name: str, message: str) -> None:
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(WarehouseError, match=message):
        available_migrations(folder)


def test_the_same_schema_from_two_files_has_the_same_digest(tmp_path: Path) -> None:
    digests = set()
    for name in ("a.duckdb", "b.duckdb"):
        with open_warehouse(tmp_path / name) as connection:
            digests.add(content_digest(connection))
    assert len(digests) == 1


def test_a_refused_file_is_closed_again(writer_path: Path) -> None:
    with open_warehouse(writer_path) as connection:
        connection.execute("UPDATE schema_migrations SET checksum = 'x' WHERE version = 1")
    with pytest.raises(WarehouseError, match="was edited"):
        open_warehouse(writer_path)
    # Open in the other mode works only if the refused connection is gone.
    connect(writer_path, read_only=True).close()


def test_sql_is_found_installed_first_then_in_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "pigeon_rec" / "warehouse" / "sql_files.py"
    monkeypatch.setattr(sql_files, "__file__", str(module))
    with pytest.raises(WarehouseError, match="SQL files of pigeon_rec are missing"):
        sql_root()
    (tmp_path / "sql" / "migrations").mkdir(parents=True)
    assert sql_root() == tmp_path / "sql"
    (tmp_path / "pigeon_rec" / "_sql" / "migrations").mkdir(parents=True)
    assert sql_root() == tmp_path / "pigeon_rec" / "_sql"
