"""The plan of a night: who gets what, reuse, limits, and everything that can be wrong with it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import GenerationConfig, NightlyConfig, PlanConfig, QualityGateConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.errors import ConfigError, PlanError
from pigeon_rec.nightly import plan as planning
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan.keys import settings_hash
from pigeon_rec.nightly.plan.night import PLAN_SCHEMA, PlanSummary, plan_night
from pigeon_rec.nightly.plan.recommendations import PROBLEM_SCHEMA, recommend
from pigeon_rec.runtime.digests import digest
from pigeon_rec.warehouse import NIGHT_SCHEMAS, NightRecords, open_warehouse, publish
from tests.small_world import NIGHT, PixelEncoder, png, write_catalogue, write_interactions

ITEMS = [f"i{number:02d}" for number in range(16)]
USERS = ("ann", "bea", "cem", "dan")
HISTORIES = {user: ITEMS[place : place + 8] for place, user in enumerate(USERS)}
REFERENCES = ITEMS[12:]


def write_recommendations(path: Path, rows: list[tuple[str, str, float]]) -> str:
    pl.DataFrame(rows, ["user_id", "item_id", "score"], orient="row").write_parquet(path)
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    """Four users of eight items each; the same four unseen items are proposed to everybody."""
    rows = [(user, item, -float(r)) for user in USERS for r, item in enumerate(REFERENCES)]
    return NightlyConfig(
        catalogue=str(write_catalogue(tmp_path, len(ITEMS))),
        interactions=str(write_interactions(tmp_path / "interactions.parquet", HISTORIES)),
        recommendations=write_recommendations(tmp_path / "top.parquet", rows),
        work_dir=tmp_path / "var",
        plan=PlanConfig(max_assets=6, max_assets_per_user=2, shards=3),
    )


def run(
    config: NightlyConfig, date: dt.date = NIGHT, version: str = "model-1", **kwargs: object
) -> PlanSummary:
    recommend(config, date)
    return plan_night(config, date, encoder=PixelEncoder(), model_version=version, **kwargs)  # type: ignore[arg-type]


def planned(config: NightlyConfig, date: dt.date = NIGHT) -> pl.DataFrame:
    return pl.read_parquet(NightPaths.of(config, date).plan)


def keys(config: NightlyConfig) -> dict[tuple[str, str], str]:
    columns = planned(config).select("user_id", "item_id", "asset_key").rows()
    return {(user, item): key for user, item, key in columns}


def skipped(config: NightlyConfig) -> list[tuple[str, ...]]:
    return pl.read_parquet(NightPaths.of(config, NIGHT).skipped).rows()


def problems(config: NightlyConfig) -> list[tuple[str, ...]]:
    frame = pl.read_parquet(NightPaths.of(config, NIGHT).problems)
    assert frame.schema == PROBLEM_SCHEMA
    return frame.rows()


def with_recommendations(
    config: NightlyConfig, tmp_path: Path, rows: list[tuple[str, str, float]]
) -> NightlyConfig:
    path = write_recommendations(tmp_path / "other.parquet", rows)
    return config.model_copy(update={"recommendations": path})


def test_a_plan_has_the_best_pairs_within_both_limits(config: NightlyConfig) -> None:
    summary = run(config)
    plan = planned(config)
    assert plan.schema == PLAN_SCHEMA
    assert plan.height == summary.planned == summary.generate == 6
    assert plan["priority"].to_list() == sorted(plan["priority"], reverse=True)
    assert plan.group_by("user_id").len()["len"].max() == 2
    assert summary.left_out == {"over_user_limit": 8, "over_budget": 2}
    assert (summary.recommendations, summary.skipped, summary.reuse) == (16, 0, 0)
    assert set(plan["model_version"]) == {"model-1"}
    assert set(plan["settings_hash"]) == {summary.settings_hash}


def test_histories_are_the_users_own_and_never_the_reference(config: NightlyConfig) -> None:
    run(config)
    for row in planned(config).iter_rows(named=True):
        assert len(row["history_ids"]) == len(row["history_scores"]) == 5
        assert set(row["history_ids"]) <= set(HISTORIES[row["user_id"]])
        assert row["item_id"] not in row["history_ids"]


def test_priority_is_rank_weight_times_what_is_to_gain(config: NightlyConfig) -> None:
    one = config.model_copy(update={"plan": PlanConfig(max_assets=100, max_assets_per_user=9)})
    run(one)
    catalogue = load_catalogue(config.catalogue)
    vectors = dict(
        zip(ITEMS, PixelEncoder().encode_images(catalogue.images(ITEMS)[0]), strict=True)
    )
    weights = {item: 1 / (1.0, 1.584963, 2.0, 2.321928)[r] for r, item in enumerate(REFERENCES)}
    for row in planned(one).iter_rows(named=True):
        cosines = [float(vectors[row["item_id"]] @ vectors[item]) for item in row["history_ids"]]
        expected = weights[row["item_id"]] * (1 - sum(cosines) / len(cosines))
        assert row["priority"] == pytest.approx(expected, abs=2e-6)


def test_shard_follows_from_the_key_and_sizes_are_told(config: NightlyConfig) -> None:
    summary = run(config)
    plan = planned(config)
    assert plan["shard"].to_list() == [int(key[:8], 16) % 3 for key in plan["asset_key"]]
    assert sum(summary.shard_sizes) == 6
    assert list(summary.shard_sizes) == [(plan["shard"] == n).sum() for n in range(3)]
    pairs = keys(config)
    run(config.model_copy(update={"plan": PlanConfig(max_assets=6, shards=7)}))
    assert keys(config) == pairs


def test_planning_twice_gives_the_same_files(config: NightlyConfig) -> None:
    paths = NightPaths.of(config, NIGHT)
    files = (paths.plan, paths.skipped, paths.problems, paths.plan_info)
    run(config)
    before = [file.read_bytes() for file in files]
    run(config)  # now with every embedding cached
    assert [file.read_bytes() for file in files] == before


def test_plan_json_is_the_summary(config: NightlyConfig) -> None:
    summary = run(config)
    info = json.loads(NightPaths.of(config, NIGHT).plan_info.read_text(encoding="utf-8"))
    assert info["pairs_sha256"] == summary.pairs_sha256
    assert info["reasons"] == {}
    assert (info["planned"], info["seed"], info["encoder_id"]) == (6, 0, "pixels-1")


def test_known_pictures_are_reused_without_changing_the_pairs(
    config: NightlyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(config)
    before = planned(config)
    known = before["asset_key"].to_list()

    def knows(_: Path, asked: list[str]) -> pl.DataFrame:
        return pl.DataFrame({"asset_key": [key for key in asked if key in known]})

    monkeypatch.setattr(planning, "known_assets", knows)
    again = run(config)
    assert (again.generate, again.reuse) == (0, 6)
    # Fewer pictures to draw make fewer shards, not smaller ones.
    location = ["status", "shard"]
    assert planned(config).drop(location).equals(before.drop(location))
    assert again.pairs_sha256 == first.pairs_sha256
    del known[2:]
    half = run(config)
    assert (half.generate, half.reuse) == (4, 2)
    assert planned(config).drop(location).equals(before.drop(location))
    assert [size > 0 for size in half.shard_sizes][2:] == [False]


def test_what_the_warehouse_made_or_refused_is_reused(config: NightlyConfig) -> None:
    run(config)
    # Users with the same history share a picture, so take two of different keys.
    made, refused, *_ = planned(config).unique("asset_key", maintain_order=True).to_dicts()
    content = png(99)
    sha256 = hashlib.sha256(content).hexdigest()
    facts = {"image": content, "image_sha256": sha256, "format": "png", "width": 64, "height": 64}
    asset = {**made, **facts, "mask_ratio": 0.0, "seed": 0}
    run_asset = {**made, "origin": "generated"}
    rejection = {**refused, "reason": "blank", "detail": None}
    score = {"asset_key": made["asset_key"], "metric": "selection_score", "value": 0.5}
    frames = {"assets": asset, "run_assets": run_asset, "rejections": rejection, "scores": score}
    night = NightRecords(
        logical_date=NIGHT,
        model_version="model-1",
        settings_hash="settings",
        seed=0,
        config={},
        planned=2,
        skipped=0,
        problems=pl.DataFrame(schema=NIGHT_SCHEMAS["problems"]),
        **{name: record(name, row) for name, row in frames.items()},
    )
    with open_warehouse(NightPaths.of(config, NIGHT).warehouse) as connection:
        publish(connection, night)
    summary = run(config, NIGHT)
    plan = planned(config)
    known = plan["asset_key"].is_in([made["asset_key"], refused["asset_key"]])
    assert (plan["status"] == "reuse").equals(known)
    assert (summary.generate, summary.reuse) == (6 - known.sum(), known.sum())


def record(name: str, row: dict[str, object]) -> pl.DataFrame:
    schema = {k: v for k, v in NIGHT_SCHEMAS[name].items() if k in row}
    return pl.DataFrame({k: [row[k]] for k in schema}, schema=schema)


def test_an_idle_user_keeps_the_keys_on_the_next_night(config: NightlyConfig) -> None:
    run(config)
    before = keys(config)
    later = NIGHT + dt.timedelta(days=30)
    run(config, later)
    after = planned(config, later).select("user_id", "item_id", "asset_key").rows()
    assert {(user, item): key for user, item, key in after} == before


def test_future_interactions_do_not_exist_yet(config: NightlyConfig, tmp_path: Path) -> None:
    run(config, NIGHT)
    before = planned(config)
    frame = pl.read_parquet(config.interactions)
    next_day = pl.lit(NIGHT + dt.timedelta(days=1)).cast(pl.Datetime("us", "UTC"))
    later = frame.head(1).with_columns(item_id=pl.lit("i15"), timestamp=next_day)
    pl.concat([frame, later]).write_parquet(config.interactions)
    run(config, NIGHT)
    assert planned(config).equals(before)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"generation": GenerationConfig(diffusion_steps=9)},
        {"generation": GenerationConfig(rendered=1)},
        {"gate": QualityGateConfig(min_pixel_std=7.0)},
    ],
)
def test_what_decides_a_picture_changes_every_key(
    config: NightlyConfig, change: dict[str, object]
) -> None:
    run(config)
    before = keys(config)
    run(config.model_copy(update=change))
    after = keys(config)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


def test_a_setting_that_is_off_leaves_keys_as_they_were_before_it(config: NightlyConfig) -> None:
    prompt = load_prompt("sticker")
    every = config.generation.model_copy(update={"rendered": None})
    told = every.model_dump(mode="json", exclude={"rendered"})
    gate = config.gate.model_dump(mode="json")
    words = [prompt.scenario, prompt.prefix, prompt.response]
    assert settings_hash(config.model_copy(update={"generation": every}), prompt) == digest(
        {"generation": told, "gate": gate, "prompt": words}
    )


def test_a_new_model_changes_every_key_and_speed_settings_none(config: NightlyConfig) -> None:
    run(config)
    before = keys(config)
    run(config.model_copy(update={"batch_size": 3, "threads": 1}))
    assert keys(config) == before
    run(config, version="model-2")
    assert not set(before.values()) & set(keys(config).values())


def test_a_new_title_or_picture_of_the_reference_changes_its_keys_only(
    config: NightlyConfig,
) -> None:
    everything = PlanConfig(max_assets=100, max_assets_per_user=9)
    config = config.model_copy(update={"plan": everything})
    run(config)
    before = keys(config)
    items = pl.read_parquet(config.catalogue)
    changed = pl.when(pl.col("item_id") == "i12").then(pl.lit("new")).otherwise("semantics")
    items.with_columns(changed.alias("semantics")).write_parquet(config.catalogue)
    run(config)
    after = keys(config)
    assert {pair for pair in before if before[pair] != after[pair]} == {(u, "i12") for u in USERS}


def test_users_with_little_history_are_skipped_and_told(
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
    told = [(kind, subject, location) for kind, subject, location, _ in problems(config)]
    assert told == [("short_history", user, config.interactions) for user in ("bea", "dan", "new")]


def test_unknown_items_are_skipped_and_told(config: NightlyConfig, tmp_path: Path) -> None:
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
    told = {(kind, subject): location for kind, subject, location, _ in problems(other)}
    assert told[("unknown_item", "yeti")] == other.recommendations
    assert told[("unknown_item", "ghost")].startswith(other.interactions)
    assert len(told) == 2


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


def test_bad_rows_of_the_candidate_file_are_among_the_problems(
    config: NightlyConfig, tmp_path: Path
) -> None:
    rows = [("ann", "i12", 1.0), ("ann", "i13", float("nan"))]
    other = with_recommendations(config, tmp_path, rows)
    run(other)
    assert problems(other) == [
        ("bad_recommendation", "ann / i13", f"{other.recommendations}, row 2", "score is no number")
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


def test_no_recommendations_at_all_is_an_error(config: NightlyConfig) -> None:
    run(config)
    paths = NightPaths.of(config, NIGHT)
    pl.read_parquet(paths.recommendations).clear().write_parquet(paths.recommendations)
    with pytest.raises(PlanError, match=r"0 recommendations.*recommendations\.parquet"):
        plan_night(config, NIGHT, encoder=PixelEncoder(), model_version="m")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the night has no recommendations"),
        (b"half a file", "cannot read the recommendations"),
        (pl.DataFrame({"user_id": ["u"]}), "the recommendations have columns"),
    ],
)
def test_missing_or_damaged_recommendations_are_told(
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


def test_read_images_are_told(config: NightlyConfig) -> None:
    heard: list[tuple[str, int, int]] = []

    def hear(label: str, done: int, total: int, **_: float) -> None:
        heard.append((label, done, total))

    run(config, progress=hear)
    assert heard == [("item images", 15, 15)]
