from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import CatalogueError, ConfigError, PlanError
from pigeon_rec.nightly import steps
from pigeon_rec.nightly.files import shards_to_draw
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.run import run_night
from pigeon_rec.runtime.airflow_step import TEMPORARY_FAILURE, latest_date, parse_date

NIGHT = dt.date(2026, 6, 1)


@dataclass(frozen=True)
class Summary:
    planned: int
    report: Path
    night: dt.date
    reasons: Mapping[str, int]
    best: tuple[float, ...]


class Busy(CatalogueError):
    retryable = True


def replace_step(monkeypatch: pytest.MonkeyPatch, name: str, result: object) -> list[int | None]:
    """Puts a step in place that returns `result`, or raises it; returns the shards it is given."""
    calls: list[int | None] = []

    def step(_: NightlyConfig, __: dt.date, shard: int | None, ___: object) -> object:
        calls.append(shard)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(steps, "STEPS", {**steps.STEPS, name: step})
    return calls


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    return NightlyConfig(work_dir=tmp_path)


@pytest.fixture
def planned(config: NightlyConfig) -> NightlyConfig:
    """A configuration whose night has a plan: shards 0 and 3 draw, shard 1 only reuses."""
    path = NightPaths.of(config, NIGHT).plan
    path.parent.mkdir(parents=True)
    status = ["generate", "reuse", "generate", "generate"]
    pl.DataFrame({"status": status, "shard": [3, 1, 0, 3]}).write_parquet(path)
    return config


@pytest.mark.parametrize("text", ["", "2026-6-1", "2026-02-30", "yesterday"])
def test_a_night_needs_an_iso_date(text: str) -> None:
    with pytest.raises(ConfigError, match="ISO date"):
        parse_date(text)


def test_work_dir_from_outside_replaces_the_configured_one(tmp_path: Path) -> None:
    file = tmp_path / "night.yaml"
    file.write_text("work_dir: /elsewhere\nseed: 7\n", encoding="utf-8")
    assert steps.night_settings(file, None).work_dir == Path("/elsewhere")
    settings = steps.night_settings(file, tmp_path)
    assert (settings.work_dir, settings.seed) == (tmp_path, 7)


@pytest.mark.parametrize(("step", "swept"), [("check", True), ("recommend", True), ("plan", False)])
def test_the_first_step_of_a_night_sweeps(
    config: NightlyConfig, monkeypatch: pytest.MonkeyPatch, step: str, swept: bool
) -> None:
    replace_step(monkeypatch, step, {})
    monkeypatch.setattr("pigeon_rec.nightly.files.shards_to_draw", lambda *_: [])
    left = config.work_dir / "runs" / "2026-05-01" / "staged.new"
    left.mkdir(parents=True)
    steps.run_step(step, config, NIGHT)
    assert left.exists() != swept


def test_summaries_become_plain_values(
    config: NightlyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = Summary(3, Path("a/b"), NIGHT, {"blank": 1}, (0.5,))
    replace_step(monkeypatch, "report", summary)
    assert steps.run_step("report", config, NIGHT) == {
        "planned": 3,
        "report": "a/b",
        "night": "2026-06-01",
        "reasons": {"blank": 1},
        "best": [0.5],
    }


def test_only_shards_with_pictures_to_draw_are_drawn(
    planned: NightlyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = replace_step(monkeypatch, "generate", Path("x.parquet"))
    summary = steps.run_step("generate", planned, NIGHT)
    assert calls == [0, 3]
    assert summary == {"shards": [{"path": "x.parquet"}, {"path": "x.parquet"}]}


def test_one_shard_is_drawn_when_asked_for(
    planned: NightlyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = replace_step(monkeypatch, "generate", None)
    steps.run_step("generate", planned, NIGHT, number=1)
    assert calls == [1]


def test_the_plan_tells_which_shards_to_draw(
    planned: NightlyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_step(monkeypatch, "plan", None)
    assert steps.run_step("plan", planned, NIGHT) == {"shards_to_draw": [0, 3]}


def test_shards_of_an_unplanned_night_are_an_error(config: NightlyConfig) -> None:
    with pytest.raises(PlanError, match=r"plan\.parquet.*nightly plan"):
        shards_to_draw(config, NIGHT)


def test_a_night_in_the_future_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = replace_step(monkeypatch, "publish", None)
    config = NightlyConfig(work_dir=tmp_path / "var")
    late = latest_date() + dt.timedelta(days=1)
    with pytest.raises(ConfigError, match=f"{late} is in the future"):
        steps.run_step("publish", config, late)
    with pytest.raises(ConfigError, match=f"{late} is in the future"):
        run_night(config, late)
    with pytest.raises(SystemExit) as ended:
        steps.run_in_airflow("publish", late.isoformat(), "", str(config.work_dir))
    assert (ended.value.code, calls, list(tmp_path.iterdir())) == (2, [], [])
    assert steps.run_step("publish", config, late, future=True) == {}
    for date in (latest_date(), dt.date(1, 1, 1)):
        assert steps.run_step("publish", config, date) == {}


def test_tomorrow_in_utc_is_the_latest_date() -> None:
    before = dt.datetime.now(dt.UTC).date()
    latest = latest_date()
    days = {before, dt.datetime.now(dt.UTC).date()}
    assert latest - dt.timedelta(days=1) in days


@pytest.mark.parametrize(
    ("error", "status"),
    [(CatalogueError("no such file"), 3), (Busy("in use"), TEMPORARY_FAILURE)],
)
def test_airflow_learns_from_the_exit_status_whether_to_retry(
    error: Exception, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_step(monkeypatch, "publish", error)
    with pytest.raises(SystemExit) as ended:
        steps.run_in_airflow("publish", "2026-06-01", "", str(tmp_path))
    assert ended.value.code == status


def test_airflow_gets_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_step(monkeypatch, "promote", tmp_path / "serving.duckdb")
    summary = steps.run_in_airflow("promote", "2026-06-01", "", str(tmp_path))
    assert summary == {"path": str(tmp_path / "serving.duckdb")}


def test_airflow_logs_the_single_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replace_step(monkeypatch, "report", Summary(3, Path("a/b"), NIGHT, {"blank": 1}, (0.5,)))
    replace_step(monkeypatch, "promote", Path("serving.duckdb"))
    with caplog.at_level("INFO"):
        steps.run_in_airflow("report", "2026-06-01", "", str(tmp_path))
        steps.run_in_airflow("promote", "2026-06-01", "", str(tmp_path))
    assert caplog.messages == [
        "report: planned 3, report a/b, night 2026-06-01",
        "promote: path serving.duckdb",
    ]
