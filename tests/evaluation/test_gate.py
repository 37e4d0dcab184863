"""The gate of an evaluation is that of a night over the same catalogue, with the same scorer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, NightlyGateConfig, QualityGateConfig
from pigeon_rec.data.dataset import Dataset, load_dataset
from pigeon_rec.data.settings import DataSettings
from pigeon_rec.drawing.gate import NightGate, night_gate
from pigeon_rec.evaluation.gate import GivenGate, evaluation_gate
from pigeon_rec.evaluation.tables import gate_lines
from pigeon_rec.runtime.work_dir import gate_file
from pigeon_rec.scoring.scorer import Scorer
from tests.drawing.test_gate import Reader
from tests.small_world import write_catalogue, write_interactions


@pytest.fixture
def night(tmp_path: Path) -> NightlyConfig:
    items = write_catalogue(tmp_path, 60)
    rows = write_interactions(tmp_path / "rows.parquet", {"ann": ["i00", "i01", "i02"]})
    return NightlyConfig(catalogue=str(items), interactions=str(rows), work_dir=tmp_path / "nights")


def data_of(night: NightlyConfig) -> Dataset:
    return load_dataset(DataSettings(catalogue=night.catalogue, interactions=night.interactions))


def of_night(night: NightlyConfig, reader: Reader) -> NightGate:
    data = data_of(night)
    return night_gate(night, data.catalogue, data.prompt, reader)


def of_evaluation(
    night: NightlyConfig,
    reader: Reader,
    *,
    nights: bool = True,
    limits: NightlyGateConfig | None = None,
) -> NightGate:
    out = night.work_dir.parent / "evaluation"
    work_dir = night.work_dir if nights else None
    given = GivenGate(limits or NightlyGateConfig(), night.model, work_dir, out)
    return evaluation_gate(given, data_of(night), cast(Scorer, reader))


@pytest.mark.parametrize("literate", [True, False])
def test_whoever_is_first_both_have_the_same_limits(night: NightlyConfig, literate: bool) -> None:
    evaluated = of_evaluation(night, Reader(literate=literate))
    assert evaluated.calibration is not None
    assert of_night(night, Reader(literate=literate)) == evaluated
    assert (evaluated.limits.min_text_score > 0.9) is literate
    assert (evaluated.limits.min_reference_likeness is None) is literate


def test_the_calibration_of_the_nights_comes_first_and_is_not_changed(
    night: NightlyConfig,
) -> None:
    reader = Reader()
    own = of_evaluation(night, reader, nights=False)
    items = pl.read_parquet(night.catalogue)
    items.head(40).write_parquet(night.catalogue)
    first = of_night(night, reader)
    kept = gate_file(night.work_dir).read_bytes()
    items.write_parquet(night.catalogue)
    assert of_evaluation(night, reader) == first != own
    assert gate_file(night.work_dir).read_bytes() == kept
    # Without those nights it is calibrated on what there is now.
    assert of_evaluation(night, reader, nights=False) == own


def test_changed_texts_are_scored_anew(night: NightlyConfig) -> None:
    before = of_evaluation(night, Reader())
    items = pl.read_parquet(night.catalogue)
    wrong = items.with_columns(
        semantics=pl.col("semantics").shift(1, fill_value="a picture of i59")
    )
    wrong.write_parquet(night.catalogue)
    assert of_evaluation(night, Reader()) != before


def test_a_given_limit_is_kept_and_compared(night: NightlyConfig) -> None:
    gate = of_evaluation(night, Reader(), limits=NightlyGateConfig(min_text_score=1.01))
    assert gate.limits == QualityGateConfig(min_text_score=1.01)
    assert gate.summary()["own_texts_pass"] == 0.0


def test_the_bundled_stickers_have_the_default(tmp_path: Path) -> None:
    given = GivenGate(NightlyGateConfig(), "sticker-64", None, tmp_path)
    gate = evaluation_gate(given, load_dataset(), cast(Scorer, Reader()))
    assert gate == NightGate(QualityGateConfig())
    assert not gate_file(tmp_path).exists()


def test_a_report_names_the_limits() -> None:
    gate = {
        "min_text_score": -0.091,
        "min_reference_likeness": None,
        "pictures": 1508,
        "auc": 0.9452,
        "own_texts_pass": 0.951,
        "wrong_texts_pass": 0.279,
        "warnings": ["Texts are read poorly."],
    }
    assert gate_lines({"gate": gate}) == [
        "Quality gate: a text score of at least -0.091. Of 1,508 of the catalogue's own pictures, "
        "95% pass with their own text and 28% with a wrong one. AUC of right against wrong texts: "
        "0.95.",
        "Beware: Texts are read poorly.",
    ]
    unread: dict[str, Any] = {"min_text_score": -1.0, "own_texts_pass": None, "warnings": []}
    [line] = gate_lines({"gate": gate | unread | {"min_reference_likeness": 0.46, "auc": 0.52}})
    assert line == (
        "Quality gate: a likeness to the reference of at least 0.46. AUC of right against wrong "
        "texts: 0.52."
    )
    [line] = gate_lines({"gate": gate | unread | {"auc": None}})
    assert line == "Quality gate: neither texts nor likeness are checked."
    assert gate_lines({}) == []
