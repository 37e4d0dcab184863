from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import (
    NIGHT_SCHEMAS,
    ask,
    open_warehouse,
    promote,
    publish,
    query,
    query_names,
    served_assets,
    sql_root,
)
from tests.warehouse.exposures import add_exposures, exposures_of
from tests.warehouse.nights import FIRST, SECOND, file_hash, key_of, night_of

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")
PARAMS: Mapping[str, dict[str, object]] = {
    "ab_lift": {"treatment": "personalised", "control": "original"},
    "ab_split": {"experiment": "june", "share": 0.5},
    "user_gallery": {"user_id": "ann"},
    "policy_replay": {"policy": "personalised"},
    "policy_value": {"policy": "personalised"},
    "run_gallery": {"run_id": "2026-06-01"},
    "run_drawing_times": {"run_id": "2026-06-01"},
    "run_problems": {"run_id": "2026-06-01"},
    "run_rejections": {"run_id": "2026-06-01"},
    "run_scores": {"run_id": "2026-06-01"},
    "run_summary": {"run_id": "2026-06-01"},
}


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warehouse")
    with open_warehouse(folder / "pigeon.duckdb") as connection:
        first = night_of([ANN], rejected=[CAT], problems=2)
        times = pl.DataFrame([(0, 2, 1.5)], schema=NIGHT_SCHEMAS["drawing_times"], orient="row")
        publish(connection, dataclasses.replace(first, drawing_times=times))
        publish(connection, night_of([BEN], date=SECOND, reused=[ANN]))
    promote(folder / "pigeon.duckdb", folder / "serving.duckdb")
    add_exposures(folder, exposures_of("ann", clicked=[True, False]))
    return folder / "serving.duckdb"


def test_served_assets_come_by_user(link: Path) -> None:
    rows = served_assets(link)
    assert rows["user_id"].to_list() == ["ann", "ben"]
    assert rows.schema["image"] == pl.Binary
    assert rows.schema["history_ids"] == pl.List(pl.String)
    assert rows.schema["logical_date"] == pl.Date


def test_every_saved_query_answers_and_is_explained(link: Path) -> None:
    before = file_hash(link)
    for name in query_names():
        assert query(link, name, PARAMS.get(name)).height > 0, name
        text = (sql_root() / "queries" / f"{name}.sql").read_text()
        assert text.startswith("-- "), name
    assert file_hash(link) == before
    assert set(PARAMS) < set(query_names())


def test_a_users_gallery(link: Path) -> None:
    gallery = query(link, "user_gallery", {"user_id": "ann"})
    assert gallery.select("item_id", "score", "logical_date").rows() == [
        ("noto/apple", 0.475, SECOND)
    ]
    assert query(link, "user_gallery", {"user_id": "' OR 1=1 --"}).height == 0


def test_rejections_by_reason(link: Path) -> None:
    assert query(link, "rejections_by_reason").rows() == [(FIRST, "2026-06-01", "blank", 1, 0.5)]


def test_coverage(link: Path) -> None:
    rows = query(link, "coverage").select("run_id", "planned", "served", "served_share", "users")
    assert rows.rows() == [("2026-06-02", 2, 2, 1.0, 2), ("2026-06-01", 2, 1, 0.5, 1)]


def test_the_newest_night(link: Path) -> None:
    row = query(link, "night").select("logical_date", "generated", "reused", "served").rows()
    assert row == [(SECOND, 1, 1, 2)]


def test_a_picture_costs_what_its_night_spent(tmp_path: Path) -> None:
    path = tmp_path / "pigeon.duckdb"
    times = pl.DataFrame(
        {"shard": [0, 1], "assets": [1, 3], "seconds": [2.0, 4.0]},
        schema=NIGHT_SCHEMAS["drawing_times"],
    )
    night = night_of([ANN, CAT], rejected=[BEN])
    with open_warehouse(path) as connection:
        publish(connection, dataclasses.replace(night, drawing_times=times))
        publish(connection, night_of([], date=SECOND, reused=[ANN, CAT]))
    second, first = query(path, "cost_per_asset").to_dicts()
    assert (first["drawn"], first["served"], first["seconds"]) == (4, 2, 6.0)
    assert (first["seconds_per_drawn"], first["seconds_per_served"]) == (1.5, 3.0)
    assert first["new_bytes"] == sum(map(len, night.assets["image"]))
    assert (second["drawn"], second["served"], second["new_bytes"]) == (0, 2, 0)
    assert second["seconds_per_drawn"] is None


def test_the_worst_rejections_come_first(tmp_path: Path) -> None:
    path = tmp_path / "pigeon.duckdb"
    night = night_of([ANN], rejected=[BEN, CAT])
    worse = pl.when(pl.col("asset_key") == key_of(CAT)).then(-0.5).otherwise(pl.col("value"))
    with open_warehouse(path) as connection:
        publish(
            connection, dataclasses.replace(night, scores=night.scores.with_columns(value=worse))
        )
        publish(connection, night_of([], date=SECOND, rejected=[ANN], version="v2"))
    found = query(path, "worst_rejections").select("logical_date", "user_id", "score").rows()
    assert [row[:2] for row in found] == [(SECOND, "ann"), (FIRST, "cat"), (FIRST, "ben")]
    assert found[1][2] == -0.5 < found[2][2]


