from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, load_config
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.opt_out import add_opt_outs, opt_out_file
from pigeon_rec.errors import CatalogueError, ConfigError, InteractionError
from pigeon_rec.inputs.prepare import import_problems, prepare_inputs
from tests.data.pictures import save_picture, save_shop
from tests.small_world import write_catalogue, write_interactions

EVENTS = "user,item,time\n1,1.0,2026-05-30\n1,2,2026-05-31\n2,99,never\n"


def shop(folder: Path, **settings: Any) -> NightlyConfig:
    """A night over `products.csv` and `events.csv` in one folder."""
    save_shop(folder)
    (folder / "events.csv").write_text(EVENTS, encoding="utf-8")
    return NightlyConfig.model_validate(
        {
            "catalogue": str(folder / "products.csv"),
            "interactions": str(folder / "events.csv"),
            "work_dir": folder / "var",
            **settings,
        }
    )


def test_raw_tables_are_imported_into_the_work_folder(tmp_path: Path) -> None:
    prepared = prepare_inputs(shop(tmp_path), refresh=True)
    inputs = tmp_path / "var" / "inputs"
    assert prepared.config.catalogue == str(inputs / "items.parquet")
    assert prepared.config.interactions == str(inputs / "interactions.parquet")
    assert prepared.imports["catalogue"]["items"] == 12
    assert pl.read_parquet(inputs / "interactions.parquet")["item_id"].to_list() == ["1", "2"]
    catalogue = load_catalogue(prepared.config.catalogue)
    assert catalogue.images(catalogue.item_ids)[1] == []


def test_a_folder_of_pictures_is_a_catalogue(tmp_path: Path) -> None:
    save_picture(tmp_path / "pictures" / "a.png")
    config = NightlyConfig(catalogue=str(tmp_path / "pictures"), work_dir=tmp_path / "var")
    prepared = prepare_inputs(config, refresh=True)
    assert load_catalogue(prepared.config.catalogue).item_ids == ["a"]


def test_tables_in_our_own_form_are_left_where_they_are(tmp_path: Path) -> None:
    config = NightlyConfig(
        catalogue=str(write_catalogue(tmp_path, 2)),
        interactions=str(write_interactions(tmp_path / "i.parquet", {"u": ["i00"]})),
        work_dir=tmp_path / "var",
    )
    timed = pl.read_parquet(config.interactions).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us"))
    )
    timed.write_parquet(config.interactions)
    prepared = prepare_inputs(config, refresh=True)
    assert prepared.config == config
    assert not (tmp_path / "var").exists()
    assert import_problems(config) == []


@pytest.mark.parametrize("name", ["bundled", "posters"])
def test_bundled_worlds_are_left_alone(tmp_path: Path, name: str) -> None:
    config = NightlyConfig(catalogue=name, interactions=name, work_dir=tmp_path)
    assert prepare_inputs(config, refresh=True).config == config


@pytest.mark.parametrize(
    "change",
    [
        pl.col("item_id").cast(pl.Categorical),
        pl.col("timestamp").cast(pl.Datetime("us")).dt.epoch("ms").alias("timestamp"),
        pl.col("timestamp").cast(pl.String),
    ],
)
def test_a_parquet_file_of_other_types_is_imported(tmp_path: Path, change: pl.Expr) -> None:
    path = write_interactions(tmp_path / "i.parquet", {"u": ["i00", "i01"]})
    before = pl.read_parquet(path)
    before.with_columns(change).write_parquet(path)
    config = NightlyConfig(interactions=str(path), work_dir=tmp_path / "var")
    rows = pl.read_parquet(prepare_inputs(config, refresh=True).config.interactions)
    assert rows["item_id"].to_list() == ["i00", "i01"]
    assert rows["timestamp"].dt.date().to_list() == before["timestamp"].dt.date().to_list()


