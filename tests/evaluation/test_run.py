"""A whole evaluation with the bundled model, on two cases: drawn once and measured."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import GenerationConfig
from pigeon_rec.evaluation.compare import tally_answers, write_comparison
from pigeon_rec.evaluation.report import write_report
from pigeon_rec.evaluation.run import PER_CASE_SCHEMA, Evaluation, EvaluationSettings, evaluate
from pigeon_rec.evaluation.tables import markdown_table

SETTINGS = EvaluationSettings(
    cases=2,
    methods=("unchanged", "truth", "no_history", "averaged_history", "stage1", "full"),
    cases_of={"averaged_history": 1},
    generation=GenerationConfig(mask_ratios=(0.0, 0.3), rendered=1, diffusion_steps=1),
    resamples=100,
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluate(SETTINGS, tmp_path_factory.mktemp("evaluation"))


def value(result: Evaluation, method: str, metric: str) -> list[float]:
    rows = result.per_case.filter((pl.col("method") == method) & (pl.col("metric") == metric))
    return rows["value"].to_list()


@pytest.mark.slow
def test_every_method_is_measured_on_its_cases(result: Evaluation) -> None:
    assert result.per_case.schema == PER_CASE_SCHEMA
    assert pl.read_parquet(result.folder / "per_case.parquet").equals(result.per_case)
    counts = result.per_case.filter(pl.col("metric") == "concept_hit")["method"].value_counts()
    assert dict(counts.iter_rows()) == {
        "unchanged": 2, "truth": 2, "no_history": 2, "averaged_history": 1, "full": 2,
    }  # fmt: skip


@pytest.mark.slow
def test_real_artwork_equals_the_truth(result: Evaluation) -> None:
    assert value(result, "truth", "cis") == pytest.approx([1.0, 1.0], abs=1e-5)
    assert value(result, "truth", "ms_ssim") == pytest.approx([1.0, 1.0], abs=1e-5)
    assert value(result, "unchanged", "style_hit") == [0.0, 0.0]
    assert max(value(result, "unchanged", "cis")) < 0.999


@pytest.mark.slow
def test_the_history_reaches_the_picture(result: Evaluation) -> None:
    pictures = {
        name: pl.read_parquet(result.folder / f"chosen/{name}.parquet")["image"].to_list()
        for name in ("full", "no_history", "averaged_history")
    }
    assert pictures["full"] != pictures["no_history"]
    assert pictures["full"][0] != pictures["averaged_history"][0] != pictures["no_history"][0]


@pytest.mark.slow
def test_only_the_most_promising_candidates_are_rendered(result: Evaluation) -> None:
    written = {path.stem for path in (result.folder / "pictures").glob("*/*.npy")}
    rendered = {path.stem for path in (result.folder / "pictures").glob("*/*.png")}
    assert rendered <= written
    assert len(written) == 2 * len(rendered) == 2 * 5


@pytest.mark.slow
def test_missing_methods_are_listed(result: Evaluation) -> None:
    assert "stage1" in result.summary["missing"]
    assert "stage1" not in result.summary["methods"]


@pytest.mark.slow
def test_a_second_run_draws_nothing_and_gives_the_same_summary(
    result: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a picture was drawn again")

    monkeypatch.setattr("pigeon_rec.evaluation.candidates.CandidateStore._write", refuse)
    monkeypatch.setattr("pigeon_rec.model.pipeline.PigeonPipeline.render", refuse)
    assert evaluate(SETTINGS, result.folder).summary == result.summary


@pytest.mark.slow
def test_differences_are_the_full_model_minus_the_other(result: Evaluation) -> None:
    full, none = (value(result, name, "hist_cis") for name in ("full", "no_history"))
    interval = result.summary["differences"]["no_history"]["hist_cis"]
    assert interval["mean"] == pytest.approx(sum(full) / 2 - sum(none) / 2, abs=1e-5)
    assert interval["cases"] == 2


@pytest.mark.slow
def test_the_page_is_self_contained(result: Evaluation) -> None:
    page = write_report(result.folder, result.summary).read_text("utf-8")
    assert "full model" in page
    assert page.count("<img") >= 2 * (5 + 4)
    assert "<script" not in page
    assert 'src="http' not in page


@pytest.mark.slow
def test_the_table_says_what_was_measured(result: Evaluation) -> None:
    table, _, judges = markdown_table(result.summary).partition("Accuracy of the judges")
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 5
    assert len({row.count("|") for row in rows}) == 1
    assert [row.split("|")[1].strip() for row in (rows[1], rows[-1])] == [
        "unchanged reference",
        "full model",
    ]
    assert "`stage1`" in table
    assert "| judge | as it is | JPEG 75 | JPEG 60 |" in judges
    assert result.summary["judges"]["accuracy"][0]["artwork"] == "real"


@pytest.mark.slow
def test_a_comparison_is_written_and_tallied(result: Evaluation, tmp_path: Path) -> None:
    written = write_comparison(result.folder, "full", "unchanged", seed=1)
    assert written.cases == 2
    page, key = written.page.read_text("utf-8"), json.loads(written.key.read_text("utf-8"))
    assert not any(
        name in page for name in ("unchanged", "full model", *key["pairs"]["0"].values())
    )
    always_full = {n: "left" if p["left"] == "full" else "right" for n, p in key["pairs"].items()}
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"page_id": key["page_id"], "answers": always_full}))
    tally = tally_answers([answers], written.key)
    assert (tally.wins, tally.losses, tally.win_rate) == (2, 0, 1.0)
