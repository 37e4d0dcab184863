"""The metrics of a reported night, as Prometheus reads them, against its tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pigeon_rec.config import NightlyConfig, ReportConfig
from pigeon_rec.errors import ConfigError, StorageError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.steps import run_step
from pigeon_rec.runtime.settings import check_settings
from pigeon_rec.warehouse import ask
from tests.nightly.made_night import NIGHT, small_night, write_catalogue

Metrics = dict[tuple[str, ...], float]


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    catalogue = write_catalogue(tmp_path / "catalogue")
    return NightlyConfig(work_dir=tmp_path / "var", catalogue=str(catalogue), seed=7)


def report(config: NightlyConfig) -> NightPaths:
    """Publishes, promotes and reports the small night as a scheduler does: step by step."""
    paths = small_night().write(config)
    for shard, seconds in enumerate((1.5, 2.1)):
        time = {"assets": 3, "seconds": seconds}
        paths.drawing_time(shard).write_text(json.dumps(time), encoding="utf-8")
    info = json.loads(paths.plan_info.read_text(encoding="utf-8"))
    info["refused_before"] = {"blank": 4}
    paths.plan_info.write_text(json.dumps(info), encoding="utf-8")
    for step in ("publish", "promote", "report"):
        run_step(step, config, NIGHT)
    return paths


def read(path: Path) -> Metrics:
    """Every sample by its name, without `pigeon_night_`, and its labels' values."""
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {
        (sample.name.removeprefix("pigeon_night_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_match_the_tables(config: NightlyConfig) -> None:
    paths = report(config)
    metrics = read(paths.metrics)
    run = ask(paths.serving, "SELECT * FROM runs").row(0, named=True)
    size = ask(
        paths.serving,
        "SELECT sum(byte_size) FROM assets WHERE asset_key IN (SELECT asset_key FROM run_assets)",
    ).item()
    seconds = {name: metrics.pop(("step_seconds", name)) for name in ("publish", "promote")}
    assert all(second > 0 for second in seconds.values())
    assert metrics == {
        ("date_timestamp_seconds",): 1780272000,  # 2026-06-01 00:00 UTC
        ("published_timestamp_seconds",): run["published_at"].timestamp(),
        ("model", run["model_version"]): 1,
        ("planned",): run["planned"],
        ("drawn",): run["generated"] + run["rejected"],
        ("reused",): run["reused"],
        ("served",): run["served"],
        ("users",): 3,
        ("cohort_assets",): 0,
        ("refused", "off_target"): 1,
        ("refused_before", "blank"): 4,
        ("refusal_ratio",): 0.5,
        ("skipped", "short_history"): 1,
        ("problems", "image_corrupt"): 1,
        ("problems", "short_history"): 1,
        ("warnings", "night"): 1,
        ("warnings", "gate"): 0,
        ("step_seconds", "generate"): 3.6,
        ("picture_seconds",): 0.6,
        ("picture_bytes",): size,
        ("snapshot_bytes",): paths.serving.stat().st_size,
    }


def test_failures_are_no_refusals_and_pictures_that_were_not_drawn_do_not_count(
    config: NightlyConfig,
) -> None:
    night = small_night()
    for pair, reason in zip(night.pairs, ("unreadable_input", "scoring_failed"), strict=False):
        pair.reason = reason
    paths = night.write(config)
    for step in ("publish", "promote", "report"):
        run_step(step, config, NIGHT)
    metrics = read(paths.metrics)
    generated = ask(paths.serving, "SELECT generated FROM runs").item()
    assert metrics["failed", "unreadable_input"] == metrics["failed", "scoring_failed"] == 1
    assert ("refused", "unreadable_input") not in metrics
    assert metrics["drawn",] == generated + metrics["refused", "off_target"] + 1


def test_a_copy_is_replaced_at_once_where_the_settings_say(
    config: NightlyConfig, tmp_path: Path
) -> None:
    copy = tmp_path / "collector" / "pigeon.prom"
    copy.parent.mkdir()
    copy.write_text("of yesterday", encoding="utf-8")
    settings = ReportConfig(metrics=copy, metrics_labels={"shop": "toys"})
    paths = report(config.model_copy(update={"report": settings}))
    assert copy.read_bytes() == paths.metrics.read_bytes()
    assert 'pigeon_night_planned{shop="toys"} 6\n' in copy.read_text(encoding="utf-8")
    assert list(copy.parent.iterdir()) == [copy]


def test_a_copy_that_cannot_be_written_is_our_error_with_its_path(
    config: NightlyConfig, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    copy = tmp_path / "file" / "pigeon.prom"
    settings = ReportConfig(metrics=copy)
    with pytest.raises(StorageError, match=str(tmp_path / "file")):
        report(config.model_copy(update={"report": settings}))


def test_a_relative_path_is_seen_from_the_settings_file(tmp_path: Path) -> None:
    values = {"report": {"metrics": "collector/pigeon.prom"}}
    settings = check_settings(NightlyConfig, values, "night.yaml", folder=tmp_path)
    assert settings.report.metrics == tmp_path / "collector" / "pigeon.prom"


@pytest.mark.parametrize("name", ["reason", "step", "2nd", "a-b", "", "__own", "a\n"])
def test_labels_that_no_metric_can_have_are_refused(name: str) -> None:
    values = {"report": {"metrics_labels": {name: "toys"}}}
    with pytest.raises(ConfigError, match="metrics_labels"):
        check_settings(NightlyConfig, values, "night.yaml")
