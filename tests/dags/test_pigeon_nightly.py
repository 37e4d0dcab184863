"""The nightly DAG as Airflow sees it, and one real night under `airflow dags test`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from pigeon_rec.errors import PigeonError
from pigeon_rec.runtime.airflow_step import TEMPORARY_FAILURE
from tests.dags.conftest import NIGHT

pytestmark = pytest.mark.slow  # in Airflow's own environment


@pytest.fixture(scope="module")
def nightly(described: dict[str, Any]) -> dict[str, Any]:
    dag: dict[str, Any] = described["dags"]["pigeon_nightly"]
    return dag


def test_every_dag_parses(described: dict[str, Any]) -> None:
    assert described["import_errors"] == {}


def test_runs_at_two_one_at_a_time_without_catching_up(nightly: dict[str, Any]) -> None:
    assert nightly["schedule"] == "0 2 * * *"
    assert nightly["logical_date_is_start_of_interval"]
    assert nightly["catchup"] is False
    assert nightly["max_active_runs"] == 1
    assert nightly["documented"]


def test_steps_follow_each_other(nightly: dict[str, Any]) -> None:
    assert {name: task["upstream"] for name, task in nightly["tasks"].items()} == {
        "check": [],
        "recommend": ["check"],
        "split": ["recommend"],
        "plan_part": ["split"],
        "plan": ["plan_part"],
        "generate": ["plan"],
        "publish": ["generate"],
        "promote": ["publish"],
        "report": ["promote"],
    }


def test_parts_and_shards_are_mapped_and_only_shards_take_the_accelerator(
    nightly: dict[str, Any],
) -> None:
    tasks = nightly["tasks"].items()
    assert sorted(name for name, task in tasks if task["mapped"]) == ["generate", "plan_part"]
    assert [name for name, task in tasks if task["pool"] == "pigeon_accelerator"] == ["generate"]


def test_every_task_runs_in_the_product_and_is_retried_twice(nightly: dict[str, Any]) -> None:
    for name, task in nightly["tasks"].items():
        assert task["kind"] == "external_python", name
        assert "PIGEON_PYTHON" in task["python"], name
        assert task["retries"] == 2, name


def test_a_night_without_parts_or_shards_goes_on(nightly: dict[str, Any]) -> None:
    assert nightly["tasks"]["plan"]["trigger_rule"] == "none_failed"
    assert nightly["tasks"]["publish"]["trigger_rule"] == "none_failed"


def test_lineage_leads_from_the_tables_to_what_is_served(nightly: dict[str, Any]) -> None:
    tables = ["pigeon_catalogue", "pigeon_interactions"]
    model = "pigeon_serving_model"
    lineage = {name: (task["inlets"], task["outlets"]) for name, task in nightly["tasks"].items()}
    assert lineage == {
        "check": (tables, ["pigeon_input_check"]),
        "recommend": (tables, ["pigeon_recommendations"]),
        "split": ([*tables, "pigeon_recommendations", model], ["pigeon_parts"]),
        "plan_part": (
            ["pigeon_parts", tables[0], "pigeon_recommendations"],
            ["pigeon_planned_parts"],
        ),
        "plan": (
            [*tables, "pigeon_recommendations", "pigeon_planned_parts", model, "pigeon_assets"],
            ["pigeon_plan"],
        ),
        "generate": (["pigeon_plan", tables[0], model], ["pigeon_drawn_pictures"]),
        "publish": (["pigeon_plan", tables[0], "pigeon_drawn_pictures"], ["pigeon_assets"]),
        "promote": (["pigeon_assets"], ["pigeon_served_assets", "pigeon_serving_snapshot"]),
        "report": (["pigeon_served_assets", "pigeon_plan", tables[0]], ["pigeon_report"]),
    }


@pytest.mark.parametrize("name", ["pigeon_nightly", "pigeon_align"])
def test_openlineage_shows_every_asset(described: dict[str, Any], name: str) -> None:
    assert all(task["in_lineage"] for task in described["dags"][name]["tasks"].values())


@pytest.mark.parametrize("module", ["pigeon_nightly", "pigeon_align"])
def test_only_temporary_failures_are_retried(retry_decisions: Any, module: str) -> None:
    permanent = sorted({str(kind.exit_code) for kind in PigeonError.__subclasses__()})
    killed = ["1", "-9", str(TEMPORARY_FAILURE)]
    assert retry_decisions(module, *permanent, *killed) == {
        **dict.fromkeys(permanent, "fail"),
        **dict.fromkeys([*killed, "ValueError"], "default"),
    }


def test_a_wrong_setting_fails_the_run_at_once(airflow: Any, tmp_path: Path) -> None:
    config = tmp_path / "night.yaml"
    config.write_text("plan: {shards: none}\n", encoding="utf-8")
    ended = airflow.run(
        *("-m", "airflow", "dags", "test", "pigeon_nightly", NIGHT),
        PIGEON_CONFIG=str(config),
        PIGEON_WORK_DIR=str(tmp_path / "var"),
    )
    assert ended.returncode != 0
    assert "plan.shards" in ended.stdout
    assert "a retry cannot help" in ended.stdout
    assert not (tmp_path / "var").exists()


@pytest.mark.timeout(3000)
def test_a_real_night_ends_in_served_pictures(night: tuple[Path, list[str]]) -> None:
    work_dir, (first, _) = night
    assert first.count("starting task_id=plan_part") == 2
    assert first.count("starting task_id=generate") >= 2
    with duckdb.connect(str(work_dir / "warehouse" / "serving.duckdb"), read_only=True) as served:
        runs = served.execute("SELECT run_id, planned, served + rejected FROM runs").fetchall()
        rows = served.execute("SELECT user_id, item_id, image, score FROM served_assets").fetchall()
    assert runs == [(NIGHT, 12, 12)]
    assert rows
    assert all(image.startswith(b"\x89PNG") for _, _, image, _ in rows)
    assert all(-1.0 <= score <= 1.0 for *_, score in rows)
    gallery = work_dir / "runs" / NIGHT / "gallery.html"
    assert rows[0][0] in gallery.read_text(encoding="utf-8")


@pytest.mark.timeout(3000)
def test_the_same_night_again_draws_nothing(night: tuple[Path, list[str]]) -> None:
    work_dir, (_, second) = night
    assert second.count("starting task_id=generate") == 0
    assert second.count("starting task_id=promote") == 1
    snapshots = list((work_dir / "warehouse" / "snapshots").glob("*.duckdb"))
    assert len(snapshots) == 1
