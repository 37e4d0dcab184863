"""Free SQL of a user: it reads the tables, and neither files, networks nor settings."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import (
    AssetReader,
    WarehouseBusyError,
    answer,
    ask,
    open_warehouse,
    promote,
    publish,
)
from tests.warehouse.nights import file_hash, night_of

ANN = ("ann", "noto/apple")
SECRET = "a secret of this machine"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A served warehouse beside a secret file and links to it; its name needs quoting."""
    folder = tmp_path_factory.mktemp("it's") / "warehouse"
    with open_warehouse(folder / "pigeon.duckdb") as connection:
        publish(connection, night_of([ANN]))
    promote(folder / "pigeon.duckdb", folder / "serving.duckdb")
    for name in ("secret.txt", "secret.csv", "secret.json"):
        (folder / name).write_text(f'"{SECRET}"\n')
    (folder / "link.txt").symlink_to("secret.txt")
    (folder / "snapshots" / "link.duckdb.wal").symlink_to("../secret.txt")
    shutil.copy(folder / "pigeon.duckdb", folder / "other.duckdb")
    return folder


READS = [
    "SELECT * FROM read_text('{folder}/secret.txt')",
    "SELECT * FROM read_text('{folder}/link.txt')",
    "SELECT * FROM read_text('{folder}/snapshots/link.duckdb.wal')",
    "SELECT * FROM read_text('{folder}/snapshots/../secret.txt')",
    "SELECT * FROM read_text('/proc/self/cwd{folder}/secret.txt')",
    "SELECT * FROM read_text('/proc/self/root{folder}/secret.txt')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_text('/proc/self/fd/{descriptor}')",
    "SELECT * FROM read_text('/dev/fd/{descriptor}')",
    "SELECT * FROM read_text('file://{folder}/secret.txt')",
    "SELECT content FROM read_blob('{folder}/secret.txt')",
    "SELECT content FROM read_blob('{served}')",
    "SELECT content FROM read_blob('{folder}/serving.duckdb')",
    "SELECT content FROM read_blob('{served}.wal')",
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM sniff_csv('{folder}/secret.csv')",
    "SELECT * FROM read_json('{folder}/secret.json')",
    "SELECT * FROM read_parquet('{folder}/secret.csv')",
    "SELECT * FROM parquet_metadata('{folder}/secret.csv')",
    "SELECT * FROM read_duckdb('{folder}/other.duckdb', table_name = 'runs')",
    "SELECT * FROM glob('{folder}/*')",
    "FROM '{folder}/secret.csv'",
    "FROM query('FROM read_text(''/proc/self/environ'')')",
    "FROM query_table('{folder}/secret.csv')",
    "SELECT getenv('HOME')",
    "SELECT * FROM read_csv('https://example.org/x.csv')",
    "SELECT * FROM read_text('s3://bucket/x')",
    "SELECT * FROM sqlite_scan('{folder}/other.duckdb', 'runs')",
]
CHANGES = [
    "COPY (SELECT 1) TO '{folder}/new.csv'",
    "COPY (SELECT 1) TO '{served}'",
    "COPY (SELECT 1) TO '{served}.wal'",
    "COPY runs FROM '{folder}/secret.csv'",
    "COPY FROM DATABASE warehouse TO memory",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{served}.wal'",
    "EXPORT DATABASE '{folder}/export'",
    "IMPORT DATABASE '{folder}/export'",
    "ATTACH '{folder}/other.duckdb' AS other",
    "ATTACH '{folder}/new.duckdb' AS other",
    "ATTACH ':memory:' AS other",
    "DETACH memory",
    "USE memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD json",
    "LOAD '{folder}/secret.txt'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "SET disabled_filesystems = ''",
    "SET VARIABLE x = 1",
    "PRAGMA enable_profiling",
    "CALL enable_logging()",
    "SELECT * FROM enable_logging(storage = 'file', storage_config = {{'path': '{folder}/log'}})",
    "SELECT * FROM enable_profiling(save_location = '{folder}/profile.json')",
    "CREATE SECRET s (TYPE s3)",
    "CREATE TABLE t (a INTEGER)",
    "CREATE TEMP TABLE t (a INTEGER)",
    "CREATE MACRO f(x) AS x",
    "INSERT INTO runs BY NAME SELECT * FROM runs",
    "UPDATE runs SET rejected = 5",
    "DELETE FROM runs",
    "BEGIN",
    "CHECKPOINT",
    "VACUUM",
]


@pytest.mark.parametrize("statement", [*READS, *CHANGES])
def test_a_query_reaches_nothing_but_the_tables(folder: Path, statement: str) -> None:
    served = (folder / "serving.duckdb").resolve()
    before = {path: file_hash(path) for path in folder.rglob("*") if path.is_file()}
    with (folder / "secret.txt").open("rb") as opened:
        names = {"folder": folder, "served": served, "descriptor": opened.fileno()}
        quoted = {name: str(value).replace("'", "''") for name, value in names.items()}
        with pytest.raises(WarehouseError) as caught:
            answer(folder / "serving.duckdb", statement.format(**quoted))
        with pytest.raises(WarehouseError):
            ask(folder / "serving.duckdb", statement.format(**quoted))
    assert SECRET not in str(caught.value)
    assert {path: file_hash(path) for path in folder.rglob("*") if path.is_file()} == before


