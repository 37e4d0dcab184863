"""Promotion check and promotion of a tiny alignment, over hand-made measurements."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.drawing.models import FALLBACK, chosen_model
from pigeon_rec.errors import ConfigError, ModelError, TrainingError, WarehouseError
from pigeon_rec.model.version import model_version
from pigeon_rec.warehouse.models import list_models, serving_model
from pigeon_rec.weekly.config import WeeklyConfig
from pigeon_rec.weekly.decide import check, promote
from pigeon_rec.weekly.evaluate import METHOD
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.records import finished, once
from tests.registered import promoted, registry
from tests.weekly.conftest import SUNDAY


def measure(config: WeeklyConfig, gain: float, against: str = "") -> str:
    """Writes the files of `evaluate` with a new model better by `gain`; returns its version."""
    paths = AlignmentPaths.of(config, SUNDAY)
    random = np.random.default_rng(0).normal(0.5, 0.1, 40)
    files = {}
    for name, values in (("serving", random), ("new", random + gain)):
        file = paths.run / f"{name}.parquet"
        columns = {"case_id": [f"c{n}" for n in range(40)], "value": values}
        pl.concat(
            pl.DataFrame(columns).select(
                pl.lit(METHOD).alias("method"), "case_id", pl.lit(metric).alias("metric"), "value"
            )
            for metric in ("history", "text")
        ).write_parquet(file)
        files[name] = file.relative_to(config.work_dir).as_posix()
    version: str = finished(paths, "bundle").facts["version"]
    facts = {
        **files,
        "new_version": version,
        "serving_version": against or model_version(FALLBACK),
    }
    once(paths, "evaluate", facts, lambda: facts)
    return version


def test_a_better_model_is_registered_accepted_and_serves_once_promoted(
    alignment: WeeklyConfig,
) -> None:
    version = measure(alignment, gain=0.02)
    decision = check(alignment, SUNDAY)
    assert decision["accepted"]
    assert decision["version"] == version
    assert serving_model(registry(alignment.work_dir)) is None
    facts = promote(alignment, SUNDAY)
    assert (facts["version"], facts["replaced"]) == (version, model_version(FALLBACK))
    night = NightlyConfig(model="serving", work_dir=alignment.work_dir)
    chosen = chosen_model(night.model, night.work_dir)
    assert chosen.version == version == model_version(chosen.source)


def test_what_the_catalogue_gives_no_measure_for_is_left_out_and_named(
    alignment: WeeklyConfig,
) -> None:
    rules = alignment.promotion_check.model_copy(update={"keep": {"text": 0.01, "style_hit": 0.05}})
    config = alignment.model_copy(update={"promotion_check": rules})
    measure(config, gain=0.02)
    summary = AlignmentPaths.of(config, SUNDAY).run / "evaluation.json"
    summary.write_text(json.dumps({"missing": {"style_hit": "no column `style`"}}), "utf-8")
    decision = check(config, SUNDAY)
    assert decision["accepted"]
    assert decision["not_measurable"] == {"style_hit": "no column `style`"}
    assert [metric["metric"] for metric in decision["metrics"]] == ["history", "text"]
    assert decision["reason"].endswith("style_hit is not measurable: no column `style`")


def test_what_must_improve_must_be_measurable(alignment: WeeklyConfig) -> None:
    measure(alignment, gain=0.02)
    summary = AlignmentPaths.of(alignment, SUNDAY).run / "evaluation.json"
    summary.write_text(json.dumps({"missing": {"history": "nobody has one"}}), "utf-8")
    with pytest.raises(ConfigError, match=r"history must improve and is not measurable: nobody"):
        check(alignment, SUNDAY)


def test_the_registry_holds_everything_about_a_model(alignment: WeeklyConfig) -> None:
    version = measure(alignment, gain=0.02)
    check(alignment, SUNDAY)
    [model] = list_models(registry(alignment.work_dir))
    assert model.version == version
    assert (model.alignment, model.parent_version) == ("2026-06-07", None)
    assert model.decision == "accepted"
    assert model.reason.startswith("history +0.0200")
    assert model.metrics["history"]["gain"] == pytest.approx(0.02)
    assert model.metrics["text"]["passed"] is True
    assert model.config["training"]["model"]["name"] == "tiny"
    assert model.config["promotion_check"]["improve"] == {"history": 0.0}
    assert str(alignment.work_dir) not in json.dumps(model.config)
    assert model.weights_path == "alignments/2026-06-07/model/tiny"


def test_a_refused_model_is_registered_with_the_reason_and_never_promoted(
    alignment: WeeklyConfig,
) -> None:
    version = measure(alignment, gain=0.0)
    decision = check(alignment, SUNDAY)
    assert not decision["accepted"]
    [model] = list_models(registry(alignment.work_dir))
    assert (model.version, model.decision, model.reason) == (version, "refused", decision["reason"])
    with pytest.raises(WarehouseError, match=r"was refused: history \+0.0000"):
        promote(alignment, SUNDAY)
    assert chosen_model("serving", alignment.work_dir).source == FALLBACK


def test_checking_and_promoting_again_change_nothing(alignment: WeeklyConfig) -> None:
    measure(alignment, gain=0.02)
    first = check(alignment, SUNDAY)
    promote(alignment, SUNDAY)
    models = list_models(registry(alignment.work_dir))
    assert check(alignment, SUNDAY) == first
    assert promote(alignment, SUNDAY)["replaced"] is None
    assert list_models(registry(alignment.work_dir)) == models


def test_other_rules_give_another_verdict_on_the_same_measurements(alignment: WeeklyConfig) -> None:
    measure(alignment, gain=0.02)
    rules = alignment.promotion_check.model_copy(update={"improve": {"history": 0.03}})
    assert not check(alignment.model_copy(update={"promotion_check": rules}), SUNDAY)["accepted"]
    assert check(alignment, SUNDAY)["accepted"]
    assert [m.decision for m in list_models(registry(alignment.work_dir))] == ["accepted"]


def test_the_verdict_is_a_file_too(alignment: WeeklyConfig) -> None:
    measure(alignment, gain=-0.02)
    decision = check(alignment, SUNDAY)
    text = AlignmentPaths.of(alignment, SUNDAY).promotion_check.read_text(encoding="utf-8")
    assert json.loads(text) == decision
    assert [metric["metric"] for metric in decision["metrics"]] == ["history", "text"]
    assert [metric["passed"] for metric in decision["metrics"]] == [False, False]


def test_a_model_compared_with_another_than_the_serving_one_is_not_promoted(
    alignment: WeeklyConfig, trained: WeeklyConfig
) -> None:
    measure(alignment, gain=0.02)
    check(alignment, SUNDAY)
    meanwhile = promoted(
        alignment.work_dir, "other", AlignmentPaths.of(trained, SUNDAY).model("tiny")
    )
    with pytest.raises(TrainingError, match=rf"{meanwhile}' serves now.*align evaluate"):
        promote(alignment, SUNDAY)
    measure(alignment, gain=0.02, against=meanwhile)
    check(alignment, SUNDAY)
    assert promote(alignment, SUNDAY)["replaced"] == meanwhile


def test_a_model_made_after_its_evaluation_is_not_checked_with_it(alignment: WeeklyConfig) -> None:
    version = measure(alignment, gain=0.02)
    paths = AlignmentPaths.of(alignment, SUNDAY)
    bundled = finished(paths, "bundle")
    other = bundled.model_copy(update={"facts": {**bundled.facts, "version": "tiny-0"}})
    paths.record("bundle").write_text(other.model_dump_json(exclude={"kept"}), encoding="utf-8")
    for step in (check, promote):
        with pytest.raises(TrainingError, match=rf"'tiny-0' .* of '{version}'.*align evaluate"):
            step(alignment, SUNDAY)
    assert list_models(registry(alignment.work_dir)) == []


def test_weights_changed_after_the_verdict_are_not_promoted(alignment: WeeklyConfig) -> None:
    measure(alignment, gain=0.02)
    check(alignment, SUNDAY)
    paths = AlignmentPaths.of(alignment, SUNDAY)
    (paths.model("tiny") / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises((ModelError, TrainingError), match="changed"):
        promote(alignment, SUNDAY)


def test_a_check_before_the_evaluation_says_what_to_run(alignment: WeeklyConfig) -> None:
    with pytest.raises(TrainingError, match="pigeon-rec align evaluate"):
        check(alignment, SUNDAY)
    with pytest.raises(TrainingError, match="pigeon-rec align evaluate"):
        promote(alignment, SUNDAY)
    assert not Path(registry(alignment.work_dir)).exists()
