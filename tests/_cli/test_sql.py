"""`pigeon-rec sql` against a real, published and promoted DuckDB file."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from pigeon_rec.warehouse import NIGHT_SCHEMAS, NightRecords, open_warehouse, promote, publish

Pigeon = Callable[..., Any]


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory whose one night serves one picture to one user."""
    folder = tmp_path_factory.mktemp("var")
    png, key = picture(), "a" * 64
    rows: dict[str, list[dict[str, object]]] = {
        "assets": [
            {
                "asset_key": key,
                "user_id": "u1",
                "item_id": "noto/red-apple",
                "image": png,
                "image_uri": None,
                "format": "png",
                "width": 4,
                "height": 4,
                "image_sha256": hashlib.sha256(png).hexdigest(),
                "mask_ratio": 0.3,
                "seed": 0,
                "model_version": "m1",
                "history_ids": ["noto/pear"],
            }
        ],
        "run_assets": [
            {
                "user_id": "u1",
                "item_id": "noto/red-apple",
                "asset_key": key,
                "origin": "generated",
                "priority": 1.0,
            }
        ],
        "scores": [
            {"asset_key": key, "metric": name, "value": 0.25}
            for name in ("text_score", "history_score", "reference_score", "selection_score")
        ],
        "rejections": [],
        "problems": [],
    }
    frames = {n: pl.DataFrame(r, schema=NIGHT_SCHEMAS[n]) for n, r in rows.items()}
    night = NightRecords(dt.date(2026, 6, 1), "m1", "s1", 0, {}, planned=1, skipped=0, **frames)
    warehouse = folder / "warehouse"
    with open_warehouse(warehouse / "pigeon.duckdb") as connection:
        publish(connection, night)
    promote(warehouse / "pigeon.duckdb", warehouse / "serving.duckdb")
    return folder


def test_table_shows_pictures_by_their_size(pigeon: Pigeon, work_dir: Path) -> None:
    query = "SELECT item_id, image, score FROM served_assets WHERE user_id = 'u1'"
    outcome = pigeon("sql", query, "--work-dir", work_dir)
    assert outcome.code == 0
    header, _, row = outcome.out.rstrip("\n").split("\n")
    assert header.split() == ["item_id", "image", "score"]
    assert row.split("  ") == ["noto/red-apple", f"<{len(picture())} bytes>", "0.2500"]


def test_json_has_columns_and_rows(pigeon: Pigeon, work_dir: Path) -> None:
    query = "SELECT user_id, history_ids, logical_date FROM asset_for('u1', 'noto/red-apple')"
    outcome = pigeon("sql", query, "--work-dir", work_dir, "--json")
    assert json.loads(outcome.out) == {
        "columns": ["user_id", "history_ids", "logical_date"],
        "rows": [["u1", ["noto/pear"], "2026-06-01"]],
    }


def test_saved_query_takes_bound_values(pigeon: Pigeon, work_dir: Path) -> None:
    arguments = ["sql", "user_gallery", "--work-dir", str(work_dir), "--json", "--param"]
    assert len(json.loads(pigeon(*arguments, "user_id=u1").out)["rows"]) == 1
    # A value is never SQL: this names a user that does not exist.
    assert json.loads(pigeon(*arguments, "user_id=u1' OR '1'='1").out)["rows"] == []


@pytest.mark.parametrize(
    "query", ["SELECT nothing FROM nowhere", "user_gallery", "DROP TABLE runs"]
)
def test_what_duckdb_refuses_is_an_error_not_a_traceback(
    pigeon: Pigeon, work_dir: Path, query: str
) -> None:
    outcome = pigeon("sql", query, "--work-dir", work_dir, "--json")
    assert outcome.code == 5
    assert json.loads(outcome.out)["error"]["kind"] == "WarehouseError"


@pytest.mark.parametrize("name", ["coverage", "quality_by_day", "rejections_by_reason"])
def test_saved_queries_without_parameters_run(pigeon: Pigeon, work_dir: Path, name: str) -> None:
    outcome = pigeon("sql", name, "--work-dir", work_dir)
    assert outcome.code == 0
    assert "run_id" in outcome.out.split("\n")[0]
