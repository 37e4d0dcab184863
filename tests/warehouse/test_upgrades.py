"""Upgrades of warehouses of every earlier schema, with their nights and pictures."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.warehouse import (
    AssetReader,
    NightRecords,
    check_warehouse,
    connect,
    migrate,
    open_warehouse,
    promote,
    publish,
    schema_version,
    served_assets,
    sql_root,
)
from pigeon_rec.warehouse.migrations import available_migrations
from pigeon_rec.warehouse.publish import PublishedNight
from tests.warehouse.nights import (
    FIRST,
    SECOND,
    again,
    assets_of,
    contents,
    key_of,
    night_of,
    problems_of,
    scores_of,
)

ANN, BEN = ("ann", "noto/apple"), ("ben", "noto/apple")
NEWEST = len(available_migrations())

# The tables that every version has had; a night as the first version wrote it.
OLD_NIGHT = (
    "INSERT INTO runs VALUES ('2026-06-01', '2026-06-01', 'sticker-64@1', '5e77', 7, '{}', "
    "1, 1, 0, 0, 1, 0, 'c0ffee', '2026-06-02 02:30:00+00')",
    "INSERT INTO run_assets VALUES ('2026-06-01', 'ann', 'noto/apple', $key, 'generated', 0.5)",
    "INSERT INTO assets VALUES ($key, 'ann', 'noto/apple', $image, NULL, $sha256, 'png', 4, 4, "
    "octet_length($image), 0.3, 7, 'sticker-64@1', ['noto/cat', 'noto/dog'], '2026-06-01')",
    *(
        f"INSERT INTO asset_scores VALUES ($key, '{metric}', {value})"
        for _, metric, value in scores_of([ANN]).iter_rows()
    ),
)


UNDO_MARKS = (
    "DROP MACRO TABLE is_generated",
    "DROP TABLE generated_pictures",
    "ALTER TABLE assets DROP COLUMN marking",
    "ALTER TABLE assets DROP COLUMN drawn_sha256",
)


def migrations_until(version: int, folder: Path) -> Path:
    """A folder with the first migrations."""
    folder.mkdir(parents=True)
    for file in sorted((sql_root() / "migrations").glob("*.sql"))[:version]:
        shutil.copy(file, folder)
    return folder


def write_old(path: Path, version: int, folder: Path) -> None:
    """A warehouse as a release with this many migrations left it.

    Since version 8, published pictures are listed; the night is older than that.
    """
    [image], [sha256] = assets_of([ANN]).select("image", "image_sha256").get_columns()
    values = {"key": key_of(ANN), "image": image, "sha256": sha256}
    with connect(path) as connection:
        migrate(connection, migrations_until(min(version, 7), folder / "first"))
        for statement in OLD_NIGHT:
            named = {name: value for name, value in values.items() if f"${name}" in statement}
            connection.execute(statement, named)
        migrate(connection, migrations_until(version, folder / "all"))
        assert schema_version(connection) == version


@pytest.mark.parametrize("version", range(1, NEWEST))
def test_nights_of_every_version_are_served_on(
    writer_path: Path, serving: Path, tmp_path: Path, version: int
) -> None:
    writer_path.parent.mkdir()
    write_old(writer_path, version, tmp_path / "migrations")
    with open_warehouse(writer_path) as connection:
        assert schema_version(connection) == NEWEST
        if version < 3:
            # Served rows have a table of their own since version 3, filled by its migration.
            assert connection.execute("SELECT user_id FROM served_pairs").fetchall() == [("ann",)]
        published = publish(connection, night_of([BEN], date=SECOND, reused=[ANN]))
        assert (published.generated, published.reused) == (1, 1)
    promote(writer_path, serving)
    assert check_warehouse(writer_path).rows() == []
    served = served_assets(serving).select("user_id", "image", "score", "logical_date")
    old, new = assets_of([ANN, BEN])["image"]
    assert served.rows() == [("ann", old, 0.475, SECOND), ("ben", new, 0.475, SECOND)]
    with AssetReader(serving) as reader:
        asset = reader.get(*ANN)
        assert asset is not None
        assert (asset.origin, asset.image) == ("own", old)


@pytest.mark.parametrize("version", [1, 2])
def test_an_upgrade_alone_serves_the_old_night(
    writer_path: Path, tmp_path: Path, version: int
) -> None:
    writer_path.parent.mkdir()
    write_old(writer_path, version, tmp_path / "migrations")
    open_warehouse(writer_path).close()
    assert check_warehouse(writer_path).rows() == []
    rows = served_assets(writer_path).select("user_id", "logical_date").rows()
    assert rows == [("ann", FIRST)]


def publish_before_marks(connection: DuckDBPyConnection, night: NightRecords) -> PublishedNight:
    """Publishes into a warehouse of a version before 8, whose tables it has again afterwards."""
    connection.execute((sql_root() / "migrations" / "0008_marking.sql").read_text("utf-8"))
    published = publish(connection, night)
    for statement in UNDO_MARKS:
        connection.execute(statement)
    return published


def named_night(names: dict[str, str]) -> NightRecords:
    """A night with the names that migration 6 replaces, or with those that replace them."""
    kinds = ["bad_candidate", "duplicate_candidate", "image_missing"]
    kinds = [names.get(kind, kind) for kind in kinds]
    generation = {"reference_guidance": 2.5, "guidance_scale": 1.0, "temperature": 0.7}
    config = {
        names.get("candidates", "candidates"): 'the "candidates": of a user',
        "generation": {names.get(name, name): value for name, value in generation.items()},
        "recommender": {"weight_decay": 1e-05},
    }
    return dataclasses.replace(
        night_of([ANN], rejected=[BEN]),
        config=config,
        problems=problems_of(3).with_columns(kind=pl.Series(kinds)),
    )


NEW_NAMES = {
    "bad_candidate": "bad_recommendation",
    "duplicate_candidate": "duplicate_recommendation",
    "candidates": "recommendations",
    "reference_guidance": "language_guidance",
    "guidance_scale": "render_guidance",
}


def test_older_names_are_replaced_and_nothing_else(writer_path: Path, tmp_path: Path) -> None:
    old, new = named_night({}), named_night(NEW_NAMES)
    with connect(writer_path) as connection:
        migrate(connection, migrations_until(5, tmp_path / "migrations"))
        publish_before_marks(connection, old)
        before = contents(connection)
    with open_warehouse(writer_path) as connection:
        after = contents(connection)
        [(config,)] = connection.execute("SELECT config FROM runs").fetchall()
        assert json.loads(config) == new.config
        assert '"weight_decay":1e-05' in config
        kinds = connection.execute("SELECT kind FROM problems ORDER BY kind").fetchall()
        assert kinds == [("bad_recommendation",), ("duplicate_recommendation",), ("image_missing",)]
        for table in ("run_assets", "asset_scores", "rejections"):
            assert after[table] == before[table]
        # The stored bytes are the drawn ones, and have no mark.
        assert after["assets"] == [(*row, None, None) for row in before["assets"]]


def test_a_night_published_again_after_the_upgrade_changes_its_hash_only(
    writer_path: Path, tmp_path: Path
) -> None:
    with connect(writer_path) as connection:
        migrate(connection, migrations_until(5, tmp_path / "migrations"))
        first = publish_before_marks(connection, named_night({}))
    with open_warehouse(writer_path) as connection:
        upgraded = contents(connection)
        # The hash covers the names of the settings, so it differs once.
        second = publish(connection, again(named_night(NEW_NAMES)))
        assert second.changed
        assert second.content_sha256 != first.content_sha256
        assert (second.generated, second.rejected) == (first.generated, first.rejected) == (1, 1)
        published = contents(connection)
        assert {**published, "runs": None} == {**upgraded, "runs": None}
        assert not publish(connection, again(named_night(NEW_NAMES))).changed
    with open_warehouse(tmp_path / "new.duckdb") as connection:
        assert publish(connection, named_night(NEW_NAMES)).content_sha256 == second.content_sha256
    assert check_warehouse(writer_path).rows() == []
