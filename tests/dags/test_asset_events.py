"""What Airflow keeps of a real night: asset events, and the DAGs that they trigger."""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.warehouse import query
from tests.dags.conftest import NIGHT
from tests.scale.processes import start, wait_until
from tests.scale.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]  # in Airflow's own environment

COUNTS = ("planned", "generated", "reused", "served", "rejected", "skipped")
PATIENCE = 300.0
"""Seconds until the DAGs that a night triggers have run; enough for a busy machine."""


def rows(airflow: Any, statement: str) -> list[tuple[Any, ...]]:
    """Rows of Airflow's metadata database."""
    file = Path(airflow.environment["AIRFLOW_HOME"], "airflow.db")
    with closing(sqlite3.connect(file)) as database:
        return database.execute(statement).fetchall()


def events(airflow: Any, asset: str) -> list[tuple[str | None, dict[str, Any]]]:
    """Partition key and extra of the events of one asset of the nights, oldest first."""
    return [
        (key, json.loads(extra))
        for name, key, extra in rows(
            airflow,
            "SELECT name, partition_key, asset_event.extra FROM asset_event JOIN asset "
            "ON asset.id = asset_id WHERE source_dag_id = 'pigeon_nightly' ORDER BY timestamp",
        )
        if name == asset
    ]


def served(work_dir: Path) -> dict[str, Any]:
    """Date, counts and content of the served night, as readers see them."""
    serving = work_dir / "warehouse" / "serving.duckdb"
    [found] = query(serving, "run_summary", {"run_id": NIGHT}).to_dicts()
    return {"date": found["run_id"], **{name: found[name] for name in (*COUNTS, "content_sha256")}}


def test_served_assets_are_partitioned_by_date_and_carry_the_counts(
    airflow: Any, night: tuple[Path, list[str]]
) -> None:
    first, second = events(airflow, "pigeon_served_assets")
    # The second night draws nothing and serves the same.
    assert second == (NIGHT, served(night[0]))
    assert first[0] == NIGHT
    assert (first[1]["planned"], first[1]["served"] + first[1]["rejected"]) == (12, 12)
    assert first[1]["content_sha256"] == second[1]["content_sha256"]


def test_the_snapshot_has_the_same_counts_and_no_partition(
    airflow: Any, night: tuple[Path, list[str]]
) -> None:
    of_snapshot = events(airflow, "pigeon_serving_snapshot")
    of_served = events(airflow, "pigeon_served_assets")
    assert of_snapshot == [(None, extra) for _, extra in of_served]


def test_every_step_of_the_night_left_an_event(airflow: Any, night: tuple[Path, list[str]]) -> None:
    steps = [
        *("check", "generate", "plan", "plan_part", "promote", "publish", "recommend", "report"),
        "split",
    ]
    sources = "SELECT DISTINCT source_task_id FROM asset_event WHERE source_dag_id = "
    assert sorted(rows(airflow, f"{sources}'pigeon_nightly'")) == [(step,) for step in steps]


def test_a_night_triggers_dags_that_read_its_date_and_counts(
    airflow: Any, night: tuple[Path, list[str]], dags_with_consumers: Path, tmp_path: Path
) -> None:
    port, told = str(free_port()), tmp_path / "told"
    told.mkdir()
    environment = {
        **airflow.environment,
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_with_consumers),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__PARALLELISM": "1",
        "PIGEON_TOLD": str(told),
    }
    services = [
        start([airflow.python, "-m", "airflow", *words], tmp_path / f"{words[0]}.log", environment)
        for words in (
            ("api-server", "--host", "127.0.0.1", "--port", port, "--apps", "execution"),
            ("scheduler", "--skip-serve-logs"),
        )
    ]
    try:
        wait_until(
            lambda: len(ended(airflow, "success") | ended(airflow, "failed")) == 3,
            "all three DAGs have run",
            services,
            PATIENCE,
        )
    finally:
        for service in services:
            service.kill()
    # Both nights came before Airflow's scheduler did, so a run may have been told of both.
    for dag, key in (("after_the_night", None), ("of_the_partition", NIGHT)):
        of_nights = read(told / f"{dag}.json")
        assert of_nights["partition_key"] == key
        assert [event for event in of_nights["events"] if event != served(night[0])] == []
        assert of_nights["events"]
    assert ended(airflow, "success") == {"after_the_night", "of_the_partition", "refresh_shop"}
    [(returned,)] = rows(airflow, "SELECT value FROM xcom WHERE dag_id = 'refresh_shop'")
    assert json.loads(returned) == served(night[0])


def ended(airflow: Any, state: str) -> set[str]:
    """DAGs with a run, other than the nights, that ended in a state."""
    runs = "SELECT dag_id FROM dag_run WHERE run_type = 'asset_triggered' AND state = "
    return {dag for (dag,) in rows(airflow, f"{runs}'{state}'")}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_without_the_summary_of_publishing_the_event_has_the_date(
    airflow: Any, repository: Path
) -> None:
    """The summary may have been cleaned from the metadata database."""
    program = """
import json, sys
from collections import defaultdict
from types import SimpleNamespace as Of
from unittest.mock import MagicMock
sys.path.insert(0, sys.argv[1])
from pigeon_nightly import SERVED_ASSETS, announce
events = defaultdict(MagicMock)
publish = Of(xcom_pull=lambda task_ids: None)
announce({"task": Of(op_kwargs={"date": "2026-06-01"}), "ti": publish, "outlet_events": events})
event = events[SERVED_ASSETS]
print(json.dumps([event.extra, event.add_partitions.call_args.args]))
"""
    answer = airflow.run("-c", program, str(repository / "dags"))
    told = json.loads(answer.stdout.rstrip().rsplit("\n", 1)[-1])
    assert told == [{"date": NIGHT}, [NIGHT]]


def test_the_event_of_a_promoted_model_has_its_date_and_version(
    airflow: Any, repository: Path
) -> None:
    program = """
import json, sys
from collections import defaultdict
from types import SimpleNamespace as Of
sys.path.insert(0, sys.argv[1])
from pigeon_align import SERVING_MODEL, announce
events = defaultdict(Of)
context = {"task": Of(op_kwargs={"date": "2026-06-07"}), "outlet_events": events}
announce(context, {"version": "own-1", "step": "promote"})
print(json.dumps(events[SERVING_MODEL].extra))
"""
    answer = airflow.run("-c", program, str(repository / "dags"))
    told = json.loads(answer.stdout.rstrip().rsplit("\n", 1)[-1])
    assert told == {"date": "2026-06-07", "version": "own-1"}


def test_a_table_of_yours_has_the_address_of_your_lineage(airflow: Any, repository: Path) -> None:
    program = """
import sys
sys.path.insert(0, sys.argv[1])
for module in ("pigeon_nightly", "pigeon_align"):
    print(__import__(module).CATALOGUE.uri, __import__(module).INTERACTIONS.uri)
"""
    own = {"PIGEON_CATALOGUE_ASSET": "postgres://shop:5432/shop/public/items"}
    answer = airflow.run("-c", program, str(repository / "dags"), **own)
    line = f"{own['PIGEON_CATALOGUE_ASSET']} file://pigeon/interactions"
    assert answer.stdout.rstrip().splitlines()[-2:] == [line, line]
