"""The weekly DAG as Airflow sees it, and one real alignment under `airflow dags test`."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pigeon_rec._cli.align import HELP
from pigeon_rec.config import GenerationConfig, NightlyConfig, PlanConfig
from pigeon_rec.drawing.models import FALLBACK, chosen_model
from pigeon_rec.nightly.steps import run_step as run_night_step
from pigeon_rec.training.configuration import load_training_config
from pigeon_rec.warehouse import query
from pigeon_rec.warehouse.models import list_models
from pigeon_rec.weekly import decide
from pigeon_rec.weekly.config import PromotionRules, load_weekly
from pigeon_rec.weekly.steps import STEPS, alignment_settings, run_step
from tests.dags.few_users import write_first_users
from tests.registered import registry
from tests.small_world import NIGHT

pytestmark = pytest.mark.slow  # in Airflow's own environment

SUNDAY = dt.date(2026, 6, 7)
TRAINED = ["prepare", "reconstruct", "pairs", "prefer", "bundle", "evaluate", "check"]


@pytest.fixture(scope="module")
def align(described: dict[str, Any]) -> dict[str, Any]:
    dag: dict[str, Any] = described["dags"]["pigeon_align"]
    return dag


def test_runs_on_sunday_at_four_one_at_a_time_without_catching_up(align: dict[str, Any]) -> None:
    assert align["schedule"] == "0 4 * * 0"
    assert not align["logical_date_is_start_of_interval"]
    assert align["catchup"] is False
    assert align["max_active_runs"] == 1
    assert align["documented"]


def test_steps_follow_each_other_and_the_check_has_two_ways_out(align: dict[str, Any]) -> None:
    row = {step: [before] for before, step in itertools.pairwise(TRAINED)}
    assert {name: task["upstream"] for name, task in align["tasks"].items()} == {
        "prepare": [],
        **row,
        "promote": ["check"],
        "keep_serving": ["check"],
    }
    assert [name for name, task in align["tasks"].items() if task["branches"]] == ["check"]


def test_dag_and_command_line_have_the_same_steps(align: dict[str, Any]) -> None:
    assert list(HELP) == list(STEPS) == [*TRAINED, "promote", "run"]
    assert align["tasks"].keys() - {"keep_serving"} == STEPS.keys() - {"run"}


def test_training_and_drawing_take_the_accelerator(align: dict[str, Any]) -> None:
    tasks = align["tasks"].items()
    taking = {name for name, task in tasks if task["pool"] == "pigeon_accelerator"}
    assert taking == {"prepare", "reconstruct", "pairs", "prefer", "evaluate"}


def test_every_step_runs_in_the_product_and_is_retried_twice(align: dict[str, Any]) -> None:
    for name, task in align["tasks"].items():
        assert task["retries"] == 2, name
        if name != "keep_serving":
            assert task["kind"] == "external_python", name
            assert "PIGEON_PYTHON" in task["python"], name


def test_lineage_leads_from_the_tables_to_the_serving_model(align: dict[str, Any]) -> None:
    data, stage_1, serving = "training_data", "stage_1_weights", "serving_model"

    def names(task: dict[str, Any], side: str) -> list[str]:
        return [asset.removeprefix("pigeon_") for asset in task[side]]

    assert {
        name: (names(task, "inlets"), names(task, "outlets"))
        for name, task in align["tasks"].items()
    } == {
        "prepare": (["catalogue", "interactions", serving], [data]),
        "reconstruct": ([data], [stage_1]),
        "pairs": ([data, stage_1], ["preference_pairs"]),
        "prefer": (["preference_pairs", stage_1], ["stage_2_weights"]),
        "bundle": ([stage_1, "stage_2_weights"], ["new_model"]),
        "evaluate": (["new_model", serving, data], ["evaluation"]),
        "check": (["evaluation"], ["promotion_check"]),
        "promote": (["new_model", "promotion_check"], [serving]),
        "keep_serving": (["promotion_check"], []),
    }


def test_a_wrong_setting_fails_the_run_at_once(airflow: Any, tmp_path: Path) -> None:
    config = tmp_path / "week.yaml"
    config.write_text("promotion_check: {improve: {histroy: 0.0}}\n", encoding="utf-8")
    ended = airflow.run(
        *("-m", "airflow", "dags", "test", "pigeon_align", SUNDAY.isoformat()),
        PIGEON_ALIGN_CONFIG=str(config),
        PIGEON_WORK_DIR=str(tmp_path / "var"),
    )
    assert ended.returncode != 0
    assert "histroy" in ended.stdout
    assert "a retry cannot help" in ended.stdout
    assert not (tmp_path / "var").exists()


def short(folder: Path) -> Path:
    """The bundled smoke alignment with a handful of steps in every training: its configuration."""
    training = load_training_config("smoke").model_dump(mode="json")
    for loop in training["loops"].values():
        loop["steps"] = 4
        loop["validate_every"] = min(loop["validate_every"], 2)
    training["pairs"] |= {"windows": 8, "validation_windows": 4, "min_margin": 0.0}
    settings = load_weekly("smoke").model_dump(mode="json", exclude={"work_dir"})
    for name, content in (
        ("training", training),
        ("week", settings | {"training": str(folder / "training.yaml")}),
    ):
        (folder / f"{name}.yaml").write_text(json.dumps(content), encoding="utf-8")
    return folder / "week.yaml"


@pytest.fixture(scope="module")
def week(airflow: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A short alignment run through Airflow: its folder and the output."""
    folder = tmp_path_factory.mktemp("week")
    pool = ("pools", "set", "pigeon_accelerator", "1", "training at the same time")
    assert airflow.run("-m", "airflow", *pool).returncode == 0
    ended = airflow.run(
        *("-m", "airflow", "dags", "test", "pigeon_align", SUNDAY.isoformat()),
        PIGEON_ALIGN_CONFIG=str(short(folder)),
        PIGEON_WORK_DIR=str(folder / "var"),
    )
    assert ended.returncode == 0, ended.stdout[-8000:]
    return folder, ended.stdout


