"""Erasing users: nothing of them is left in any file, and everything of others stays."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.opt_out import opt_out_file, read_opt_outs, user_digest
from pigeon_rec.errors import ConfigError, InteractionError
from pigeon_rec.inputs.exposures import import_exposures
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.nightly.report import report_night
from pigeon_rec.nightly.steps import erase
from pigeon_rec.runtime.lock import WorkDirBusyError, hold
from pigeon_rec.runtime.work_dir import feedback_file, serving_file, warehouse_file
from pigeon_rec.warehouse import ask, check_serving, check_warehouse, open_warehouse
from pigeon_rec.warehouse.erasure import Erased, erase_users
from pigeon_rec.warehouse.mirror import Mirror, mirror_of, mirror_served
from tests.nightly.made_night import NIGHT, MadeNight, Pair, write_catalogue

ADA, BOB, EVE = "user-ada-7f3c", "user-bob-19d2", "user-eve-55aa"
SHARE = """
INSERT INTO run_assets
SELECT run_id, $bob, 'flat/drum', asset_key, origin, priority
FROM run_assets WHERE user_id = $ada AND item_id = 'line/apple'
"""
NIGHTS = (NIGHT, NIGHT + dt.timedelta(days=1))


def night(date: dt.date, status: str = "generate") -> MadeNight:
    """Ada and Bob have pictures, Eve has none; all three have a cohort."""
    pairs = [
        Pair(user, item, status) for user in (ADA, BOB) for item in ("line/apple", "line/boat")
    ]
    pairs += [Pair(ADA, "line/cat", status, reason="off_target")]
    return MadeNight(
        pairs,
        date,
        skipped=[(EVE, "flat/cat", "short_history", "1 item"), (ADA, "flat/cat", "budget", "")],
        problems=[
            ("short_history", EVE, "interactions", "too few"),
            ("bad_interaction", "?", "row 2", f"the time is missing: user={ADA}, item=i"),
            ("bad_recommendation", f"{ADA} / line/cat", "row 1", "score is no number"),
        ],
        members={ADA: "cohort:0", BOB: "cohort:0", EVE: "cohort:1"},
    )


@pytest.fixture(params=["table", "file"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> NightlyConfig:
    """Two published nights with their run files, pictures in the table or beside it."""
    images = "table" if request.param == "table" else (tmp_path / "pictures").as_uri()
    config = NightlyConfig.model_validate(
        {
            "work_dir": tmp_path / "var",
            "catalogue": str(write_catalogue(tmp_path / "catalogue")),
            "warehouse": {
                "images": images,
                "mirror": "parquet",
                "mirror_address": (tmp_path / "mirror").as_uri(),
                "mirror_buckets": 2,
            },
        }
    )
    for date, status in zip(NIGHTS, ("generate", "reuse"), strict=True):
        night(date, status).write(config)
        publish_night(config, date)
        promote_night(config)
        report_night(config, date)
    show(config, tmp_path)
    left = config.work_dir / "recbole" / "run-1"
    left.mkdir(parents=True)
    (left / "data.inter").write_text(f"{ADA}\ti\t1\n", encoding="utf-8")
    inputs = config.work_dir / "inputs"
    inputs.mkdir()
    rows = pl.DataFrame({"user_id": [ADA, BOB], "item_id": ["i", "i"]})
    rows.write_parquet(inputs / "interactions.parquet")
    (inputs / "interactions.json").write_text(json.dumps({"example": f"user={ADA}, item=i"}))
    return config


def show(config: NightlyConfig, folder: Path) -> None:
    """Exposures of all three, and what a killed import has left."""
    shown = f"{NIGHTS[1]} 12:00:00"
    keys = pictures_of(config, ADA)["asset_key"]
    lines = [
        f"{ADA},{item},{key},personalised,0.5,{shown},1" for item, key in items_of(keys, config)
    ]
    lines += [f"{user},flat/cat,,original,0.5,{shown},0" for user in (ADA, BOB, EVE)]
    source = folder / "shown.csv"
    header = "user,item,asset_key,arm,propensity,time,clicked"
    source.write_text("\n".join([header, *lines]), encoding="utf-8")
    import_exposures(str(source), config)
    source.unlink()
    left = feedback_file(config.work_dir).with_name(".exposures.999999999.tmp")
    pl.DataFrame({"user_id": [ADA]}).write_parquet(left)


def items_of(keys: pl.Series, config: NightlyConfig) -> list[tuple[str, str]]:
    """Item and key of pictures."""
    query = (
        "SELECT item_id, asset_key FROM assets WHERE list_contains($keys, asset_key) ORDER BY ALL"
    )
    return ask(serving_file(config.work_dir), query, {"keys": keys.to_list()}).rows()


def forget(config: NightlyConfig, *users: str) -> Erased:
    images, mirror = config.warehouse.images, mirror_of(config.warehouse)
    return erase_users(config.work_dir, users, images=images, mirror=mirror)


def files_with(folder: Path, *words: bytes) -> list[str]:
    """Files that have one of the words in them or in their name."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and any(word in path.read_bytes() or word in os.fsencode(path.name) for word in words)
    ]