def test_an_ab_split_is_the_same_every_night(tmp_path: Path) -> None:
    path = tmp_path / "pigeon.duckdb"
    users = [f"user-{number}" for number in range(400)]

    def arms(share: object, experiment: str = "june") -> dict[str, str]:
        rows = query(path, "ab_split", {"experiment": experiment, "share": share})
        return dict(rows.select("user_id", "arm").iter_rows())

    with open_warehouse(path) as connection:
        publish(connection, night_of([(user, "noto/apple") for user in users]))
    half = arms(0.5)
    assert sorted(half) == sorted(users)
    shown = {user for user, arm in half.items() if arm == "personalised"}
    assert 150 < len(shown) < 250
    # Computed independently: the split must not change with a release of DuckDB or of ours.
    for user in users:
        lower = hashlib.md5(f"june:{user}".encode(), usedforsecurity=False).digest()[8:]
        place = int.from_bytes(lower, "little") % 1_000_000 / 1_000_000
        assert (half[user] == "personalised") == (place < 0.5), user
    with open_warehouse(path) as connection:
        night = night_of([(user, "noto/pear") for user in [*users[:200], "new"]], date=SECOND)
        publish(connection, night)
    tomorrow = arms("0.5")
    assert {user: half[user] for user in users[:200]} == {u: tomorrow[u] for u in users[:200]}
    # A larger share keeps everyone who was in; another experiment splits differently.
    more = {user for user, arm in arms(0.8).items() if arm == "personalised"}
    assert shown & set(users[:200]) < more
    assert arms(0.5, "july") != tomorrow
    assert set(arms(1).values()) == {"personalised"}
    assert set(arms(0).values()) == {"original"}


def test_best_assets_shows_no_bytes(link: Path) -> None:
    rows = query(link, "best_assets")
    assert rows["user_id"].to_list() == ["ann", "ben"]
    assert pl.Binary not in rows.dtypes


def test_one_run_is_reported_whole(link: Path) -> None:
    run = {"run_id": "2026-06-01"}
    assert query(link, "run_summary", run)["served"].to_list() == [1]
    assert query(link, "run_gallery", run)["asset_key"].to_list() == [key_of(ANN)]
    assert query(link, "run_rejections", run)["reason"].to_list() == ["blank"]
    assert query(link, "run_problems", run)["subject"].to_list() == ["noto/0", "noto/1"]
    scores = query(link, "run_scores", run)
    assert scores["outcome"].to_list() == ["rejected"] * 3 + ["served"] * 3


def test_ask_takes_a_name_or_sql(link: Path) -> None:
    assert ask(link, "coverage").equals(query(link, "coverage"))
    counted = ask(link, "SELECT count(*) AS n FROM runs WHERE run_id > $d", {"d": "2026-06-01"})
    assert counted.rows() == [(1,)]


@pytest.mark.parametrize(
    ("text", "params", "message"),
    [
        ("user_gallery", {}, r"takes the parameters \['user_id'\], received \[\]"),
        ("user_gallery", {"user": "a"}, r"received \['user'\]"),
        ("coverage", {"run_id": "x"}, r"takes the parameters \[\]"),
        ("SELECT 1; SELECT 2", {}, "expected one SQL statement, received 2"),
        ("", {}, "expected one SQL statement, received 0"),
        ("SELECT * FROM no_such_table", {}, "no_such_table"),
        ("SELEC 1", {}, "syntax error"),
        ("no_such_query", {}, "no saved query.*Saved queries: ab_lift, ab_split"),
        ("DROP TABLE runs", {}, "read-only"),
    ],
)
def test_wrong_queries_raise(
    link: Path, text: str, params: dict[str, object], message: str
) -> None:
    before = file_hash(link)
    with pytest.raises(WarehouseError, match=message):
        ask(link, text, params)
    assert file_hash(link) == before


@pytest.mark.parametrize("name", ["no_such_query", "../migrations/0001_tables", ""])
def test_only_saved_queries_have_names(link: Path, name: str) -> None:
    with pytest.raises(WarehouseError, match="no saved query") as caught:
        query(link, name)
    assert "coverage" in str(caught.value)


def test_a_missing_link_raises(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="there is no warehouse") as caught:
        query(tmp_path / "serving.duckdb", "coverage")
    assert caught.value.location == str(tmp_path / "serving.duckdb")


def test_a_reading_process_ends_quietly(link: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pigeon_rec.warehouse import query\n"
        "print(query(Path(sys.argv[1]), 'coverage').height)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(link)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("2\n", "")
