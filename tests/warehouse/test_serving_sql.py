"""The views and macros inside the file, as any DuckDB client sees them."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import duckdb
import pytest
from duckdb import DuckDBPyConnection
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pigeon_rec.warehouse import open_warehouse, publish
from tests.warehouse.nights import FIRST, SECOND, Pair, assets_of, key_of, night_of

ANN, BEN = ("ann", "noto/apple"), ("ben", "noto/apple")
HOSTILE = (
    "o'brien",
    "' OR '1'='1",
    "'; DROP TABLE runs; --",
    '"quoted"',
    "user_id",
    "$user_id",
    "%",
    "\\",
    "",
    "\u2603",
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> DuckDBPyConnection:
    """A plain DuckDB client on a file with two nights; the older is published last."""
    path = tmp_path_factory.mktemp("w") / "pigeon.duckdb"
    hostile: list[Pair] = [(user, "noto/apple") for user in HOSTILE]
    with open_warehouse(path) as connection:
        longer = ("ann", "noto/red-apple")
        publish(connection, night_of([ANN, longer, *hostile], date=SECOND, rejected=[BEN]))
        publish(connection, night_of([BEN], date=FIRST, reused=[ANN]))
    return duckdb.connect(str(path), read_only=True)


def test_served_assets_has_the_promised_columns(client: DuckDBPyConnection) -> None:
    columns = client.execute("DESCRIBE served_assets").fetchall()
    assert [(name, kind) for name, kind, *_ in columns] == [
        ("user_id", "VARCHAR"),
        ("item_id", "VARCHAR"),
        ("image", "BLOB"),
        ("image_uri", "VARCHAR"),
        ("format", "VARCHAR"),
        ("score", "DOUBLE"),
        ("text_score", "DOUBLE"),
        ("history_score", "DOUBLE"),
        ("asset_key", "VARCHAR"),
        ("image_sha256", "VARCHAR"),
        ("model_version", "VARCHAR"),
        ("history_ids", "VARCHAR[]"),
        ("run_id", "VARCHAR"),
        ("logical_date", "DATE"),
    ]


def test_only_the_newest_night_is_served(client: DuckDBPyConnection) -> None:
    rows = client.execute("SELECT DISTINCT run_id, logical_date FROM served_assets").fetchall()
    assert rows == [("2026-06-02", SECOND)]
    found = client.execute("SELECT origin FROM asset_for('ben', 'noto/apple')").fetchall()
    assert found == [("unknown",)]


def test_the_queries_of_the_readme_give_decodable_pictures(client: DuckDBPyConnection) -> None:
    [row] = client.execute(
        "SELECT item_id, user_id, image, score FROM served_assets "
        "WHERE user_id = 'ann' AND item_id = 'noto/apple'"
    ).fetchall()
    assert row == ("noto/apple", "ann", assets_of([ANN])["image"][0], 0.375 + 0.1)
    with Image.open(io.BytesIO(row[2])) as image:
        assert image.size == (4, 4)


def test_asset_for_gives_the_one_pair(client: DuckDBPyConnection) -> None:
    by_name = "SELECT * FROM asset_for(item_id := 'noto/apple', user_id := 'ann')"
    [row] = client.execute("SELECT * FROM asset_for('ann', 'noto/apple')").fetchall()
    assert row[8] == key_of(ANN)
    assert row[5:8] == (0.375 + 0.1, 0.25 + 0.1, 0.5 + 0.1)
    assert row[-3:] == (dt.date(2026, 6, 2), "own", None)
    assert client.execute(by_name).fetchall() == [row]
    [swapped] = client.execute("SELECT * FROM asset_for('noto/apple', 'ann')").fetchall()
    assert [value for value in swapped if value is not None] == ["noto/apple", "ann", "unknown"]


def test_assets_for_user_come_best_first(client: DuckDBPyConnection) -> None:
    rows = client.execute("SELECT item_id, score FROM assets_for_user('ann')").fetchall()
    assert rows == [("noto/red-apple", 0.375 + 0.14), ("noto/apple", 0.375 + 0.1)]


@pytest.mark.parametrize("user", HOSTILE)
def test_macros_take_hostile_ids_as_values(client: DuckDBPyConnection, user: str) -> None:
    found = client.execute("SELECT user_id FROM asset_for($u, 'noto/apple')", {"u": user})
    assert found.fetchall() == [(user,)]
    literal = "'" + user.replace("'", "''") + "'"
    found = client.execute(f"SELECT user_id FROM assets_for_user({literal})")
    assert found.fetchall() == [(user,)]


@settings(max_examples=30, deadline=None)
@given(user=st.text(), item=st.text())
def test_macros_answer_any_text_and_find_nothing_for_unknown_one(
    client: DuckDBPyConnection, user: str, item: str
) -> None:
    served = user in (*HOSTILE, "ann") and item == "noto/apple"
    found = client.execute(
        "SELECT user_id, item_id, origin FROM asset_for(?, ?)", [user, item]
    ).fetchall()
    assert found == [(user, item, "own" if served else "unknown")]
    assert client.execute("SELECT count(*) FROM runs").fetchall() == [(2,)]


def test_the_macros_work_in_an_attached_file_that_is_in_use(
    client: DuckDBPyConnection, tmp_path: Path
) -> None:
    path = tmp_path / "pigeon.duckdb"
    with open_warehouse(path) as connection:
        publish(connection, night_of([ANN]))
    with duckdb.connect() as outer:
        outer.execute(f"ATTACH '{path}' AS visuals (READ_ONLY)")
        assert outer.execute("SELECT user_id FROM visuals.served_assets").fetchall() == [("ann",)]
        outer.execute("USE visuals")
        found = outer.execute("SELECT user_id FROM asset_for('ann', 'noto/apple')").fetchall()
        assert found == [("ann",)]


def test_quality_has_one_row_per_night(client: DuckDBPyConnection) -> None:
    rows = client.execute(
        "SELECT logical_date, generated, reused, rejected, served, users, items, "
        "round(rejection_rate, 4), round(mean_text_score, 4), round(median_score, 4), "
        "mean_reference_score FROM asset_quality_daily ORDER BY logical_date"
    ).fetchall()
    users = len(HOSTILE) + 1
    mean = (0.35 * users + 0.39) / (users + 1)
    assert rows == [
        (FIRST, 1, 1, 0, 2, 2, 1, 0.0, 0.35, 0.475, None),
        (SECOND, users + 1, 0, 1, users + 1, users, 2, 0.0769, round(mean, 4), 0.475, None),
    ]