def pictures_of(config: NightlyConfig, user: str) -> pl.DataFrame:
    return ask(
        serving_file(config.work_dir),
        "SELECT asset_key, p.image_sha256, p.image, drawn_sha256 FROM served_assets AS p "
        "JOIN assets USING (asset_key) WHERE p.user_id = $user",
        {"user": user},
    )


def test_no_file_has_the_user_or_their_pictures(config: NightlyConfig, tmp_path: Path) -> None:
    theirs = pictures_of(config, ADA)
    columns = ("asset_key", "image_sha256", "drawn_sha256")
    hashes = [text.encode() for column in columns for text in theirs[column]]
    bytes_of = [data for data in theirs["image"] if data]
    assert files_with(tmp_path, ADA.encode())
    erased = forget(config, ADA)
    assert files_with(tmp_path, ADA.encode(), *hashes, *bytes_of) == []
    assert erased.rows == {
        "run_assets": 4, "rejections": 2, "plan_pairs": 4, "cohorts": 2, "problems": 4, "assets": 2,
        "exposures": 3,
    }  # fmt: skip


def test_no_table_has_a_row_of_the_user(config: NightlyConfig) -> None:
    """Stored text may be compressed, so a search of the file alone could miss it."""
    forget(config, ADA)
    for path in (warehouse_file(config.work_dir), serving_file(config.work_dir)):
        tables = ask(path, "SELECT table_name FROM information_schema.tables")["table_name"]
        assert len(tables) > 15
        for table in tables:
            query = f"SELECT count(*) FROM {table} AS r WHERE contains(to_json(r)::VARCHAR, $id)"
            assert ask(path, query, {"id": ADA}).item() == 0, table
    count = "SELECT count(*) FROM exposures AS r WHERE contains(to_json(r)::VARCHAR, $id)"
    for user, rows in ((ADA, 0), (BOB, 1)):
        assert ask(serving_file(config.work_dir), count, {"id": user}).item() == rows


def test_a_forgotten_user_is_not_imported_again(config: NightlyConfig, tmp_path: Path) -> None:
    forget(config, ADA)
    source = tmp_path / "again.csv"
    row = f"flat/cat,,original,0.5,{NIGHTS[1]} 12:00:00,0\n"
    source.write_text(
        f"user,item,asset_key,arm,propensity,time,clicked\n{ADA},{row}{BOB},{row}", encoding="utf-8"
    )
    found = import_exposures(str(source), config)
    source.unlink()
    assert (found.rows, found.known, found.added) == (1, 1, 0)
    assert files_with(tmp_path, ADA.encode()) == []


