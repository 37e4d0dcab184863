"""Drawing shards with the bundled model: bytes, resuming, broken pictures, the gate."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.config import GenerationConfig, NightlyConfig, NightlyGateConfig, PlanConfig
from pigeon_rec.data.world import load_world
from pigeon_rec.errors import PlanError
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.nightly.files import shards_to_draw
from pigeon_rec.nightly.generate import SHARD_SCHEMA, ShardSummary, generate_shard
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import PLAN_SCHEMA
from pigeon_rec.runtime.files import write_parquet
from tests.small_world import NIGHT, png, write_items

pytestmark = pytest.mark.slow  # the bundled model draws

Images = NDArray[np.uint8]
Codes = NDArray[np.int64]

TASTES = {"ann": "openmoji", "bea": "fluent-hc", "cem": "noto-v1"}
REFERENCES = ("twemoji/rocket", "fluent/lion")


def plan_rows(shards: int) -> list[dict[str, object]]:
    """Every user with every reference; histories are five stickers of the user's style."""
    stickers = load_world("bundled").training_artwork()
    rows = []
    for user, style in TASTES.items():
        history = stickers.filter(pl.col("style") == style)["item_id"][100:105].to_list()
        for item in REFERENCES:
            key = hashlib.sha256(f"{user}/{item}".encode()).hexdigest()
            rows.append(
                {
                    "asset_key": key,
                    "user_id": user,
                    "item_id": item,
                    "status": "generate",
                    "priority": 1.0,
                    "history_ids": history,
                    "history_scores": [0.5] * 5,
                    "shard": int(key[:8], 16) % shards,
                    "model_version": "sticker-64",
                    "settings_hash": "s",
                }
            )
    return rows


def settings(work_dir: Path, shards: int, **changes: object) -> NightlyConfig:
    return NightlyConfig(
        work_dir=work_dir,
        plan=PlanConfig(shards=shards),
        generation=GenerationConfig(mask_ratios=(0.1,), diffusion_steps=2),
        gate=NightlyGateConfig(min_text_score=-1.0),
    ).model_copy(update=changes)


def write_plan(config: NightlyConfig, rows: list[dict[str, object]]) -> NightPaths:
    paths = NightPaths.of(config, NIGHT)
    write_parquet(pl.DataFrame(rows, schema=PLAN_SCHEMA), paths.plan)
    return paths


def draw_all(config: NightlyConfig) -> pl.DataFrame:
    numbers = shards_to_draw(config, NIGHT)
    drawn = [generate_shard(config, NIGHT, number) for number in numbers]
    frames = [pl.read_parquet(summary.path) for summary in drawn]
    return pl.concat(frames).sort("asset_key")


@pytest.fixture(scope="module")
def one_shard(tmp_path_factory: pytest.TempPathFactory) -> tuple[NightlyConfig, pl.DataFrame]:
    config = settings(tmp_path_factory.mktemp("one"), shards=1)
    write_plan(config, plan_rows(1))
    return config, draw_all(config)


def picture(data: bytes) -> NDArray[np.int16]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int16)


def test_every_asset_is_a_decodable_picture_with_its_facts(
    one_shard: tuple[NightlyConfig, pl.DataFrame],
) -> None:
    _, drawn = one_shard
    assert drawn.schema == SHARD_SCHEMA
    assert drawn.height == len(TASTES) * len(REFERENCES)
    assert drawn["rejected_reason"].null_count() == drawn.height
    for row in drawn.iter_rows(named=True):
        assert picture(row["image"]).shape == (row["height"], row["width"], 3) == (64, 64, 3)
        assert hashlib.sha256(row["image"]).hexdigest() == row["image_sha256"]
        assert row["selection_score"] == pytest.approx(
            (row["text_score"] + row["history_score"]) / 2, abs=2e-6
        )


def test_users_get_different_pictures_of_one_reference(
    one_shard: tuple[NightlyConfig, pl.DataFrame],
) -> None:
    _, drawn = one_shard
    for item in REFERENCES:
        images = drawn.filter(pl.col("item_id") == item)["image"].to_list()
        apart = [np.abs(picture(a) - picture(b)).mean() for a in images for b in images if a < b]
        assert min(apart) > 5.0


