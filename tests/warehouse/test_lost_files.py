"""Files that are not ours, lost files and full disks: named, never overwritten, never half made."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import (
    WarehouseBusyError,
    driver_errors,
    known_assets,
    open_reader,
    open_warehouse,
    promote,
    publish,
)
from pigeon_rec.warehouse.models import serving_model
from pigeon_rec.warehouse.planning import drawing_times, refused_before
from tests.warehouse.nights import FIRST, night_of


def users(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute("SELECT user_id FROM served_assets ORDER BY user_id").fetchall()
    return [user for (user,) in rows]


@pytest.mark.parametrize("table", ["TABLE sales AS SELECT 1 AS amount", "VIEW v AS SELECT 1"])
def test_a_foreign_database_is_left_alone(tmp_path: Path, table: str) -> None:
    path = tmp_path / "sales.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE {table}")
    before = path.read_bytes()
    uses: tuple[Callable[[], object], ...] = (
        lambda: open_warehouse(path),
        lambda: promote(path, tmp_path / "serving.duckdb"),
        lambda: open_reader(path),
    )
    for use in uses:
        with pytest.raises(WarehouseError, match=r"not a pigeon_rec warehouse"):
            use()
    assert path.read_bytes() == before
    assert not (tmp_path / "serving.duckdb").exists()


@pytest.mark.parametrize("content", [b"no database", b"\x00" * 20_000, b"user_id:token\n" * 999])
def test_another_file_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pigeon.duckdb"
    path.write_bytes(content)
    with pytest.raises(WarehouseError, match="not a DuckDB file"):
        promote(path, tmp_path / "serving.duckdb")
    assert path.read_bytes() == content


def test_a_lost_warehouse_beside_its_snapshots_is_no_new_start(
    writer_path: Path, serving: Path
) -> None:
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of([("ann", "noto/apple")]))
    snapshot = promote(writer_path, serving)
    writer_path.unlink()
    uses: tuple[Callable[[], object], ...] = (
        lambda: open_warehouse(writer_path),
        lambda: open_warehouse(writer_path, create=False),
        lambda: promote(writer_path, serving),
        lambda: known_assets(writer_path, ["a"]),
        lambda: drawing_times(writer_path, before=FIRST),
        lambda: refused_before(writer_path, ["a"], before=FIRST, max_attempts=1),
        lambda: serving_model(writer_path),
    )
    for use in uses:
        with pytest.raises(WarehouseError, match="missing, although it has snapshots") as caught:
            use()
        assert not writer_path.exists()
    command = (caught.value.remedy or "").partition("Restore it: ")[2].partition(";")[0]
    assert command == f"install -m 644 {snapshot} {writer_path}"
    subprocess.run(shlex.split(command), check=True)
    with open_warehouse(writer_path) as connection:
        assert users(connection) == ["ann"]


CREATES = """
import resource, sys
from pathlib import Path
from pigeon_rec.warehouse import open_warehouse
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
try:
    open_warehouse(Path(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_disk_that_is_full_at_the_start_leaves_no_torn_warehouse(writer_path: Path) -> None:
    command = [sys.executable, "-c", CREATES, str(writer_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert said.startswith("WarehouseError ")
    assert str(writer_path.parent) in said
    assert [path.name for path in writer_path.parent.glob("*pigeon*")] == []
    with open_warehouse(writer_path) as connection:
        assert users(connection) == []


def test_a_full_disk_may_pass(writer_path: Path) -> None:
    text = 'Failed to commit: Could not write file "a.wal": No space left on device'

    def fails(kind: type[duckdb.Error]) -> None:
        with driver_errors(writer_path):
            raise kind(text)

    for kind in (duckdb.TransactionException, duckdb.IOException):
        with pytest.raises(WarehouseError, match="the disk is full") as caught:
            fails(kind)
        assert caught.value.retryable
        assert not isinstance(caught.value, WarehouseBusyError)