def test_their_pictures_are_still_known_as_generated_and_nothing_more(
    config: NightlyConfig,
) -> None:
    theirs, others = pictures_of(config, ADA), pictures_of(config, BOB)
    forget(config, ADA)
    serving = serving_file(config.work_dir)
    query = "SELECT * EXCLUDE (sha256) FROM is_generated($sha256)"
    for sha256, drawn in theirs.select("image_sha256", "drawn_sha256").iter_rows():
        found = ask(serving, query, {"sha256": sha256}).rows()
        assert found == [(True, "metadata", "model-1", None)]
        assert ask(serving, query, {"sha256": drawn}).rows() == [(True, None, "model-1", None)]
    for key, sha256 in others.select("asset_key", "image_sha256").iter_rows():
        found = ask(serving, query, {"sha256": sha256}).rows()
        assert found == [(True, "metadata", "model-1", key)]
    # Nothing in the list is a hash of theirs, or leads to them.
    columns = ask(serving, "DESCRIBE generated_pictures")["column_name"].to_list()
    assert columns == ["digest", "marking", "model_version"]


def test_everything_of_others_stays(config: NightlyConfig) -> None:
    before = pictures_of(config, BOB)
    forget(config, ADA)
    assert pictures_of(config, BOB).sort("asset_key").equals(before.sort("asset_key"))
    assert check_warehouse(warehouse_file(config.work_dir)).rows() == []
    assert check_serving(serving_file(config.work_dir)).rows() == []
    counts = "SELECT planned, generated, reused, rejected, served FROM runs ORDER BY logical_date"
    assert ask(serving_file(config.work_dir), counts).rows() == [(2, 2, 0, 0, 2), (2, 0, 2, 0, 2)]
    rows = pl.read_parquet(config.work_dir / "inputs" / "interactions.parquet")
    assert rows["user_id"].to_list() == [BOB]


def test_only_the_new_snapshot_is_left(config: NightlyConfig) -> None:
    erased = forget(config, ADA)
    assert erased.snapshots == 2
    snapshots = list((config.work_dir / "warehouse" / "snapshots").glob("*.duckdb"))
    assert snapshots == [serving_file(config.work_dir).resolve()]


def mirrored(folder: Path) -> pl.DataFrame:
    """All rows of the night that a mirror has, by its pointer."""
    pointer = json.loads((folder / "current.json").read_text("utf-8"))
    assert [str(p.relative_to(folder)) for p in folder.glob("date=*/version=*")] == [
        pointer["path"]
    ]
    return pl.read_parquet(folder / pointer["path"] / "served_assets", hive_partitioning=False)


def test_the_mirror_has_only_the_new_night(config: NightlyConfig, tmp_path: Path) -> None:
    hashes = pictures_of(config, ADA)["image_sha256"].to_list()
    assert len(list((tmp_path / "mirror").glob("date=*/version=*"))) == 2
    erased = forget(config, ADA)
    assert erased.mirrored == 2
    rows = mirrored(tmp_path / "mirror")
    assert set(rows["user_id"]) == {BOB}
    assert not set(rows["image_sha256"]) & set(hashes)
    for file in (tmp_path / "mirror").rglob("*.parquet"):
        # Columns are compressed, so a search of the files alone could miss an id.
        assert ADA not in str(pl.read_parquet(file, hive_partitioning=False).to_dicts())
    assert json.loads(erased.receipt.read_text("utf-8"))["mirrored"] == 2


def test_a_mirror_at_an_earlier_address_is_emptied(config: NightlyConfig, tmp_path: Path) -> None:
    files = warehouse_file(config.work_dir), serving_file(config.work_dir)
    mirror_served(*files, Mirror((tmp_path / "moved").as_uri(), 2))
    assert forget(config, ADA).mirrored == 3
    assert not (tmp_path / "moved").exists()
    assert set(mirrored(tmp_path / "mirror")["user_id"]) == {BOB}
    erase_users(config.work_dir, [BOB], images=config.warehouse.images)
    assert not (tmp_path / "mirror").exists()


def test_a_user_of_no_picture_is_erased_too(config: NightlyConfig, tmp_path: Path) -> None:
    forget(config, EVE, "unknown-user-1")
    assert files_with(tmp_path, EVE.encode()) == []
    assert pictures_of(config, ADA).height == 2


