"""The nightly DAG as Airflow sees it, and one real night under `airflow dags test`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from pigeon_rec.errors import PigeonError
from pigeon_rec.runtime.airflow_step import TEMPORARY_FAILURE
from tests.dags.few_users import write_first_users

pytestmark = pytest.mark.slow  # in Airflow's own environment

NIGHT = "2026-06-01"
SMALL_NIGHT = """
interactions: {interactions}
threads: 1
recommender: {{epochs: 1, embedding_size: 8, top_k: 5}}
plan: {{max_assets: 12, max_assets_per_user: 2, shards: 3}}
generation: {{mask_ratios: [0.3], diffusion_steps: 4}}
gate: {{min_text_score: -1.0}}
"""


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
        "plan": ["recommend"],
        "generate": ["plan"],
        "publish": ["generate"],
        "promote": ["publish"],
        "report": ["promote"],
    }


def test_only_generate_is_mapped_and_takes_the_accelerator(nightly: dict[str, Any]) -> None:
    tasks = nightly["tasks"].items()
    assert [name for name, task in tasks if task["mapped"]] == ["generate"]
    assert [name for name, task in tasks if task["pool"] == "pigeon_accelerator"] == ["generate"]


def test_every_task_runs_in_the_product_and_is_retried_twice(nightly: dict[str, Any]) -> None:
    for name, task in nightly["tasks"].items():
        assert task["kind"] == "external_python", name
        assert "PIGEON_PYTHON" in task["python"], name
        assert task["retries"] == 2, name


def test_a_night_without_shards_is_still_published(nightly: dict[str, Any]) -> None:
    assert nightly["tasks"]["publish"]["trigger_rule"] == "none_failed"


def test_promotion_updates_the_asset(nightly: dict[str, Any]) -> None:
    outlets = {name: task["outlets"] for name, task in nightly["tasks"].items() if task["outlets"]}
    assert outlets == {"promote": ["pigeon_served_assets"]}


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


@pytest.fixture(scope="module")
def night(airflow: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A small night run twice through Airflow: its work directory and both outputs."""
    folder = tmp_path_factory.mktemp("night")
    interactions = write_first_users(folder / "few.inter")
    config = folder / "night.yaml"
    config.write_text(SMALL_NIGHT.format(interactions=interactions), encoding="utf-8")
    pool = ("pools", "set", "pigeon_accelerator", "1", "pictures at the same time")
    assert airflow.run("-m", "airflow", *pool).returncode == 0
    outputs = []
    for _ in range(2):
        ended = airflow.run(
            *("-m", "airflow", "dags", "test", "pigeon_nightly", NIGHT),
            PIGEON_CONFIG=str(config),
            PIGEON_WORK_DIR=str(folder / "var"),
        )
        assert ended.returncode == 0, ended.stdout[-8000:]
        outputs.append(ended.stdout)
    return folder / "var", outputs


@pytest.mark.timeout(3000)
def test_a_real_night_ends_in_served_pictures(night: tuple[Path, list[str]]) -> None:
    work_dir, (first, _) = night
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
