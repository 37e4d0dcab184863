from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import ConfigError, PlanError
from pigeon_rec.inputs.check import InputCheck, check_inputs
from pigeon_rec.inputs.gate import GateCheck
from pigeon_rec.runtime.work_dir import gate_file
from tests.data.pictures import save_shop
from tests.small_world import write_catalogue, write_interactions

UNTIL = dt.datetime(2026, 6, 2, tzinfo=dt.UTC)


def shop(folder: Path, events: str, **settings: Any) -> NightlyConfig:
    save_shop(folder)
    (folder / "events.csv").write_text("user,item,time\n" + events, encoding="utf-8")
    return NightlyConfig.model_validate(
        {
            "catalogue": str(folder / "products.csv"),
            "interactions": str(folder / "events.csv"),
            "work_dir": folder / "var",
            **settings,
        }
    )


def events_of(users: int, items: int) -> str:
    return "".join(
        f"{user},{item},2026-05-{item + 1:02d}\n" for user in range(users) for item in range(items)
    )


def levels(check: InputCheck) -> dict[str, str]:
    """The first words of each finding, with its level."""
    return {" ".join(found.finding.split()[:3]): found.level for found in check.findings}


def test_numbers_of_a_sound_shop(tmp_path: Path) -> None:
    plan = {"max_assets": 100, "max_assets_per_user": 2, "min_interactions": 5}
    check = check_inputs(shop(tmp_path, events_of(3, 6) + "9,1,2026-05-01\n", plan=plan), UNTIL)
    assert (check.items, check.interactions, check.users) == (12, 19, 4)
    assert (check.users_with_history, check.reachable_users) == (3, 3)
    assert (check.unknown_share, check.recommendations) == (0.0, None)
    assert check.first == dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    assert check.last == dt.datetime(2026, 5, 6, tzinfo=dt.UTC)
    assert (check.estimate.pictures, check.estimate.image_size) == (6, 64)
    assert check.estimate.megabytes > 0
    check.raise_errors()
    json.dumps(check.as_json())


def test_interactions_after_the_date_do_not_count(tmp_path: Path) -> None:
    config = shop(tmp_path, events_of(2, 6) + "7,1,2026-06-02\n")
    assert check_inputs(config, UNTIL).users == 2


def test_ids_that_do_not_meet_are_an_error_with_examples(tmp_path: Path) -> None:
    config = shop(tmp_path, "u,sku-1,2026-05-30\n")
    check = check_inputs(config, UNTIL)
    assert check.unknown_share == 1.0
    with pytest.raises(PlanError, match=r"no interaction names an item.*'sku-1'.*'0', '1', '2'"):
        check.raise_errors()