def test_a_picture_that_others_are_served_stays_under_their_name(config: NightlyConfig) -> None:
    with open_warehouse(warehouse_file(config.work_dir)) as connection:
        connection.execute(SHARE, {"ada": ADA, "bob": BOB})
    forget(config, ADA)
    shared = pictures_of(config, BOB)
    assert shared.height == 3
    owners = "SELECT DISTINCT user_id FROM assets"
    assert ask(serving_file(config.work_dir), owners).rows() == [(BOB,)]


def test_the_receipt_names_nobody(config: NightlyConfig) -> None:
    erased = forget(config, ADA, EVE)
    receipt = json.loads(erased.receipt.read_text("utf-8"))
    assert receipt["users"] == [user_digest(ADA), user_digest(EVE)]
    assert receipt["rows"]["assets"] == 2
    assert read_opt_outs(opt_out_file(config.work_dir)) == sorted(receipt["users"])


def test_it_can_be_repeated(config: NightlyConfig) -> None:
    first = forget(config, ADA)
    again = forget(config, ADA)
    assert again.rows == dict.fromkeys(first.rows, 0)
    assert again.receipt != first.receipt
    assert pictures_of(config, BOB).height == 2


def test_a_work_directory_without_a_warehouse(tmp_path: Path) -> None:
    erased = erase_users(tmp_path, [ADA])
    assert (erased.rows, erased.snapshots) == ({}, 0)
    assert read_opt_outs(opt_out_file(tmp_path)) == [user_digest(ADA)]


def test_the_exchange_is_cleaned(tmp_path: Path) -> None:
    exchange = tmp_path / "exchange"
    (exchange / "2026-06-01").mkdir(parents=True)
    (exchange / "2026-06-01" / "plan.parquet").write_bytes(ADA.encode())
    (tmp_path / "var").mkdir()
    erased = erase_users(tmp_path / "var", [ADA], exchange=exchange.as_uri())
    assert erased.files == 1
    assert files_with(tmp_path, ADA.encode()) == []


def test_nothing_is_done_without_a_user(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no user is named"):
        erase_users(tmp_path, [""])
    with pytest.raises(ConfigError, match="no such work directory"):
        erase_users(tmp_path / "no", [ADA])
    assert list(tmp_path.iterdir()) == []


def test_a_running_night_is_not_disturbed(tmp_path: Path) -> None:
    config = NightlyConfig(work_dir=tmp_path / "var")
    with hold(NightPaths.of(config, NIGHT), "plan"), pytest.raises(WorkDirBusyError):
        erase(None, config.work_dir, [ADA])
    assert not opt_out_file(config.work_dir).exists()


def test_a_damaged_list_stops_at_once(tmp_path: Path) -> None:
    opt_out_file(tmp_path).write_bytes(b"damaged")
    with pytest.raises(InteractionError, match="who has opted out"):
        erase_users(tmp_path, [ADA])


def test_the_command_prints_no_id(config: NightlyConfig, pigeon: Any, tmp_path: Path) -> None:
    listed = tmp_path / "users.txt"
    listed.write_text(f"{ADA}\n\n", encoding="utf-8")
    settings = tmp_path / "night.yaml"
    settings.write_text(
        f"work_dir: {config.work_dir}\nwarehouse: {config.warehouse.model_dump_json()}\n", "utf-8"
    )
    ended = pigeon("forget", EVE, "--users", listed, "--config", settings)
    assert ended.code == 0, ended.err
    assert "erased 2 users" in ended.out
    assert ADA not in ended.out + ended.err
    assert EVE not in ended.out + ended.err
    assert "Nothing of them" not in ended.out


def test_the_command_says_that_nothing_was_found(pigeon: Any, tmp_path: Path) -> None:
    ended = pigeon("forget", "nobody", "--work-dir", tmp_path)
    assert ended.code == 0, ended.err
    assert "Nothing of them was found: check the ids." in ended.out


def test_a_list_that_is_no_text_erases_nobody(pigeon: Any, tmp_path: Path) -> None:
    listed = tmp_path / "users.parquet"
    listed.write_bytes(b"PAR1\0\0ann\0PAR1")
    ended = pigeon("forget", "--users", listed, "--work-dir", tmp_path / "var")
    assert ended.code == 2
    assert "has control characters" in ended.err
    assert not (tmp_path / "var").exists()
