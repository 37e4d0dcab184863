"""A night on two Celery workers, one of which is killed in the middle of drawing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.warehouse import ask
from tests.conftest import ROOT
from tests.dags.few_users import write_first_users
from tests.scale.cluster import Cluster, running_cluster, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

AIRFLOW = ROOT / ".venv-scale" / "bin" / "airflow"
NIGHT = """
interactions: {interactions}
exchange: file://{exchange}
candidates: {candidates}
threads: 1
plan: {{max_assets: 32, max_assets_per_user: 4, shards: 6, cohorts: {{count: 0}}}}
generation: {{mask_ratios: [0.0, 0.2]}}
gate: {{min_text_score: -1.0}}
"""
STATES = "SELECT task_id, map_index, state, try_number FROM task_instance WHERE task_id = '{}'"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not AIRFLOW.exists():
        pytest.skip("no Celery environment: run `make scale-test`")
    folder = tmp_path_factory.mktemp("cluster")
    settings = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "PIGEON_PYTHON": sys.executable,
        "PIGEON_CONFIG": str(_small_night(folder)),
        "PIGEON_QUEUE": "home",
        "PIGEON_DRAW_QUEUE": "draw",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    # Two machines as it were: each with a disk of its own, and the warehouse on the first.
    workers = {
        "one": ("home,draw", {"PIGEON_WORK_DIR": str(folder / "one")}),
        "two": ("draw", {"PIGEON_WORK_DIR": str(folder / "two")}),
    }
    with running_cluster(folder, AIRFLOW, settings, workers) as started:
        yield started


def _small_night(folder: Path) -> Path:
    """A configuration: eight users, four candidates each."""
    interactions = write_first_users(folder / "few.inter")
    users = sorted({line.split("\t")[0] for line in interactions.read_text().splitlines()[1:]})
    items = ["noto/red-apple", "noto/tiger-face", "noto/dog-face", "noto/fox"]
    pairs = [(user, item, -float(n)) for user in users for n, item in enumerate(items)]
    frame = pl.DataFrame(pairs, schema=["user_id", "item_id", "score"], orient="row")
    frame.write_parquet(folder / "candidates.parquet")
    config = folder / "night.yaml"
    text = NIGHT.format(
        interactions=interactions,
        candidates=folder / "candidates.parquet",
        exchange=folder / "exchange",
    )
    config.write_text(text, encoding="utf-8")
    return config


def test_a_killed_worker_loses_and_doubles_nothing(cluster: Cluster) -> None:
    cluster.run("pools", "set", "pigeon_accelerator", "2", "shards drawn at the same time")

    def registered() -> bool:
        return bool(cluster.ask("SELECT 1 FROM dag WHERE dag_id = 'pigeon_nightly'"))

    wait_until(registered, 240, "the DAG")
    # Its first run is that of the last whole day.
    cluster.run("dags", "unpause", "pigeon_nightly")

    def both_draw() -> bool:
        drawing = [row for row in cluster.ask(STATES.format("generate")) if row[2] == "running"]
        return len(drawing) == 2 and all(map(cluster.draws, cluster.workers))

    wait_until(both_draw, 600, "two workers at drawing")
    cluster.kill("two")

    def over() -> bool:
        return cluster.ask("SELECT state FROM dag_run")[0][0] in ("success", "failed")

    wait_until(over, 900, "the end of the night")
    assert cluster.ask("SELECT state FROM dag_run") == [["success"]]
    shards = cluster.ask(STATES.format("generate"))
    assert {row[2] for row in shards} == {"success"}
    # The shard of the killed worker was tried again.
    assert max(int(row[3]) for row in shards) > 1
    _check_served(cluster.folder / "one")


def _check_served(work_dir: Path) -> None:
    (plan,) = (work_dir / "runs").glob("*/plan.parquet")
    planned = pl.read_parquet(plan).select("user_id", "item_id", "asset_key").sort("asset_key")
    serving = work_dir / "warehouse" / "serving.duckdb"
    told = ask(
        serving,
        "SELECT user_id, item_id, asset_key FROM run_assets UNION ALL "
        "SELECT user_id, item_id, asset_key FROM rejections",
    )
    assets = ask(serving, "SELECT asset_key FROM assets")["asset_key"]
    assert planned.height == 32
    # The other machine drew, and has never seen the warehouse.
    assert not (work_dir.parent / "two" / "warehouse").exists()
    assert told.sort("asset_key").equals(planned)
    assert assets.len() == assets.n_unique() > 0
