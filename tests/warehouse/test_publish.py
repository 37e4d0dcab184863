from __future__ import annotations

import dataclasses
import datetime as dt
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import (
    NIGHT_SCHEMAS,
    NightRecords,
    WarehouseBusyError,
    connect,
    open_warehouse,
    publish,
)
from pigeon_rec.warehouse.sql_files import sql_text
from tests.warehouse.nights import (
    FIRST,
    SECOND,
    Pair,
    again,
    assets_of,
    contents,
    file_hash,
    key_of,
    night_of,
    run_assets_of,
    scores_of,
)

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")
# `pigeon_rec.warehouse.publish` is the function; its module has the same name.
publish_module = importlib.import_module("pigeon_rec.warehouse.publish")


def keys(connection: DuckDBPyConnection, table: str = "assets") -> set[str]:
    return {row[0] for row in connection.execute(f"SELECT asset_key FROM {table}").fetchall()}


def runs(connection: DuckDBPyConnection) -> list[dict[str, Any]]:
    columns = "run_id, planned, generated, reused, rejected, served, skipped"
    rows = connection.execute(f"SELECT {columns} FROM runs ORDER BY run_id").fetchall()
    return [dict(zip(columns.split(", "), row, strict=True)) for row in rows]


def test_a_night_is_written_whole(warehouse: DuckDBPyConnection) -> None:
    at = dt.datetime(2026, 6, 2, 2, 30, tzinfo=dt.UTC)
    night = night_of([ANN, BEN], rejected=[CAT], problems=2)
    published = publish(warehouse, night, published_at=at)
    assert (published.changed, published.served, published.rejected) == (True, 2, 1)
    stored = warehouse.execute("SELECT * FROM runs").fetchall()
    assert stored == [
        (
            "2026-06-01",
            FIRST,
            "sticker-64@1",
            "5e77",
            7,
            '{"model":"sticker-64","plan":{"shards":4}}',
            3,
            2,
            0,
            1,
            2,
            3,
            published.content_sha256,
            at,
        )
    ]
    pictures = warehouse.execute(
        "SELECT asset_key, image, byte_size, history_ids, first_run_id FROM assets ORDER BY user_id"
    ).fetchall()
    assert pictures == [
        (row["asset_key"], row["image"], len(row["image"]), ["noto/cat", "noto/dog"], "2026-06-01")
        for row in night.assets.iter_rows(named=True)
    ]
    assert keys(warehouse, "asset_scores") == {key_of(ANN), key_of(BEN), key_of(CAT)}
    assert keys(warehouse, "rejections") == {key_of(CAT)}
    problems = warehouse.execute("SELECT run_id, subject FROM problems ORDER BY ALL").fetchall()
    assert problems == [("2026-06-01", "noto/0"), ("2026-06-01", "noto/1")]


def test_the_same_night_again_writes_nothing(writer_path: Path) -> None:
    night = night_of([ANN, BEN], rejected=[CAT], problems=3)
    with open_warehouse(writer_path) as connection:
        first = publish(connection, night)
        before = contents(connection)
    bytes_before = file_hash(writer_path)
    shuffled = dataclasses.replace(
        night,
        assets=night.assets.reverse(),
        run_assets=night.run_assets.reverse().select(sorted(night.run_assets.columns)),
        scores=night.scores.sample(fraction=1.0, shuffle=True, seed=1),
        problems=night.problems.reverse(),
        config=dict(reversed(list(night.config.items()))),
    )
    for repeated in (night, shuffled, again(night), again(shuffled)):
        with open_warehouse(writer_path) as connection:
            second = publish(connection, repeated)
            assert second == dataclasses.replace(first, changed=False)
            assert contents(connection) == before
        assert file_hash(writer_path) == bytes_before


