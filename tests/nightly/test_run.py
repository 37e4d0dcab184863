"""A whole night in one process; the steps that need a model are replaced by stubs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pigeon_rec.config import NightlyConfig, PlanConfig, WarehouseConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.errors import ConfigError, PlanError
from pigeon_rec.nightly import run
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.warehouse import served_assets
from tests.nightly.made_night import NIGHT, MadeNight, small_night, write_catalogue
from tests.small_world import write_interactions

STEPS = ["check", "recommend", "plan", "generate", "publish", "promote", "report"]


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    catalogue = write_catalogue(tmp_path / "catalogue")
    items = load_catalogue(catalogue).item_ids
    return NightlyConfig(
        work_dir=tmp_path / "var",
        catalogue=str(catalogue),
        interactions=str(write_interactions(tmp_path / "interactions.parquet", {"u1": items})),
        plan=PlanConfig(min_interactions=1),
    )


@pytest.fixture
def night() -> MadeNight:
    return small_night()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, night: MadeNight) -> list[str]:
    """The calls of the stubs, in order; planning writes the files of `night`."""
    made: list[str] = []

    def recommend(_: NightlyConfig, __: dt.date, *, progress: Progress = silent) -> None:
        made.append("recommend")

    def plan(config: NightlyConfig, _: dt.date, *, progress: Progress = silent) -> None:
        night.write(config)
        made.append("plan")

    def draw(_: NightlyConfig, __: dt.date, shard: int, *, progress: Progress = silent) -> None:
        made.append(f"shard {shard}")

    monkeypatch.setattr(run, "recommend", recommend)
    monkeypatch.setattr(run, "plan_night", plan)
    monkeypatch.setattr(run, "generate_shard", draw)
    return made


def test_steps_run_in_order_and_end_in_one_summary(
    config: NightlyConfig, night: MadeNight, calls: list[str]
) -> None:
    summary = run.run_night(config, NIGHT)
    shards = sorted({pair.shard for pair in night.pairs})
    assert calls == ["recommend", "plan", *(f"shard {shard}" for shard in shards)]
    assert (summary.published.planned, summary.drawn, summary.published.served) == (6, 6, 5)
    assert (summary.reported.users, summary.published.rejected, summary.published.skipped) == (
        3,
        1,
        1,
    )
    assert summary.published.reasons == {"off_target": 1}
    assert list(summary.seconds) == STEPS
    assert served_assets(summary.snapshot).height == summary.published.served
    assert summary.reported.gallery.is_file()
    assert summary.reported.report.is_file()


def test_a_night_that_would_draw_nothing_ends_at_once(
    config: NightlyConfig, calls: list[str]
) -> None:
    nothing = config.model_copy(update={"plan": PlanConfig(min_interactions=99)})
    with pytest.raises(PlanError, match="no user has 99 different items"):
        run.run_night(nothing, NIGHT)
    assert calls == []


def test_a_night_that_cannot_be_signed_is_not_drawn(
    config: NightlyConfig, calls: list[str], tmp_path: Path
) -> None:
    files = {"certificate": tmp_path / "chain.pem", "key": tmp_path / "key.pem"}
    signing = WarehouseConfig(marking="c2pa", **files)
    with pytest.raises(ConfigError):
        run.run_night(config.model_copy(update={"warehouse": signing}), NIGHT)
    assert calls == []


def test_a_night_sweeps_what_killed_ones_left(config: NightlyConfig, calls: list[str]) -> None:
    left = config.work_dir / "recbole" / "run-a1b2c3d4"
    left.mkdir(parents=True)
    run.run_night(config, NIGHT)
    assert calls
    assert not left.exists()


def test_a_second_run_draws_and_changes_nothing(
    config: NightlyConfig, night: MadeNight, calls: list[str]
) -> None:
    first = run.run_night(config, NIGHT)
    snapshot, page = first.snapshot.read_bytes(), first.reported.gallery.read_bytes()
    for pair in night.pairs:
        pair.status = "reuse"
    calls.clear()
    again = run.run_night(config, NIGHT)
    assert calls == ["recommend", "plan"]
    assert (again.drawn, again.published.changed) == (0, False)
    assert again.published.generated == first.published.generated
    assert again.published.reused == first.published.reused
    assert again.snapshot == first.snapshot
    assert (again.snapshot.read_bytes(), again.reported.gallery.read_bytes()) == (snapshot, page)