def test_seven_shards_give_the_bytes_of_one(
    one_shard: tuple[NightlyConfig, pl.DataFrame], tmp_path: Path
) -> None:
    config = settings(tmp_path, shards=7)
    write_plan(config, plan_rows(7))
    assert len(shards_to_draw(config, NIGHT)) > 2
    assert draw_all(config).equals(one_shard[1])


def test_two_processes_give_the_bytes_of_one(tmp_path: Path) -> None:
    drawn = []
    for processes in (1, 2):
        config = settings(tmp_path / str(processes), shards=1, processes=processes, threads=1)
        write_plan(config, plan_rows(1))
        reports: list[int] = []
        generate_shard(config, NIGHT, 0, progress=lambda *report, **_: reports.append(report[1]))  # noqa: B023
        assert reports[-1] == len(plan_rows(1))
        drawn.append(pl.read_parquet(NightPaths.of(config, NIGHT).shard(0)))
    assert drawn[0].equals(drawn[1])


def test_only_the_best_previews_are_rendered(
    one_shard: tuple[NightlyConfig, pl.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rendered: list[str] = []
    render = PigeonPipeline.render

    def counted(
        pipeline: PigeonPipeline, codes: Codes, keys: list[str], settings: GenerationConfig
    ) -> Images:
        rendered.extend(keys)
        return render(pipeline, codes, keys, settings)

    monkeypatch.setattr(PigeonPipeline, "render", counted)

    def drawn(name: str, ratios: tuple[float, ...], most: int | None) -> pl.DataFrame:
        rendered.clear()
        settings_ = GenerationConfig(mask_ratios=ratios, rendered=most, diffusion_steps=2)
        config = settings(tmp_path / name, shards=1, generation=settings_)
        write_plan(config, plan_rows(1))
        return draw_all(config)

    every = drawn("every", (0.1, 0.4, 0.9), None)
    assert len(rendered) == 3 * every.height
    some = drawn("some", (0.1, 0.4, 0.9), 1)
    assert len(rendered) == every.height
    # Which one it is differs from asset to asset, and its picture is that of drawing it alone.
    assert some["mask_ratio"].n_unique() > 1
    same = some["mask_ratio"] == every["mask_ratio"]
    assert same.any()
    assert some.filter(same).equals(every.filter(same))
    first = some.filter(pl.col("mask_ratio") == 0.1)
    assert first.equals(one_shard[1].join(first, on="asset_key", how="semi").sort("asset_key"))
    assert every["selection_score"].mean() >= some["selection_score"].mean()  # type: ignore[operator]


def test_a_model_without_previews_renders_all_of_them(
    one_shard: tuple[NightlyConfig, pl.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PigeonPipeline, "has_previews", False)
    generation = one_shard[0].generation.model_copy(update={"mask_ratios": (0.1, 0.6)})
    shards = {}
    for most in (None, 1):
        changed = generation.model_copy(update={"rendered": most})
        config = settings(tmp_path / str(most), shards=1, generation=changed)
        write_plan(config, plan_rows(1)[:2])
        shards[most] = draw_all(config)
    assert shards[1].equals(shards[None])


def test_another_seed_gives_other_pictures(
    one_shard: tuple[NightlyConfig, pl.DataFrame], tmp_path: Path
) -> None:
    config = settings(tmp_path, shards=1, seed=1)
    write_plan(config, plan_rows(1))
    assert set(draw_all(config)["image_sha256"]).isdisjoint(one_shard[1]["image_sha256"])


def test_a_finished_shard_is_kept_and_a_damaged_one_drawn_again(
    one_shard: tuple[NightlyConfig, pl.DataFrame],
) -> None:
    config, drawn = one_shard
    path = NightPaths.of(config, NIGHT).shard(0)
    again = generate_shard(config, NIGHT, 0)
    assert again == ShardSummary(0, str(path), generated=0, kept=drawn.height, rejected=0)
    path.write_bytes(path.read_bytes()[:-100])
    assert generate_shard(config, NIGHT, 0).generated == drawn.height
    assert pl.read_parquet(path).equals(drawn)


def test_a_damaged_picture_of_a_finished_shard_is_drawn_again(
    one_shard: tuple[NightlyConfig, pl.DataFrame],
) -> None:
    config, drawn = one_shard
    path = NightPaths.of(config, NIGHT).shard(0)
    damaged = [b"no picture" if place == 2 else image for place, image in enumerate(drawn["image"])]
    drawn.with_columns(image=pl.Series(damaged, dtype=pl.Binary)).write_parquet(path)
    summary = generate_shard(config, NIGHT, 0)
    assert (summary.generated, summary.kept) == (1, drawn.height - 1)
    assert pl.read_parquet(path).equals(drawn)


def test_what_drawing_took_is_noted_once(one_shard: tuple[NightlyConfig, pl.DataFrame]) -> None:
    config, drawn = one_shard
    note = NightPaths.of(config, NIGHT).drawing_time(0)
    recorded = note.read_text(encoding="utf-8")
    assert json.loads(recorded)["assets"] == drawn.height
    assert json.loads(recorded)["seconds"] > 0
    generate_shard(config, NIGHT, 0)
    assert note.read_text(encoding="utf-8") == recorded


def test_what_misses_the_target_is_rejected_with_numbers(tmp_path: Path) -> None:
    config = settings(tmp_path, shards=1, gate=NightlyGateConfig(min_text_score=0.999))
    write_plan(config, plan_rows(1)[:1])
    (row,) = draw_all(config).iter_rows(named=True)
    assert row["rejected_reason"] == "off_target"
    assert "0.999" in row["rejected_detail"]
    assert row["image"] is not None


def test_what_the_safety_checker_refuses_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "refuses_all.py").write_text("def check(image):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    gate = NightlyGateConfig(min_text_score=-1.0, safety="refuses_all:check")
    config = settings(tmp_path, shards=1, gate=gate)
    write_plan(config, plan_rows(1)[:2])
    drawn = draw_all(config)
    assert drawn["rejected_reason"].to_list() == ["unsafe"] * 2
    assert set(drawn["rejected_detail"]) == {"unsafe score 1.000 is above the limit 0.500"}


def test_a_picture_broken_or_withdrawn_after_planning_is_a_rejection_that_names_it(
    tmp_path: Path,
) -> None:
    rows = []
    for number in range(7):
        data = png(number)
        (tmp_path / f"{number}.png").write_bytes(data)
        rows.append((f"i{number}", f"{number}.png", hashlib.sha256(data).hexdigest()))
    catalogue = write_items(tmp_path / "items.parquet", rows)
    readable = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(b"no picture")
    config = settings(tmp_path / "var", shards=1, catalogue=str(catalogue))
    whole, broken = (
        plan_rows(1)[0] | {"asset_key": key * 64, "item_id": "i0", "history_ids": ids}
        for key, ids in (
            ("a", ["i1", "i2", "i4", "i5", "i6"]),
            ("b", ["i1", "i2", "i3", "i4", "i5"]),
        )
    )
    withdrawn = whole | {"asset_key": "c" * 64, "item_id": "i7"}
    write_plan(config, [whole, broken, withdrawn])
    drawn = draw_all(config)
    assert drawn["rejected_reason"].to_list() == [None, "unreadable_input", "unreadable_input"]
    assert "i3" in drawn["rejected_detail"][1]
    assert "i7: the item is not in the catalogue" in drawn["rejected_detail"][2]
    note = NightPaths.of(config, NIGHT).drawing_time(0).read_bytes()
    # Once it can be read, running the step again draws what has failed, and nothing else.
    (tmp_path / "3.png").write_bytes(readable)
    summary = generate_shard(config, NIGHT, 0)
    assert (summary.generated, summary.kept, summary.rejected) == (2, 1, 1)
    again = pl.read_parquet(summary.path)
    assert again["rejected_reason"].to_list() == [None, None, "unreadable_input"]
    assert again.head(1).equals(drawn.head(1))
    # Two of three pictures say little of the time that one takes.
    assert NightPaths.of(config, NIGHT).drawing_time(0).read_bytes() == note


def test_a_night_without_a_plan_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="nightly plan"):
        generate_shard(settings(tmp_path, shards=1), NIGHT, 0)


@pytest.mark.parametrize("shard", [-1, 2])
def test_a_shard_outside_the_plan_raises(tmp_path: Path, shard: int) -> None:
    config = settings(tmp_path, shards=2)
    paths = write_plan(config, plan_rows(2))
    with pytest.raises(PlanError, match=rf"no shard {shard} .*from 0 to 1"):
        generate_shard(config, NIGHT, shard)
    assert not paths.shard(shard).exists()