def test_prepared_settings_need_no_preparation(tmp_path: Path) -> None:
    config = shop(tmp_path, columns={"items": {"title": "brand"}}, images={"folder": tmp_path})
    once = prepare_inputs(config, refresh=True)
    again = prepare_inputs(once.config, refresh=True)
    assert again.config == once.config
    assert again.imports == {}


def test_named_columns_and_kept_ones(tmp_path: Path) -> None:
    config = shop(
        tmp_path,
        columns={"items": {"title": "brand", "keep": ["photo"]}},
        recommender={"group_by": "name"},
    )
    items = load_catalogue(prepare_inputs(config, refresh=True).config.catalogue).items
    assert items["title"].to_list()[:2] == ["brand 0", "brand 1"]
    assert items["photo"].to_list()[0] == "photos/0.png"
    assert items["name"].to_list()[0] == "Ball 0"  # what the night itself needs is kept


def test_a_query_of_a_database_is_a_table(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE events AS SELECT 1 AS u, 2 AS i, TIMESTAMP '2026-05-30' t")
    (tmp_path / "night.yaml").write_text(
        "catalogue: products.csv\ninteractions: SELECT u, i, t FROM events\nwork_dir: var\n"
        "columns: {interactions: {database: shop.duckdb, user: u, item: i, time: t}}\n",
        encoding="utf-8",
    )
    save_shop(tmp_path)
    prepared = prepare_inputs(load_config(tmp_path / "night.yaml"), refresh=True)
    rows = pl.read_parquet(prepared.config.interactions)
    assert rows.rows() == [("1", "2", dt.datetime(2026, 5, 30, tzinfo=dt.UTC))]


def test_later_steps_read_what_the_first_one_prepared(tmp_path: Path) -> None:
    config = shop(tmp_path)
    first = prepare_inputs(config, refresh=True)
    (tmp_path / "events.csv").write_text("user,item,time\n7,7,2026-05-30\n", encoding="utf-8")
    (tmp_path / "products.csv").unlink()
    later = prepare_inputs(config, refresh=False)
    assert later == first
    assert pl.read_parquet(later.config.interactions)["user_id"].to_list() == ["1", "1"]


def test_a_refresh_reads_changed_tables_and_pictures(tmp_path: Path) -> None:
    config = shop(tmp_path)
    before = load_catalogue(prepare_inputs(config, refresh=True).config.catalogue)
    (tmp_path / "events.csv").write_text("user,item,time\n7,7,2026-05-30\n", encoding="utf-8")
    save_picture(tmp_path / "photos" / "0.png", "black", (7, 7))
    prepared = prepare_inputs(config, refresh=True).config
    assert pl.read_parquet(prepared.interactions)["user_id"].to_list() == ["7"]
    after = load_catalogue(prepared.catalogue)
    assert after.image_hashes(["0"]) != before.image_hashes(["0"])
    assert after.image_hashes(["1"]) == before.image_hashes(["1"])
    assert after.images(["0"])[1] == []


def test_an_unchanged_table_of_interactions_is_not_read_again(tmp_path: Path) -> None:
    config = shop(tmp_path)
    prepared = Path(prepare_inputs(config, refresh=True).config.interactions)
    written = prepared.stat().st_mtime_ns
    prepare_inputs(config, refresh=True)
    assert prepared.stat().st_mtime_ns == written
    other = shop(tmp_path, columns={"interactions": {"time_zone": "Asia/Tokyo"}})
    prepare_inputs(other, refresh=True)
    assert prepared.stat().st_mtime_ns != written


def test_what_an_import_left_out_is_a_problem_of_the_night(tmp_path: Path) -> None:
    config = shop(tmp_path)
    (tmp_path / "photos" / "0.png").write_bytes(b"broken")
    prepared = prepare_inputs(config, refresh=True)
    found = {(problem.kind, problem.subject) for problem in import_problems(prepared.config)}
    assert found == {("image_corrupt", "0"), ("bad_interaction", "?")}


def test_a_failed_import_keeps_the_tables_of_the_last_night(tmp_path: Path) -> None:
    config = shop(tmp_path)
    before = prepare_inputs(config, refresh=True)
    (tmp_path / "events.csv").write_text("user,item,time\n7,7,never\n", encoding="utf-8")
    with pytest.raises(InteractionError, match="none of 1 rows"):
        prepare_inputs(config, refresh=True)
    assert pl.read_parquet(before.config.interactions).height == 2


def test_a_damaged_note_is_written_again(tmp_path: Path) -> None:
    config = shop(tmp_path)
    prepare_inputs(config, refresh=True)
    (tmp_path / "var" / "inputs" / "items.json").write_text("[", encoding="utf-8")
    assert prepare_inputs(config, refresh=False).imports["catalogue"]["items"] == 12


def test_a_missing_table_is_an_error_of_its_reader(tmp_path: Path) -> None:
    config = NightlyConfig(catalogue=str(tmp_path / "no.csv"), work_dir=tmp_path / "var")
    with pytest.raises(CatalogueError, match=r"no\.csv"):
        load_catalogue(prepare_inputs(config, refresh=True).config.catalogue)


@pytest.mark.parametrize("raw", [True, False])
def test_users_who_opted_out_are_in_no_prepared_table(tmp_path: Path, raw: bool) -> None:
    config = shop(tmp_path)
    top = pl.DataFrame({"user_id": ["1", "7"], "item_id": ["1", "2"], "score": [0.5, 0.4]})
    top.write_parquet(tmp_path / "top.parquet")
    changes: dict[str, Any] = {"recommendations": str(tmp_path / "top.parquet")}
    if not raw:
        rows = prepare_inputs(config, refresh=True).config.interactions
        changes["interactions"] = str(Path(rows).rename(tmp_path / "own.parquet"))
    config = config.model_copy(update=changes)
    add_opt_outs(opt_out_file(config.work_dir), ["2", "7"])
    prepared = prepare_inputs(config, refresh=True).config
    assert set(pl.read_parquet(prepared.interactions)["user_id"]) == {"1"}
    assert pl.read_parquet(prepared.recommendations)["user_id"].to_list() == ["1"]
    assert not any("user=2," in problem.message for problem in import_problems(prepared))
    add_opt_outs(opt_out_file(config.work_dir), ["1"])
    with pytest.raises(InteractionError, match="no rows"):
        prepare_inputs(config, refresh=True)


def test_users_of_a_bundled_world_may_opt_out(tmp_path: Path) -> None:
    add_opt_outs(opt_out_file(tmp_path), ["u00001"])
    prepared = prepare_inputs(NightlyConfig(work_dir=tmp_path), refresh=True).config
    users = set(pl.read_parquet(prepared.interactions)["user_id"])
    assert len(users) == 1999
    assert "u00001" not in users
    assert prepared.catalogue == "bundled"


@pytest.mark.parametrize(
    ("catalogue", "columns", "message"),
    [
        ("SELECT * FROM i", {}, "catalogue is a query, but of no database"),
        ("products.csv", {"items": {"database": "shop.duckdb"}}, "but is no query"),
    ],
)
def test_a_query_and_its_database_belong_together(
    tmp_path: Path, catalogue: str, columns: dict[str, Any], message: str
) -> None:
    config = NightlyConfig.model_validate(
        {"catalogue": catalogue, "columns": columns, "work_dir": tmp_path}
    )
    with pytest.raises(ConfigError, match=message):
        prepare_inputs(config, refresh=True)


def test_a_parquet_file_with_types_that_polars_lacks_is_imported(tmp_path: Path) -> None:
    table = tmp_path / "events.parquet"
    query = "SELECT 1 AS \"user\", 2 AS item, DATE '2026-05-30' AS time, INTERVAL 3 DAYS AS stay"
    duckdb.execute(f"COPY ({query}) TO '{table}' (FORMAT parquet)")
    config = NightlyConfig(interactions=str(table), work_dir=tmp_path / "var")
    assert prepare_inputs(config, refresh=True).imports["interactions"]["kept"] == 1
