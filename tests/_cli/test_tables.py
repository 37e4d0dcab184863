from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pigeon_rec.data.catalogue import load_catalogue
from tests.data.pictures import save_shop

EVENTS = "customer_id,sku,created_at,stars\n1,2,2026-05-30,5\n1,3,2026-05-30,2\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    save_shop(tmp_path)
    (tmp_path / "events.csv").write_text(EVENTS, encoding="utf-8")
    return tmp_path


def test_items_are_imported_and_what_is_refused_is_told(
    shop: Path, pigeon: Callable[..., Any]
) -> None:
    (shop / "photos" / "0.png").write_bytes(b"broken")
    options = ("--title", "brand", "--keep", "photo,brand", "--background", "#102030")
    ended = pigeon("import", "items", shop / "products.csv", *options, "--out", shop / "data")
    assert ended.code == 0
    assert "image_corrupt" in ended.out
    catalogue = load_catalogue(shop / "data" / "items.parquet")
    assert catalogue.items["title"].to_list()[:2] == ["brand 1", "brand 0"]
    assert catalogue.items["photo"].to_list()[0] == "photos/1.jpg"
    assert catalogue.background == "#102030"


def test_json_has_the_numbers(shop: Path, pigeon: Callable[..., Any]) -> None:
    arguments = ("--min-rating", "3", "--out", shop / "data", "--json")
    ended = pigeon("import", "interactions", shop / "events.csv", *arguments)
    facts = json.loads(ended.out)
    assert (facts["rows"], facts["kept"], facts["low_rated"]) == (2, 1, 1)
    assert facts["columns"] == "user: customer_id, item: sku, time: created_at, rating: stars"


def test_a_query_of_a_database(shop: Path, pigeon: Callable[..., Any]) -> None:
    database = shop / "shop.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE top AS SELECT 1 AS uid, 2 AS sku, 0.5 AS score")
    arguments = ("--query", "FROM top", "--database", database, "--out", shop / "data")
    assert pigeon("import", "recommendations", *arguments).code == 0
    rows = pl.read_parquet(shop / "data" / "recommendations.parquet").rows()
    assert rows == [("1", "2", 0.5)]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a.csv", "--query", "SELECT 1"),
        ("--query", "SELECT 1"),
        ("a.csv", "--database", "shop.duckdb"),
    ],
)
def test_either_a_file_or_a_query(
    shop: Path, pigeon: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    ended = pigeon("import", "items", *arguments, "--out", shop / "data")
    assert ended.code == 2
    assert "either a file, or --query and --database" in ended.err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--time-zone", "Mars/Olympus", "no time zone 'Mars/Olympus'"),
        ("--time-unit", "weeks", "time_unit"),
        ("--separator", "too long", "separator"),
    ],
)
def test_a_wrong_option_is_named(
    shop: Path, pigeon: Callable[..., Any], option: str, value: str, said: str
) -> None:
    source, out = shop / "events.csv", shop / "data"
    ended = pigeon("import", "interactions", source, option, value, "--out", out)
    assert ended.code == 2
    assert said in ended.err
    assert not out.exists()
