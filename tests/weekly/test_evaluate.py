"""Which models are measured and when; the evaluation is replaced by one that only counts.

The real one runs in the slow test of the DAG.
"""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyGateConfig
from pigeon_rec.data.settings import DataSettings
from pigeon_rec.drawing.gate import NightGate
from pigeon_rec.drawing.models import FALLBACK
from pigeon_rec.errors import TrainingError
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.files import read_json, write_json
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.runtime.work_dir import gate_file
from pigeon_rec.training.data import folder_data
from pigeon_rec.weekly import evaluate as module
from pigeon_rec.weekly.config import EvaluationConfig, WeeklyConfig
from pigeon_rec.weekly.decide import check, promote
from pigeon_rec.weekly.evaluate import METHOD, evaluate
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.records import finished
from tests.shapes import write_shapes
from tests.weekly.conftest import SUNDAY


class Evaluations:
    """Measures every tiny model as better than any other, and records its calls."""

    def __init__(self) -> None:
        self.calls: list[EvaluationSettings] = []

    def __call__(
        self,
        settings: EvaluationSettings,
        out: Path,
        *,
        gate: NightGate,
        progress: Progress = silent,
    ) -> None:
        assert NightlyGateConfig.model_validate(gate.limits) == settings.gate
        self.calls.append(settings)
        value = 0.6 if "tiny" in settings.model else 0.5
        rows = [
            (method, f"c{case}", metric, value if method == METHOD else 9.0)
            for method in (METHOD, "truth")
            for case in range(20)
            for metric in ("history", "text")
        ]
        out.mkdir(parents=True)
        columns = ["method", "case_id", "metric", "value"]
        pl.DataFrame(rows, columns, orient="row").write_parquet(out / "per_case.parquet")
        (out / "evaluation.json").write_text("{}", encoding="utf-8")

    def models(self) -> list[str]:
        """Versions of the models measured since the last call."""
        versions = [model_version(settings.model) for settings in self.calls]
        self.calls.clear()
        return versions


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> Evaluations:
    counted = Evaluations()
    monkeypatch.setattr(module, "run_evaluation", counted)
    return counted


@pytest.fixture
def version(alignment: WeeklyConfig) -> str:
    """Version of the alignment's new model."""
    found: str = finished(AlignmentPaths.of(alignment, SUNDAY), "bundle").facts["version"]
    return found


def test_both_models_are_measured_alike_and_once(
    alignment: WeeklyConfig, evaluations: Evaluations, version: str
) -> None:
    record = evaluate(alignment, SUNDAY)
    assert record.facts["serving_version"] == model_version(FALLBACK)
    new, old = evaluations.calls
    assert new.model_copy(update={"model": old.model}) == old
    assert new.methods == (METHOD,)
    assert (new.cases, new.generation) == (
        alignment.evaluation.cases,
        alignment.evaluation.generation,
    )
    assert evaluations.models() == [version, model_version(FALLBACK)]
    assert evaluate(alignment, SUNDAY).kept
    assert evaluations.models() == []


def test_only_the_method_that_nights_use_is_judged(
    alignment: WeeklyConfig, evaluations: Evaluations
) -> None:
    evaluate(alignment, SUNDAY)
    verdict = check(alignment, SUNDAY)
    assert verdict["metrics"][0]["new"] == pytest.approx(0.6)
    assert verdict["metrics"][0]["cases"] == 20


def test_a_model_is_not_measured_again_for_the_next_alignment(
    alignment: WeeklyConfig, evaluations: Evaluations
) -> None:
    evaluate(alignment, SUNDAY)
    evaluations.models()
    later = SUNDAY + dt.timedelta(days=7)
    following = AlignmentPaths.of(alignment, later)
    shutil.copytree(AlignmentPaths.of(alignment, SUNDAY).run, following.run)
    following.record("evaluate").unlink()
    assert not evaluate(alignment, later).kept
    assert evaluations.models() == []


