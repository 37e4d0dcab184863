"""Bad users, items, images and recommendations: skipped with a reason, or refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, PlanConfig
from pigeon_rec.errors import ConfigError, PlanError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import plan_night, recommend
from tests.nightly.plan.plans import (
    HISTORIES,
    ITEMS,
    USERS,
    planned,
    problems,
    run,
    skipped,
    with_recommendations,
)
from tests.small_world import NIGHT, PixelEncoder, write_interactions


def test_users_with_little_history_are_skipped_with_a_problem(
    config: NightlyConfig, tmp_path: Path
) -> None:
    histories = {**HISTORIES, "bea": ITEMS[:4], "dan": ["i00", "i01", "i00", "i01", "i00"]}
    write_interactions(Path(config.interactions), histories)
    rows = [*[(user, "i12", 1.0) for user in USERS], ("new", "i12", 1.0)]
    summary = run(with_recommendations(config, tmp_path, rows))
    assert summary.reasons == {"short_history": 3}
    assert skipped(config) == [
        ("bea", "i12", "short_history", "4 of 5 items with a usable image"),
        ("dan", "i12", "short_history", "2 of 5 items with a usable image"),
        ("new", "i12", "short_history", "0 of 5 items with a usable image"),
    ]
    found = [(kind, subject, location) for kind, subject, location, _ in problems(config)]
    assert found == [("short_history", user, config.interactions) for user in ("bea", "dan", "new")]


def test_unknown_items_are_skipped_with_a_problem(config: NightlyConfig, tmp_path: Path) -> None:
    frame = pl.read_parquet(config.interactions)
    strange = frame.head(1).with_columns(item_id=pl.lit("ghost"))
    pl.concat([frame, strange]).write_parquet(config.interactions)
    rows = [("ann", "i12", 1.0), ("ann", "yeti", 2.0), ("bea", "yeti", 2.0)]
    other = with_recommendations(config, tmp_path, rows)
    run(other)
    assert planned(other).select("user_id", "item_id").rows() == [("ann", "i12")]
    assert skipped(other) == [
        ("ann", "yeti", "unknown_item", "the item is not in the catalogue"),
        ("bea", "yeti", "unknown_item", "the item is not in the catalogue"),
    ]
    found = {(kind, subject): location for kind, subject, location, _ in problems(other)}
    assert found[("unknown_item", "yeti")] == other.recommendations
    assert found[("unknown_item", "ghost")].startswith(other.interactions)
    assert len(found) == 2


@pytest.mark.parametrize("cached_before", [False, True])
def test_broken_pictures_are_neither_reference_nor_history(
    config: NightlyConfig, tmp_path: Path, cached_before: bool
) -> None:
    if cached_before:
        run(config)
    (tmp_path / "images" / "i12.png").unlink()
    (tmp_path / "images" / "i03.png").write_bytes(b"no picture")
    run(config)
    plan = planned(config)
    assert "i12" not in plan["item_id"]
    assert "i03" not in plan["history_ids"].explode()
    assert plan.height == 6
    reasons = [(user, item, reason) for user, item, reason, _ in skipped(config)]
    assert reasons == [(user, "i12", "broken_image") for user in USERS]
    assert all("images/i12.png" in detail for *_, detail in skipped(config))
    assert sorted(subject for _, subject, _, _ in problems(config)) == ["i03", "i12"]


def test_broken_pictures_can_leave_a_user_with_too_little(
    config: NightlyConfig, tmp_path: Path
) -> None:
    for item in ITEMS[:4]:
        (tmp_path / "images" / f"{item}.png").unlink()
    run(config)
    assert {row[0]: row[3] for row in skipped(config)} == {
        "ann": "4 of 5 items with a usable image"
    }


def test_bad_rows_of_the_recommendations_are_among_the_problems(
    config: NightlyConfig, tmp_path: Path
) -> None:
    rows = [("ann", "i12", 1.0), ("ann", "i13", float("nan"))]
    other = with_recommendations(config, tmp_path, rows)
    run(other)
    assert problems(other) == [
        ("bad_recommendation", "ann / i13", f"{other.recommendations}, row 2", "score is no number")
    ]


def test_bad_items_and_interactions_are_problems_and_the_night_goes_on(
    config: NightlyConfig,
) -> None:
    items = pl.read_parquet(config.catalogue)
    bad = items[:2].with_columns(item_id=pl.lit(None, pl.String))
    pl.concat([bad, items, items[:1]]).write_parquet(config.catalogue)
    rows = pl.read_parquet(config.interactions)
    nobody = rows[:1].with_columns(user_id=pl.lit(None, pl.String))
    pl.concat([rows, nobody]).write_parquet(config.interactions)
    assert run(config).planned == 6
    assert [found[:2] for found in problems(config)] == [
        ("bad_interaction", "?"),
        ("bad_item", "?"),
        ("bad_item", "?"),
        ("duplicate_item", "i00"),
    ]


def test_a_pair_without_any_other_item_is_skipped(config: NightlyConfig, tmp_path: Path) -> None:
    write_interactions(Path(config.interactions), {"ann": ["i00"], "bea": ["i01"]})
    other = with_recommendations(config, tmp_path, [("ann", "i00", 1.0), ("bea", "i00", 1.0)])
    other = other.model_copy(update={"plan": PlanConfig(min_interactions=1)})
    run(other)
    assert planned(other)["history_ids"].to_list() == [["i01"]]
    assert skipped(other) == [("ann", "i00", "short_history", "no item but the reference itself")]


def test_an_empty_night_names_counts_and_reasons_and_leaves_no_plan(
    config: NightlyConfig, tmp_path: Path
) -> None:
    run(config)
    rows = [("ann", "yeti", 1.0), ("new", "i12", 1.0), ("new", "i13", 1.0)]
    other = with_recommendations(config, tmp_path, rows)
    with pytest.raises(
        PlanError,
        match=r"nothing to plan for 2026-06-01: 0 of 3 recommendations can be personalised "
        r"\(short_history 2, unknown_item 1\) \[recommendations of .*other\.parquet"
        r".*skipped\.parquet",
    ):
        run(other)
    paths = NightPaths.of(config, NIGHT)
    assert len(skipped(config)) == 3
    assert not paths.plan.exists()
    assert not paths.plan_info.exists()


def test_if_all_images_are_missing_that_is_said(config: NightlyConfig) -> None:
    for image in (Path(config.catalogue).parent / "images").iterdir():
        image.unlink()
    with pytest.raises(PlanError) as caught:
        run(config)
    assert "15 of 15 images cannot be used; the first, of i00: there is no such image file" in (
        caught.value.what
    )
    assert caught.value.remedy is not None
    assert "image_uri" in caught.value.remedy
    assert "min_interactions" not in str(caught.value)


def test_items_of_recommendations_that_no_catalogue_has_are_shown(
    config: NightlyConfig, tmp_path: Path
) -> None:
    other = with_recommendations(config, tmp_path, [("ann", "I12", 1.0), ("bea", "I13", 1.0)])
    with pytest.raises(
        PlanError, match="the recommendations name 'I12', 'I13', and the catalogue 'i12', 'i13'"
    ):
        run(other)


def test_users_of_recommendations_without_any_interaction_are_shown(
    config: NightlyConfig, tmp_path: Path
) -> None:
    other = with_recommendations(config, tmp_path, [("ANN", "i12", 1.0), ("BEA", "i12", 1.0)])
    with pytest.raises(
        PlanError, match="the recommendations name 'ANN', 'BEA', and the interactions 'ann', 'bea'"
    ):
        run(other)


def test_interactions_with_none_of_the_items_are_shown(config: NightlyConfig) -> None:
    frame = pl.read_parquet(config.interactions)
    frame.with_columns(pl.col("item_id") + ".0").write_parquet(config.interactions)
    with pytest.raises(PlanError, match=r"interactions name 'i00\.0', .* the catalogue 'i00', "):
        recommend(config.model_copy(update={"recommendations": "recbole"}), NIGHT)


def test_no_recommendations_at_all_is_an_error(config: NightlyConfig) -> None:
    run(config)
    paths = NightPaths.of(config, NIGHT)
    pl.read_parquet(paths.recommendations).clear().write_parquet(paths.recommendations)
    with pytest.raises(PlanError, match=r"0 recommendations.*recommendations\.parquet"):
        plan_night(config, NIGHT, encoder=PixelEncoder(), model_version="m")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a file of the night is missing"),
        (b"half a file", "cannot read a file"),
        (pl.DataFrame({"user_id": ["u"]}), "the recommendations have columns"),
    ],
)
def test_missing_or_damaged_recommendations_are_an_error(
    config: NightlyConfig, content: bytes | pl.DataFrame | None, message: str
) -> None:
    path = NightPaths.of(config, NIGHT).recommendations
    path.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        content.write_parquet(path)
    with pytest.raises(PlanError, match=rf"{message}.*nightly recommend"):
        plan_night(config, NIGHT, encoder=PixelEncoder(), model_version="m")


def test_an_unknown_scenario_stops_before_any_work(config: NightlyConfig) -> None:
    recommend(config, NIGHT)
    encoder = PixelEncoder()
    wrong = config.model_copy(update={"scenario": "opera"})
    with pytest.raises(ConfigError, match="no scenario 'opera'"):
        plan_night(wrong, NIGHT, encoder=encoder, model_version="m")
    assert encoder.encoded == 0


def test_embedded_images_are_reported_as_progress(config: NightlyConfig) -> None:
    heard: list[tuple[str, int, int]] = []

    def hear(label: str, done: int, total: int, **_: float) -> None:
        heard.append((label, done, total))

    run(config, progress=hear)
    assert heard == [("item images", 15, 15)]


def test_future_interactions_do_not_exist_yet(config: NightlyConfig, tmp_path: Path) -> None:
    run(config, NIGHT)
    before = planned(config)
    frame = pl.read_parquet(config.interactions)
    next_day = pl.lit(NIGHT + dt.timedelta(days=1)).cast(pl.Datetime("us", "UTC"))
    later = frame.head(1).with_columns(item_id=pl.lit("i15"), timestamp=next_day)
    pl.concat([frame, later]).write_parquet(config.interactions)
    run(config, NIGHT)
    assert planned(config).equals(before)


def with_pictures_of(config: NightlyConfig, copies: dict[str, str]) -> None:
    """Gives items the picture of another one."""
    items = pl.read_parquet(config.catalogue)
    facts = {row["item_id"]: row for row in items.to_dicts()}
    for item, other in copies.items():
        facts[item] |= {name: facts[other][name] for name in ("image_uri", "image_sha256")}
    pl.DataFrame(list(facts.values()), schema=items.schema).write_parquet(config.catalogue)


def test_equal_pictures_are_once_in_a_history(config: NightlyConfig) -> None:
    with_pictures_of(config, {"i04": "i03", "i05": "i03"})
    run(config)
    histories = planned(config)["history_ids"].to_list()
    assert histories
    assert all(len({"i03", "i04", "i05"} & set(items)) <= 1 for items in histories)
    # Of the three the user interacted with last.
    assert {item for items in histories for item in items} & {"i03", "i04", "i05"} == {"i05"}


def test_a_placeholder_is_in_no_history_and_not_redrawn(config: NightlyConfig) -> None:
    none_yet = ["i02", "i04", "i06", "i13", "i14"]
    with_pictures_of(config, dict.fromkeys(none_yet[1:], none_yet[0]))
    summary = run(config)
    assert summary.reasons == {"placeholder_image": 8}
    detail = "its picture is that of 5 items"
    assert ("ann", "i13", "placeholder_image", detail) in skipped(config)
    plan = planned(config)
    shown = {*plan["item_id"], *plan["history_ids"].explode()}
    assert plan.height
    assert not shown & set(none_yet)
    assert [row[:2] for row in problems(config)] == [("placeholder_image", "i02")]


def test_copies_and_placeholders_do_not_make_a_history_long_enough(config: NightlyConfig) -> None:
    histories = {**HISTORIES, "ann": ["i00", "i01", "i02", "i03", "i04", "i05"]}
    write_interactions(Path(config.interactions), histories)
    with_pictures_of(config, {"i05": "i04", "i03": "i04"})
    run(config)
    why = ("short_history", "4 of 5 items with a usable image")
    assert {row[2:] for row in skipped(config) if row[0] == "ann"} == {why}
