"""Both stages and the bundle of a tiny alignment: kept, resumed, and their files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.version import model_version
from pigeon_rec.weekly.config import WeeklyConfig
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.records import finished
from pigeon_rec.weekly.stages import bundle, pairs, prefer, reconstruct
from tests.weekly.conftest import SUNDAY


def test_every_step_is_kept_when_it_runs_again(alignment: WeeklyConfig) -> None:
    for step in (reconstruct, pairs, prefer, bundle):
        assert step(alignment, SUNDAY).kept


def test_facts_hold_the_results(trained: WeeklyConfig) -> None:
    paths = AlignmentPaths.of(trained, SUNDAY)
    assert finished(paths, "reconstruct").facts["step"] == 2
    assert 0 < finished(paths, "reconstruct").facts["loss"] < 10
    table = pl.read_parquet(paths.training / "pairs.parquet")
    assert finished(paths, "pairs").facts == {"pairs": table.height}
    assert table.height > 0


def test_the_bundle_is_a_model_that_loads_with_the_recorded_version(trained: WeeklyConfig) -> None:
    paths = AlignmentPaths.of(trained, SUNDAY)
    facts = finished(paths, "bundle").facts
    folder = trained.work_dir / facts["weights_path"]
    assert facts["version"] == model_version(folder)
    assert facts["version"].startswith("tiny-")
    assert facts["sha256"].startswith(facts["version"].removeprefix("tiny-"))
    assert PigeonPipeline.from_pretrained(folder).config.name == "tiny"


def test_a_lost_file_is_made_again_and_what_follows_from_it_is_not(alignment: WeeklyConfig) -> None:
    """The same inputs give the same pairs, so stage 2 still belongs to them."""
    table = AlignmentPaths.of(alignment, SUNDAY).training / "pairs.parquet"
    before = table.read_bytes()
    table.unlink()
    with pytest.raises(TrainingError, match=r"'pairs' are gone.*pigeon-rec align pairs"):
        prefer(alignment, SUNDAY)
    assert not pairs(alignment, SUNDAY).kept
    assert table.read_bytes() == before
    assert prefer(alignment, SUNDAY).kept


def test_other_pairs_train_stage_two_anew(alignment: WeeklyConfig) -> None:
    paths = AlignmentPaths.of(alignment, SUNDAY)
    record = finished(paths, "pairs")
    table = paths.training / "pairs.parquet"
    table.write_bytes(table.read_bytes())
    other = record.model_copy(update={"made_from": "0" * 64})
    paths.record("pairs").write_text(other.model_dump_json(exclude={"kept"}), encoding="utf-8")
    assert not prefer(alignment, SUNDAY).kept
    assert not bundle(alignment, SUNDAY).kept


@pytest.mark.parametrize(
    ("step", "needed"), [(pairs, "reconstruct"), (prefer, "pairs"), (bundle, "prefer")]
)
def test_a_step_too_early_says_what_to_run(
    alignment: WeeklyConfig, step: object, needed: str
) -> None:
    AlignmentPaths.of(alignment, SUNDAY).record(needed).unlink()
    with pytest.raises(TrainingError, match=f"pigeon-rec align {needed}"):
        step(alignment, SUNDAY)  # type: ignore[operator]


def test_a_bundle_made_again_holds_nothing_of_the_try_before(alignment: WeeklyConfig) -> None:
    paths = AlignmentPaths.of(alignment, SUNDAY)
    version = finished(paths, "bundle").facts["version"]
    paths.record("bundle").unlink()
    (paths.model("tiny") / "stray.txt").touch()
    assert bundle(alignment, SUNDAY).facts["version"] == version


def test_no_step_reads_or_writes_outside_its_work_directory(
    trained: WeeklyConfig, tmp_path: Path, alignment: WeeklyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder moved as a whole is as good as before."""
    moved = alignment.model_copy(
        update={"work_dir": alignment.work_dir.rename(tmp_path / "elsewhere")}
    )
    assert bundle(moved, SUNDAY).kept