def test_a_changed_night_replaces_its_own_rows_only(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, night_of([ANN, BEN], problems=2))
    publish(warehouse, night_of([CAT], date=SECOND, reused=[ANN]))
    second = {t: [r for r in rows if "2026-06-02" in r] for t, rows in contents(warehouse).items()}

    changed = publish(warehouse, night_of([ANN], rejected=[BEN]))

    assert changed.changed
    after = contents(warehouse)
    assert {t: [r for r in rows if "2026-06-02" in r] for t, rows in after.items()} == second
    assert keys(warehouse) == {key_of(ANN), key_of(CAT)}
    assert keys(warehouse, "asset_scores") == {key_of(ANN), key_of(BEN), key_of(CAT)}
    assert after["problems"] == []
    assert runs(warehouse)[0] == {
        "run_id": "2026-06-01",
        "planned": 2,
        "generated": 1,
        "reused": 0,
        "rejected": 1,
        "served": 1,
        "skipped": 3,
    }


def test_pictures_of_a_dropped_pair_are_removed_with_the_last_night(
    warehouse: DuckDBPyConnection,
) -> None:
    publish(warehouse, night_of([ANN, BEN]))
    publish(warehouse, night_of([], date=SECOND, reused=[ANN]))
    publish(warehouse, night_of([CAT]))
    assert keys(warehouse) == {key_of(ANN), key_of(CAT)}
    publish(warehouse, night_of([], date=SECOND))
    assert keys(warehouse) == keys(warehouse, "asset_scores") == {key_of(CAT)}


def test_a_reused_picture_is_stored_once(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, night_of([ANN]))
    published = publish(warehouse, night_of([BEN], date=SECOND, reused=[ANN]))
    assert (published.generated, published.reused) == (1, 1)
    origins = warehouse.execute(
        "SELECT r.run_id, r.user_id, r.origin, a.first_run_id FROM run_assets AS r "
        "JOIN assets AS a USING (asset_key) ORDER BY ALL"
    ).fetchall()
    assert origins == [
        ("2026-06-01", "ann", "generated", "2026-06-01"),
        ("2026-06-02", "ann", "reused", "2026-06-01"),
        ("2026-06-02", "ben", "generated", "2026-06-02"),
    ]


def test_new_bytes_under_a_key_replace_those_of_this_night_alone(
    warehouse: DuckDBPyConnection,
) -> None:
    publish(warehouse, night_of([ANN, BEN]))
    publish(warehouse, night_of([], date=SECOND, reused=[BEN]))
    published = publish(warehouse, night_of([ANN, BEN], salt="redrawn", shift=0.125))
    assert published.changed
    images = dict(warehouse.execute("SELECT user_id, image FROM assets").fetchall())
    redrawn = dict(assets_of([ANN], salt="redrawn").select("user_id", "image").iter_rows())
    shared = dict(assets_of([BEN]).select("user_id", "image").iter_rows())
    assert images == {**redrawn, **shared}
    scores = dict(
        warehouse.execute(
            "SELECT asset_key, value FROM asset_scores WHERE metric = 'text_score'"
        ).fetchall()
    )
    assert scores == {key_of(ANN): 0.25 + 0.125 + 0.1, key_of(BEN): 0.25 + 0.1}
    assert not publish(warehouse, night_of([ANN, BEN], salt="redrawn", shift=0.125)).changed


def test_two_users_may_share_a_key(warehouse: DuckDBPyConnection) -> None:
    night = night_of([ANN])
    shared = night.run_assets.with_columns(user_id=pl.lit("twin"))
    twins = dataclasses.replace(
        night,
        assets=pl.concat([night.assets, night.assets.with_columns(user_id=pl.lit("twin"))]),
        run_assets=pl.concat([night.run_assets, shared]),
        scores=pl.concat([night.scores, night.scores]),
    )
    assert publish(warehouse, twins).served == 2
    assert len(contents(warehouse)["assets"]) == 1
    assert warehouse.execute("SELECT user_id FROM served_assets ORDER BY 1").fetchall() == [
        ("ann",),
        ("twin",),
    ]


def test_a_night_without_pictures_leaves_the_last_ones_served(
    warehouse: DuckDBPyConnection,
) -> None:
    publish(warehouse, night_of([ANN]))
    publish(warehouse, night_of([], date=SECOND, rejected=[BEN], problems=1))
    assert [run["served"] for run in runs(warehouse)] == [1, 0]
    served = warehouse.execute("SELECT user_id, run_id FROM served_assets").fetchall()
    assert served == [("ann", "2026-06-01")]