def test_the_tables_are_read_in_every_form(folder: Path) -> None:
    link = folder / "serving.duckdb"
    assert answer(link, "SELECT origin FROM asset_for('ann', 'noto/apple')")[1] == [("own",)]
    assert answer(link, "FROM runs SELECT run_id")[1] == [("2026-06-01",)]
    assert answer(link, "VALUES (1); -- one")[1] == [(1,)]
    assert answer(link, "PIVOT runs ON run_id USING count(*)")[1][0][-1] == 1
    for text in ("SHOW TABLES", "DESCRIBE runs", "SUMMARIZE runs", "EXPLAIN FROM runs"):
        assert answer(link, text)[1], text
    ordered = answer(link, "SELECT range FROM range(300000) ORDER BY hash(range)")[1]
    assert ordered != sorted(ordered)
    with duckdb.connect() as plain:
        text = "SELECT range FROM range(300000) ORDER BY hash(range)"
        assert ordered == plain.execute(text).fetchall()


def test_a_large_query_leaves_no_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert answer(folder / "serving.duckdb", "SELECT count(DISTINCT range) FROM range(2000000)")[1]
    assert list(tmp_path.iterdir()) == []


def test_other_connections_of_the_process_keep_their_rights(folder: Path) -> None:
    link = folder / "serving.duckdb"
    with AssetReader(link) as reader, duckdb.connect(str(link.resolve()), read_only=True) as plain:
        assert answer(link, "SELECT 1")[1] == [(1,)]
        assert reader.get(*ANN) is not None
        found = plain.execute("SELECT content FROM read_text($file)", {"file": __file__}).fetchall()
        assert SECRET in found[0][0]


def test_a_warehouse_that_this_process_writes_is_busy(folder: Path) -> None:
    with open_warehouse(folder / "other.duckdb"):
        for attempt in (AssetReader, lambda path: answer(path, "SELECT 1")):
            with pytest.raises(WarehouseBusyError, match="in another mode"):
                attempt(folder / "other.duckdb")


def test_other_files_raise(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("no database " * 1000)
    (tmp_path / "lite").write_bytes(b"SQLite format 3\x00" + bytes(1000))
    duckdb.connect(str(tmp_path / "duck")).close()
    for name, message in (
        ("notes", "not a DuckDB file"),
        ("lite", "not a DuckDB file"),
        ("duck", "not a pigeon_rec warehouse"),
        ("none", "there is no warehouse"),
    ):
        with pytest.raises(WarehouseError, match=message):
            answer(tmp_path / name, "SELECT 1")


VALUES = [
    ("NULL", None),
    ("true", True),
    ("170141183460469231731687303715884105727::HUGEINT", 2**127 - 1),
    ("1.50::DECIMAL(9, 2)", "1.50"),
    ("INTERVAL 1 MONTH", "1 month"),
    ("[INTERVAL 1 MONTH, NULL]", ["1 month", None]),
    ("DATE '2026-06-01'", "2026-06-01"),
    ("'infinity'::DATE", "infinity"),
    ("'-infinity'::TIMESTAMP", "-infinity"),
    ("'infinity'::TIMESTAMPTZ", "infinity"),
    ("'infinity'::TIMESTAMP_NS", "infinity"),
    ("DATE '20000-01-01'", "20000-01-01"),
    ("DATE '5000-01-01 (BC)'", "5000-01-01 (BC)"),
    ("TIMESTAMP_NS '2026-06-01 00:00:00.123456789'", "2026-06-01 00:00:00.123456789"),
    ("TIME '24:00:00'", "24:00:00"),
    ("{'a \"b': ['infinity'::DATE], 'c': 1}", {'a "b': ["infinity"], "c": 1}),
    ("MAP {DATE 'infinity': INTERVAL 2 DAY}", {"infinity": "2 days"}),
    ("MAP {[1]: 1}", {"key": [[1]], "value": [1]}),
    ("[1, 2]::INTEGER[2]", [1, 2]),
    ("row(1, 2)", "(1, 2)"),
    ("union_value(k := DATE 'infinity')", "infinity"),
    ("'infinity'::DATE::VARIANT", "infinity"),
    ("'101'::BIT", "101"),
    ("'b'::ENUM ('a', 'b')", "b"),
    ("'{\"a\":1}'::JSON", '{"a":1}'),
    ("'POINT (1 2)'::GEOMETRY", "POINT (1 2)"),
    ("X'00FF'", b"\x00\xff"),
]


@pytest.mark.parametrize(("expression", "value"), VALUES)
def test_a_value_of_any_type_is_exact(folder: Path, expression: str, value: object) -> None:
    found = answer(folder / "serving.duckdb", f"SELECT {expression} AS a, {expression} AS a")
    assert found == (["a", "a"], [(value, value)])


@pytest.mark.parametrize(
    ("text", "params"), [("SELECT '\udc80'", {}), ("SELECT $a", {"a": "\udc80"})]
)
def test_bytes_that_are_no_text_raise(folder: Path, text: str, params: dict[str, object]) -> None:
    with pytest.raises(WarehouseError, match="not text in UTF-8"):
        answer(folder / "serving.duckdb", text, params)
