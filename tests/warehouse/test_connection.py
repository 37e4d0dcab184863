from __future__ import annotations

import datetime as dt
import pickle  # noqa: TID251 - errors travel between worker processes
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import (
    WarehouseBusyError,
    connect,
    driver_errors,
    known_assets,
    open_reader,
    open_warehouse,
    transaction,
)

HOLDER = """
import sys, time
from pathlib import Path
from pigeon_rec.warehouse import open_warehouse
connection = open_warehouse(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def rows(connection: DuckDBPyConnection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT k FROM t ORDER BY k").fetchall()


@pytest.fixture
def table(tmp_path: Path) -> DuckDBPyConnection:
    connection = connect(tmp_path / "t.duckdb")
    connection.execute("CREATE TABLE t (k VARCHAR PRIMARY KEY)")
    return connection


def test_dates_do_not_depend_on_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    connection = connect(tmp_path / "t.duckdb")
    rows = connection.execute(
        "SELECT current_setting('TimeZone'), (TIMESTAMPTZ '2026-06-01 23:30:00+00')::DATE"
    ).fetchall()
    assert rows == [("UTC", dt.date(2026, 6, 1))]


def test_sql_never_reads_python_variables(table: DuckDBPyConnection) -> None:
    secrets = [1, 2, 3]
    with pytest.raises(duckdb.CatalogException):
        table.execute("SELECT * FROM secrets")
    assert secrets == [1, 2, 3]


def test_a_transaction_commits_at_its_end(table: DuckDBPyConnection) -> None:
    with transaction(table):
        table.execute("INSERT INTO t VALUES ('a')")
    assert rows(table) == [("a",)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_any_exception_rolls_back(table: DuckDBPyConnection, error: type[BaseException]) -> None:
    def fails() -> None:
        with transaction(table):
            table.execute("INSERT INTO t VALUES ('a')")
            raise error

    with pytest.raises(error):
        fails()
    assert rows(table) == []


def test_an_sql_error_rolls_back_and_leaves_the_connection_usable(
    table: DuckDBPyConnection,
) -> None:
    def fails() -> None:
        with driver_errors("a test"), transaction(table):
            table.execute("INSERT INTO t VALUES ('a')")
            table.execute("SELECT no_such_column FROM t")

    with pytest.raises(WarehouseError, match="DuckDB refused"):
        fails()
    assert rows(table) == []


def test_a_failing_commit_rolls_back(table: DuckDBPyConnection, tmp_path: Path) -> None:
    rival = connect(tmp_path / "t.duckdb")
    rival.begin()
    rival.execute("INSERT INTO t VALUES ('a')")

    def collides() -> None:
        with driver_errors("night 2026-06-01"), transaction(table):
            table.execute("INSERT INTO t VALUES ('a'), ('b')")
            rival.commit()

    with pytest.raises(WarehouseBusyError, match="another writer") as caught:
        collides()
    assert caught.value.retryable
    assert caught.value.location == "night 2026-06-01"
    assert isinstance(caught.value.__cause__, duckdb.TransactionException)
    assert rows(table) == [("a",)]
    with transaction(table):
        table.execute("INSERT INTO t VALUES ('c')")
    assert rows(table) == [("a",), ("c",)]


def test_a_locked_warehouse_names_file_holder_and_way_out(writer_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(writer_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for attempt in (open_warehouse, open_reader):
            with pytest.raises(WarehouseBusyError) as caught:
                attempt(writer_path)
            assert caught.value.what == f"the warehouse is locked by process {holder.pid}"
            assert caught.value.location == str(writer_path)
            assert "Wait until that run has ended" in str(caught.value)
            assert caught.value.retryable
            copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
            assert (type(copy), str(copy)) == (WarehouseBusyError, str(caught.value))
    finally:
        holder.kill()
        holder.wait()
    open_warehouse(writer_path).close()


def test_reading_what_this_process_writes_raises(writer_path: Path) -> None:
    with open_warehouse(writer_path), pytest.raises(WarehouseBusyError, match="in another mode"):
        open_reader(writer_path)


def test_a_missing_warehouse_raises(writer_path: Path) -> None:
    with pytest.raises(WarehouseError, match="there is no warehouse") as caught:
        open_reader(writer_path)
    assert caught.value.location == str(writer_path)
    assert not writer_path.parent.exists()
    assert known_assets(writer_path, ["a"]).height == 0


@pytest.mark.parametrize("open_it", [open_warehouse, open_reader])
def test_another_kind_of_file_raises(tmp_path: Path, open_it: object) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 1000)
    assert callable(open_it)
    with pytest.raises(WarehouseError, match="not a DuckDB file") as caught:
        open_it(path)
    assert caught.value.location == str(path)
    assert not caught.value.retryable


def test_a_database_of_another_program_raises(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    duckdb.connect(str(path)).close()
    with pytest.raises(WarehouseError, match="not a pigeon_rec warehouse"):
        open_reader(path)
    duckdb.connect(str(path)).close()


def test_a_folder_that_cannot_be_created_raises(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WarehouseError, match="cannot create the folder"):
        open_warehouse(tmp_path / "file" / "warehouse" / "pigeon.duckdb")


def test_older_duckdb_clients_read_the_file(writer_path: Path) -> None:
    open_warehouse(writer_path).close()
    # Bytes 12 to 20 of a DuckDB file are its storage version; 65 is that of DuckDB 1.2.
    assert int.from_bytes(writer_path.read_bytes()[12:20], "little") == 65