def test_other_settings_are_another_measurement_and_threads_are_none(
    alignment: WeeklyConfig, evaluations: Evaluations
) -> None:
    first = evaluate(alignment, SUNDAY)
    evaluations.models()
    threads = EvaluationConfig(threads=1)
    assert evaluate(alignment.model_copy(update={"evaluation": threads}), SUNDAY).kept
    fewer = EvaluationConfig(cases=60)
    second = evaluate(alignment.model_copy(update={"evaluation": fewer}), SUNDAY)
    assert len(evaluations.models()) == 2
    assert second.facts["new"] != first.facts["new"]


def test_half_a_measurement_is_finished_and_a_whole_one_kept(
    alignment: WeeklyConfig, evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(
        settings: EvaluationSettings, out: Path, *, gate: NightGate, progress: Progress = silent
    ) -> None:
        if settings.model == FALLBACK:
            raise KeyboardInterrupt
        evaluations(settings, out, gate=gate, progress=progress)

    monkeypatch.setattr(module, "run_evaluation", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate(alignment, SUNDAY)
    evaluations.models()
    monkeypatch.setattr(module, "run_evaluation", evaluations)
    evaluate(alignment, SUNDAY)
    assert evaluations.models() == [model_version(FALLBACK)]


def test_once_it_serves_itself_the_comparison_stays(
    alignment: WeeklyConfig, evaluations: Evaluations, version: str
) -> None:
    before = evaluate(alignment, SUNDAY)
    assert check(alignment, SUNDAY)["accepted"]
    promote(alignment, SUNDAY)
    assert evaluate(alignment, SUNDAY) == before.model_copy(update={"kept": True})
    assert check(alignment, SUNDAY)["accepted"]
    assert promote(alignment, SUNDAY)["version"] == version


def test_without_a_bundle_nothing_is_measured(
    alignment: WeeklyConfig, evaluations: Evaluations
) -> None:
    AlignmentPaths.of(alignment, SUNDAY).record("bundle").unlink()
    with pytest.raises(TrainingError, match="pigeon-rec align bundle"):
        evaluate(alignment, SUNDAY)
    assert evaluations.models() == []


@pytest.fixture
def own(alignment: WeeklyConfig, tmp_path: Path) -> WeeklyConfig:
    """The alignment with its model trained on a catalogue of shapes."""
    shapes = write_shapes(tmp_path / "shapes", columns=())
    data = DataSettings(catalogue=str(shapes.catalogue), interactions=str(shapes.interactions))
    folder_data(tmp_path / "begun", data)  # its files say what a training folder was begun with
    training = AlignmentPaths.of(alignment, SUNDAY).training
    shutil.copytree(tmp_path / "begun", training, dirs_exist_ok=True)
    return alignment


def test_both_models_have_the_gate_calibrated_on_the_catalogue(
    own: WeeklyConfig, evaluations: Evaluations
) -> None:
    first = evaluate(own, SUNDAY)
    new, old = evaluations.calls
    assert new.gate == old.gate
    # 24 texts are too few: what is checked is the likeness to the reference.
    assert new.gate.min_text_score == -1.0
    assert new.gate.min_reference_likeness is not None
    assert gate_file(AlignmentPaths.of(own, SUNDAY).run).is_file()
    assert not gate_file(own.work_dir).exists()
    assert evaluate(own, SUNDAY).kept
    # Other limits are another measurement.
    evaluations.models()
    gate = NightlyGateConfig(min_text_score=0.01)
    limited = own.evaluation.model_copy(update={"gate": gate})
    second = evaluate(own.model_copy(update={"evaluation": limited}), SUNDAY)
    assert [settings.gate for settings in evaluations.calls] == [gate, gate]
    assert second.facts["new"] != first.facts["new"]


def test_the_calibration_of_the_nights_is_the_one_that_counts(
    own: WeeklyConfig, evaluations: Evaluations
) -> None:
    evaluate(own, SUNDAY)
    kept = read_json(gate_file(AlignmentPaths.of(own, SUNDAY).run))
    kept["calibrations"][0]["limits"]["min_reference_likeness"] = 0.123
    write_json(kept, gate_file(own.work_dir))
    evaluations.calls.clear()
    assert not evaluate(own, SUNDAY).kept
    assert {settings.gate.min_reference_likeness for settings in evaluations.calls} == {0.123}
