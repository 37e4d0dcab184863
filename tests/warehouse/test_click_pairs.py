"""Which two pictures of an item make a pair: one clicked, the other not, comparable users."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.errors import ConfigError, WarehouseError
from pigeon_rec.warehouse import open_warehouse, promote, publish
from pigeon_rec.warehouse.feedback import click_pairs
from tests.warehouse.exposures import NOON, add_exposures, exposures_of, numbered
from tests.warehouse.nights import assets_of, key_of, night_of

ITEM = "noto/apple"
ANN, BEN, CAT = ("ann", ITEM), ("ben", ITEM), ("cat", ITEM)


@pytest.fixture(params=["table", "file"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A promoted night with a picture of one item for each of three users."""
    images = "table" if request.param == "table" else f"file://{tmp_path}/pictures"
    with open_warehouse(tmp_path / "pigeon.duckdb") as connection:
        publish(connection, night_of([ANN, BEN, CAT]), images=images)
    promote(tmp_path / "pigeon.duckdb", tmp_path / "serving.duckdb")
    return tmp_path


def shown(user: str, key: str | None, clicked: bool, minute: int, **facts: object) -> pl.DataFrame:
    values = {"asset_key": key, "shown_at": NOON + dt.timedelta(minutes=minute), "cohort": "c"}
    return exposures_of(user, [clicked], **{**values, **facts})


def pairs(folder: Path, *rows: pl.DataFrame, limit: int = 9, **options: object) -> pl.DataFrame:
    add_exposures(folder, numbered(pl.concat(rows)))
    return click_pairs(folder / "serving.duckdb", limit=limit, **options)  # type: ignore[arg-type]


def test_a_clicked_picture_and_one_that_was_not(folder: Path) -> None:
    found = pairs(
        folder,
        shown("ann", key_of(ANN), True, 0),
        shown("ben", key_of(BEN), False, 1, propensity=0.25),
    )
    [row] = found.to_dicts()
    chosen, rejected = assets_of([ANN, BEN])["image"]
    assert (row["chosen_key"], row["rejected_key"]) == (key_of(ANN), key_of(BEN))
    assert (row["chosen_image"], row["rejected_image"]) == (chosen, rejected)
    assert (row["item_id"], row["user_id"], row["comparable"]) == (ITEM, "ann", "c")
    assert (row["history_ids"], row["chosen_ratio"]) == (["noto/cat", "noto/dog"], 0.3)
    assert row["weight"] == pytest.approx(2 * 4)


def test_users_of_other_cohorts_are_not_comparable(folder: Path) -> None:
    rows = (
        shown("ann", key_of(ANN), True, 0),
        shown("ben", key_of(BEN), False, 1, cohort="d"),
        shown("cat", key_of(CAT), False, 1, cohort=None),
    )
    assert pairs(folder, *rows).height == 0
    assert pairs(folder, *rows, within="user").height == 0


def test_the_same_user_on_different_days(folder: Path) -> None:
    rows = (
        shown("ann", key_of(BEN), False, -1440, cohort=None),
        shown("ann", key_of(ANN), True, 0, cohort=None),
    )
    found = pairs(folder, *rows, within="user")
    assert found.select("comparable", "chosen_key", "rejected_key").rows() == [
        ("ann", key_of(ANN), key_of(BEN))
    ]
    assert pairs(folder, *rows).height == 0


def test_after_the_first_click_nothing_counts(folder: Path) -> None:
    """A user who has seen the item need not click again."""
    rows = (
        shown("ann", key_of(ANN), True, 0),
        shown("ann", key_of(BEN), False, 1440),
    )
    assert pairs(folder, *rows, within="user").height == 0
    assert pairs(folder, *rows).height == 0


def test_a_picture_with_a_click_is_never_rejected(folder: Path) -> None:
    rows = (
        shown("ann", key_of(ANN), True, 0),
        shown("ben", key_of(BEN), False, 0),
        shown("cat", key_of(BEN), True, 0),
    )
    assert pairs(folder, *rows).height == 0


def test_the_original_may_be_rejected_and_is_never_chosen(folder: Path) -> None:
    found = pairs(
        folder,
        shown("ann", key_of(ANN), True, 0),
        shown("ben", None, False, 0, arm="original"),
        limit=9,
    )
    assert found.select("rejected_key", "rejected_image", "rejected_ratio").rows() == [(None,) * 3]
    add_exposures(folder, shown("cat", key_of(CAT), False, 0))
    add_exposures(folder, shown("eve", None, True, 0, arm="original"))
    found = click_pairs(folder / "serving.duckdb", limit=9)
    assert found["rejected_key"].to_list() == [key_of(CAT)]


def test_the_picture_shown_most_is_rejected_if_shown_enough(folder: Path) -> None:
    rows = [shown("ann", key_of(ANN), True, 0), shown("eve", key_of(BEN), False, 0)]
    rows += [shown("ben", key_of(CAT), False, minute) for minute in range(3)]
    found = pairs(folder, *rows)
    assert found.select("rejected_key", "rejected_shown").rows() == [(key_of(CAT), 3)]
    link = folder / "serving.duckdb"
    assert click_pairs(link, min_shown=3, limit=9).height == 1
    assert click_pairs(link, min_shown=4, limit=9).height == 0


def test_a_picture_that_has_gone_makes_no_pair(folder: Path) -> None:
    rows = (shown("ann", key_of(ANN), True, 0), shown("ben", key_of(BEN), False, 0))
    assert pairs(folder, *rows).height == 1
    with open_warehouse(folder / "pigeon.duckdb") as connection:
        publish(connection, night_of([ANN]))
    promote(folder / "pigeon.duckdb", folder / "serving.duckdb")
    assert click_pairs(folder / "serving.duckdb", limit=9).height == 0


def test_the_clearest_pairs_come_first(folder: Path) -> None:
    rows = [shown("ann", key_of(ANN), True, 0), shown("ben", key_of(BEN), False, 0)]
    rows += [shown("ann", key_of(ANN), True, 0, cohort="d", user_id="dan")]
    rows += [shown("eve", key_of(CAT), False, minute, cohort="d") for minute in range(5)]
    found = pairs(folder, *rows, limit=1)
    assert found["comparable"].to_list() == ["d"]


@pytest.mark.parametrize("options", [{"within": "town"}, {"min_shown": 0}, {"limit": 0}])
def test_wrong_options_are_refused(folder: Path, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="within a `user` or a `cohort`"):
        click_pairs(folder / "serving.duckdb", **{"limit": 1, **options})  # type: ignore[arg-type]


def test_without_exposures_there_are_no_pairs(folder: Path) -> None:
    with pytest.raises(WarehouseError, match="there are no exposures"):
        click_pairs(folder / "serving.duckdb", limit=1)