def test_a_date_before_all_interactions_is_told(tmp_path: Path) -> None:
    check = check_inputs(shop(tmp_path, events_of(2, 6)), dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    with pytest.raises(PlanError, match="no interactions before 2020-01-01"):
        check.raise_errors()


def test_too_few_items_of_every_user_are_an_error(tmp_path: Path) -> None:
    check = check_inputs(shop(tmp_path, events_of(2, 3)), UNTIL)
    with pytest.raises(PlanError, match="no user has 5 different items"):
        check.raise_errors()


def test_many_unknown_items_are_a_warning(tmp_path: Path) -> None:
    unknown = "".join(f"0,x{number},2026-05-30\n" for number in range(6))
    check = check_inputs(shop(tmp_path, events_of(1, 6) + unknown), UNTIL)
    assert check.unknown_share == 0.5
    assert levels(check)["6 interactions name"] == "warning"


@pytest.mark.parametrize(
    ("rows", "level"), [("0,sku-1,0.5\n", "error"), ("0,1,0.5\n0,sku-1,0.4\n", "warning")]
)
def test_recommendations_of_other_ids(tmp_path: Path, rows: str, level: str) -> None:
    top = tmp_path / "top.csv"
    top.write_text("user,item,score\n" + rows, encoding="utf-8")
    config = shop(tmp_path, events_of(2, 6), recommendations=str(top))
    check = check_inputs(config, UNTIL)
    assert check.reachable_users == 1
    found = [found for found in check.findings if "recommendations name" in found.finding]
    assert [each.level for each in found] == [level]


def test_recommendations_of_other_users(tmp_path: Path) -> None:
    top = tmp_path / "top.csv"
    top.write_text("user,item,score\nu-0,1,0.5\n", encoding="utf-8")
    config = shop(tmp_path, events_of(2, 6), recommendations=str(top))
    said = r"no user of the recommendations has an interaction: .* 'u-0', and the interactions '0'"
    with pytest.raises(PlanError, match=said):
        check_inputs(config, UNTIL).raise_errors()


def test_pictures_of_a_catalogue_in_our_form_are_decoded(tmp_path: Path) -> None:
    items = write_catalogue(tmp_path, 8)
    (tmp_path / "images" / "i03.png").write_bytes(b"broken")
    rows = write_interactions(tmp_path / "i.parquet", {"u": [f"i0{number}" for number in range(7)]})
    config = NightlyConfig(catalogue=str(items), interactions=str(rows), work_dir=tmp_path / "var")
    check = check_inputs(config, UNTIL)
    assert check.pictures_read == 8
    assert check.problems == {"image_hash": 1}
    assert levels(check)["1 of 8"] == "warning"
    for picture in (tmp_path / "images").iterdir():
        picture.unlink()
    with pytest.raises(PlanError, match="none of 8 pictures can be used; the first"):
        check_inputs(config, UNTIL).raise_errors()


def test_a_placeholder_is_named(tmp_path: Path) -> None:
    config = shop(tmp_path, events_of(2, 6))
    photos = sorted((tmp_path / "photos").iterdir())
    for photo in photos[:6]:
        photo.write_bytes(photos[0].read_bytes())
    findings = [found.finding for found in check_inputs(config, UNTIL).findings]
    assert any("placeholder" in finding for finding in findings)


def test_what_the_imports_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    config = shop(tmp_path, events_of(2, 6) + "1,2,never\n1,,2026-05-01\n1,77,2026-05-01\n")
    (tmp_path / "photos" / "11.gif").unlink(missing_ok=True)
    table = tmp_path / "products.csv"
    table.write_text(table.read_text("utf-8") + "0,Again,photos/0.png,brand 0\n", "utf-8")
    assert check_inputs(config, UNTIL).problems == {
        "bad_interaction": 2,
        "duplicate_item": 1,
        "image_missing": 1,
        "unknown_item": 1,
    }


def test_items_without_words_are_a_warning(tmp_path: Path) -> None:
    wordless = "no column with"
    config = shop(tmp_path, events_of(2, 6))
    assert wordless not in levels(check_inputs(config, UNTIL))
    table = tmp_path / "products.csv"
    table.write_text(table.read_text("utf-8").replace("sku,name,", "sku,x,"), "utf-8")
    assert levels(check_inputs(config, UNTIL))[wordless] == "warning"
    folder = {"catalogue": str(tmp_path / "photos")}  # names of files are words
    assert wordless not in levels(check_inputs(config.model_copy(update=folder), UNTIL))


def test_a_scenario_that_the_catalogue_cannot_fill_stops_at_once(tmp_path: Path) -> None:
    scenario = tmp_path / "shop.yaml"
    scenario.write_text(
        "task: Draw it.\ninput: 'Input:'\ntarget: 'Show {colour}.'\nresponse: 'Response:'\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match="colour"):
        check_inputs(shop(tmp_path, events_of(2, 6), scenario=str(scenario)), UNTIL)


def test_the_bundled_night_has_no_findings(tmp_path: Path) -> None:
    check = check_inputs(NightlyConfig(work_dir=tmp_path), UNTIL)
    assert check.findings == []
    assert check.estimate.pictures == 720
    assert check.gate == GateCheck("default", 0.02, None, 0, None, None, None)
    assert not gate_file(tmp_path).exists()


def test_a_night_that_cannot_be_signed_here_is_a_warning(tmp_path: Path) -> None:
    """Another machine may publish, and have the key."""
    files = {"certificate": tmp_path / "chain.pem", "key": tmp_path / "key.pem"}
    config = shop(tmp_path, events_of(3, 6), warehouse={"marking": "c2pa", **files})
    assert levels(check_inputs(config, UNTIL))["pictures cannot be"] == "warning"