@pytest.mark.timeout(3000)
def test_a_real_alignment_ends_in_a_verdict(week: tuple[Path, str]) -> None:
    folder, output = week
    work_dir = folder / "var"
    for step in TRAINED:
        assert output.count(f"starting task_id={step} ") == 1, step
    # A model of a few steps is refused, and the graph says so.
    assert output.count("starting task_id=promote ") == 0
    assert output.count("starting task_id=keep_serving ") == 1
    [model] = list_models(registry(work_dir))
    assert model.version.startswith("smoke-")
    assert (model.decision, model.serving) == ("refused", False)
    assert "hist_jis" in model.reason
    decision = work_dir / "alignments" / SUNDAY.isoformat() / "promotion_check.json"
    assert json.loads(decision.read_text(encoding="utf-8"))["version"] == model.version
    assert chosen_model("serving", work_dir).source == FALLBACK


@pytest.mark.timeout(3000)
def test_once_promoted_it_is_what_the_next_night_draws_with(
    week: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one metric inverted, the promotion check accepts this model."""
    work_dir = week[0] / "var"
    monkeypatch.setattr(decide, "LOWER_IS_BETTER", {"hist_jis"})
    lenient = PromotionRules(improve={"hist_jis": 0.0}, keep={}, confidence=0.5, min_cases=12)
    settings = alignment_settings(week[0] / "week.yaml", work_dir)
    settings = settings.model_copy(update={"promotion_check": lenient})
    assert run_step("check", settings, SUNDAY)["accepted"]
    version = run_step("promote", settings, SUNDAY)["version"]

    users = write_first_users(tmp_path / "few.inter")
    recommendations = tmp_path / "recommendations.parquet"
    pl.DataFrame(
        {"user_id": ["u00001"], "item_id": ["noto/red-apple"], "score": [1.0]}
    ).write_parquet(recommendations)
    night = NightlyConfig(
        model="serving",
        work_dir=work_dir,
        interactions=str(users),
        recommendations=str(recommendations),
        plan=PlanConfig(shards=1),
        generation=GenerationConfig(mask_ratios=(0.2,), diffusion_steps=2),
        threads=1,
    )
    for step in ("recommend", "plan", "generate", "publish"):
        run_night_step(step, night, NIGHT)
    drawn = query(registry(work_dir), "run_summary", {"run_id": NIGHT.isoformat()})
    assert drawn["model_version"].to_list() == [version]
    assert drawn["planned"].to_list() == [1]