Change = Callable[[NightRecords], NightRecords]


def without(column: str) -> Change:
    return lambda night: dataclasses.replace(night, assets=night.assets.drop(column))


def with_asset(**values: object) -> Change:
    columns = {name: pl.lit(value) for name, value in values.items()}
    return lambda night: dataclasses.replace(night, assets=night.assets.with_columns(**columns))


BROKEN: dict[str, tuple[Change, str]] = {
    "column missing": (without("seed"), r"columns missing: \['seed'\].*assets"),
    "column unknown": (with_asset(shard=3), r"columns unknown: \['shard'\]"),
    "wrong type": (with_asset(width="wide"), "wrong type"),
    "null": (with_asset(model_version=None), r"columns hold nulls: \['model_version'\]"),
    "hash": (with_asset(image_sha256="0" * 64), "damaged.*recorded SHA-256.*assets.image"),
    "size": (with_asset(width=5), r"damaged.*size \(4, 4\) is not the recorded \(5, 4\)"),
    "format": (with_asset(format="webp"), "damaged.*not a readable webp"),
    "unknown format": (with_asset(format="gif"), "damaged.*'gif' is not one of png, webp"),
    "not a number": (with_asset(mask_ratio=float("nan")), "no finite number.*assets.mask_ratio"),
    "no score": (
        lambda n: dataclasses.replace(n, scores=n.scores.clear()),
        "have no selection_score",
    ),
    "score of nothing": (
        lambda n: dataclasses.replace(n, scores=pl.concat([n.scores, scores_of([CAT])])),
        "neither served nor rejected",
    ),
    "infinite score": (
        lambda n: dataclasses.replace(n, scores=n.scores.with_columns(value=pl.lit(float("inf")))),
        "no finite number.*scores.value",
    ),
    "score twice": (
        lambda n: dataclasses.replace(
            n, scores=pl.concat([n.scores, n.scores.with_columns(value=pl.lit(0.9))])
        ),
        "more than once.*scores.asset_key",
    ),
    "picture twice": (
        lambda n: dataclasses.replace(
            n, assets=pl.concat([n.assets, assets_of([ANN], salt="other")])
        ),
        "more than once.*assets.asset_key",
    ),
    "pair twice": (
        lambda n: dataclasses.replace(n, run_assets=pl.concat([n.run_assets, n.run_assets])),
        "ann / noto/apple.*more than once.*run_assets",
    ),
    "origin": (
        lambda n: dataclasses.replace(
            n, run_assets=n.run_assets.with_columns(origin=pl.lit("found"))
        ),
        "found is not one of generated, reused",
    ),
    "unserved": (
        lambda n: dataclasses.replace(n, run_assets=n.run_assets.head(1)),
        "not served to any user",
    ),
    "unknown picture": (
        lambda n: dataclasses.replace(
            n, run_assets=pl.concat([n.run_assets, run_assets_of([], [CAT])])
        ),
        "1 served pictures are neither in this night nor in the warehouse",
    ),
    "served and rejected": (
        lambda n: dataclasses.replace(n, rejections=night_of(rejected=[ANN]).rejections),
        "both served and rejected",
    ),
    "pair served and rejected": (
        lambda n: dataclasses.replace(
            n, rejections=night_of(rejected=[ANN], version="v2").rejections
        ),
        "ann / noto/apple are both served and rejected",
    ),
    "negative count": (lambda n: dataclasses.replace(n, skipped=-1), "cannot be negative"),
    "config": (
        lambda n: dataclasses.replace(n, config={"work_dir": Path("var")}),
        r"not JSON.*model_dump\(mode='json'\)",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_night_leaves_the_tables_unchanged(warehouse: DuckDBPyConnection, case: str) -> None:
    publish(warehouse, night_of([ANN, BEN], rejected=[CAT], problems=2))
    before = contents(warehouse)
    change, message = BROKEN[case]
    for date in (FIRST, SECOND):
        bad = change(night_of([ANN, BEN], date=date))
        with pytest.raises(WarehouseError, match=f"(?s){message}") as caught:
            publish(warehouse, bad)
        assert date.isoformat() in str(caught.value.location) or case == "negative count"
        assert contents(warehouse) == before
    assert publish(warehouse, night_of([CAT], date=SECOND, version="v2")).changed


@pytest.mark.parametrize("statements", range(1, 32))
def test_an_exception_in_the_transaction_leaves_the_tables_unchanged(
    warehouse: DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, statements: int
) -> None:
    publish(warehouse, night_of([ANN, BEN], rejected=[CAT], problems=2))
    before = contents(warehouse)
    real, begins = publish_module.run_script, sql_text("publish/remove_night")

    def stops_early(connection: DuckDBPyConnection, sql: str, params: dict[str, object]) -> None:
        if not sql.startswith(begins):
            real(connection, sql, params)
            return
        parts = [statement.query for statement in connection.extract_statements(sql)]
        assert len(parts) == 32
        real(connection, "".join(parts[:statements]), params)
        assert contents(connection) != before
        raise RuntimeError("the machine is going down")

    with monkeypatch.context() as patched:
        patched.setattr(publish_module, "run_script", stops_early)
        with pytest.raises(RuntimeError, match="going down"):
            publish(warehouse, night_of([CAT], problems=1))
    assert contents(warehouse) == before
    assert publish(warehouse, night_of([CAT], problems=1)).changed


def test_an_sql_error_in_the_transaction_is_ours_and_changes_nothing(
    warehouse: DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(warehouse, night_of([ANN]))
    before = contents(warehouse)
    real = publish_module.sql_text
    monkeypatch.setattr(
        publish_module,
        "sql_text",
        lambda name: real(name) + ("SELECT error('disk');" if name.endswith("night") else ""),
    )
    with pytest.raises(WarehouseError, match="disk") as caught:
        publish(warehouse, night_of([BEN]))
    assert caught.value.location == "night 2026-06-01"
    assert contents(warehouse) == before


def test_a_second_writer_raises_and_changes_nothing(
    warehouse: DuckDBPyConnection, writer_path: Path
) -> None:
    publish(warehouse, night_of([ANN]))
    rival = connect(writer_path)
    rival.begin()
    rival.execute("DELETE FROM runs")
    before = contents(warehouse)
    with pytest.raises(WarehouseBusyError, match="another writer"):
        publish(warehouse, night_of([BEN]))
    rival.rollback()
    assert contents(warehouse) == before


def test_an_empty_night_is_a_night(warehouse: DuckDBPyConnection) -> None:
    published = publish(warehouse, night_of([]))
    assert published.changed
    assert runs(warehouse)[0]["served"] == 0
    assert not publish(warehouse, night_of([])).changed


def test_narrower_types_and_a_missing_uri_are_accepted(warehouse: DuckDBPyConnection) -> None:
    night = night_of([ANN])
    loose = dataclasses.replace(
        night,
        assets=night.assets.drop("image_uri").with_columns(
            pl.col("width", "height").cast(pl.UInt16), pl.col("mask_ratio").cast(pl.Float32)
        ),
        rejections=pl.DataFrame(schema=NIGHT_SCHEMAS["rejections"]),
    )
    assert publish(warehouse, loose).served == 1


def test_ids_may_be_any_text(warehouse: DuckDBPyConnection) -> None:
    strange: list[Pair] = [
        ("'; DROP TABLE runs; --", 'a"b'),
        ("$run_id", "%_\\"),
        ("", "\u2603 \U0001f40d"),
        ("a\nb", "a\tb"),
        ("nul\x00", "x"),
    ]
    publish(warehouse, night_of(strange))
    stored = warehouse.execute("SELECT user_id, item_id FROM served_assets").fetchall()
    assert sorted(stored) == sorted(strange)
    assert not publish(warehouse, again(night_of(strange))).changed
