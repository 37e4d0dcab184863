"""The nightly run as an Airflow DAG: thin tasks around `pigeon_rec.nightly.steps`.

RecBole and Airflow pin different versions of the same packages, so Airflow has its own environment
and every task runs in the product's interpreter. This file imports nothing but Airflow.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, dag, task
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.timetables.interval import CronDataIntervalTimetable

ACCELERATOR_POOL = "pigeon_accelerator"
SERVED_ASSETS = Asset(name="pigeon_served_assets", uri="x-pigeon://warehouse/served_assets")


def setting(name: str, default: str = "") -> str:
    """Returns a template of one setting; it is rendered when a task runs, not at parse time.

    The Airflow Variable `name` comes first, then the environment variable `name`, then `default`.
    """
    fallback = os.environ.get(name) or default
    # `ascii` writes the text as a string of Jinja's, whatever quotes and braces are in it.
    return "{{ var.value.get('" + name + "', " + ascii(fallback) + ") }}"


IN_PRODUCT = {
    "python": setting("PIGEON_PYTHON", str(Path(__file__).parents[1] / ".venv/bin/python")),
    "expect_airflow": False,
    # The machine with the work directory; executors without queues ignore it.
    "queue": os.environ.get("PIGEON_QUEUE") or "default",
}
DRAWING = {**IN_PRODUCT, "queue": os.environ.get("PIGEON_DRAW_QUEUE") or IN_PRODUCT["queue"]}
SETTINGS = {
    # A manual run may have no logical date: it takes the last whole day, as a scheduled run does.
    "date": "{{ ds if dag_run.logical_date else macros.ds_add(dag_run.run_after | ds, -1) }}",
    "config": setting("PIGEON_CONFIG"),
    "work_dir": setting("PIGEON_WORK_DIR"),
}

DOC = """
### One night of personalised visuals

`check -> recommend -> plan -> generate (one task per shard) -> publish -> promote -> report`

The run at 02:00 UTC is for the day that has just ended, its *logical date*. Steps exchange files in
the night's folder `<work dir>/runs/<date>/`, so a failed task can be cleared and run again;
finished shards are kept. A backfill of a past date gives the same rows as a run on that date.

* **Settings**: Airflow Variables or environment variables `PIGEON_PYTHON` (the product's
  interpreter), `PIGEON_CONFIG` (nightly YAML file; empty for the defaults) and `PIGEON_WORK_DIR`
  (absolute folder of runs and warehouse; empty for the configuration's own).
* **Queues**: environment variables `PIGEON_QUEUE` (workers with the work directory) and
  `PIGEON_DRAW_QUEUE` (workers that draw); both are `default` unless set.
* **Pool**: `pigeon_accelerator`; its slots are the shards drawn at the same time.
* **Asset**: `pigeon_served_assets` is updated when readers get the new night; your own DAG can be
  scheduled on it.
* **Retries**: two, for failures that may pass. A wrong setting, a missing input or an unusable
  model fails at once.
* **Bad items and users** never fail a night; they are listed in the table `problems` and counted
  in the report.
"""


class OnlyTemporary(RetryPolicy):
    """Retries only failures that may pass.

    Errors that a retry cannot cure end with exit status 2 to 5 (`PigeonError.exit_code`), others
    with 75. A killed process or a bug is retried as usual.
    """

    permanent = frozenset({2, 3, 4, 5})

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - part of Airflow's interface
        max_tries: int,  # noqa: ARG002
        context: Any = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Fails at once on a permanent exit status, and leaves the rest to Airflow."""
        status = getattr(exception, "returncode", None)
        if isinstance(exception, subprocess.CalledProcessError) and status in self.permanent:
            return RetryDecision.fail(f"exit status {status}: a retry cannot help")
        return RetryDecision.default()


@dag(
    dag_id="pigeon_nightly",
    doc_md=DOC,
    # With a data interval the logical date is the day that has ended, so a backfill of that date
    # reads the same interactions as the run at 02:00 did.
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "retry_policy": OnlyTemporary(),
    },
    tags=["pigeon"],
)
def pigeon_nightly() -> None:
    """Connects the steps; task bodies run in another interpreter and cannot use this file."""

    @task.external_python(**IN_PRODUCT)
    def check(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("check", date, config, work_dir)

    @task.external_python(**IN_PRODUCT)
    def recommend(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("recommend", date, config, work_dir)

    @task.external_python(**IN_PRODUCT)
    def plan(date: str, config: str, work_dir: str) -> list[int]:
        from pigeon_rec.nightly.steps import run_in_airflow

        # One mapped task per shard with pictures to draw; none if all pictures are reused.
        return list(run_in_airflow("plan", date, config, work_dir)["shards_to_draw"])

    @task.external_python(
        **DRAWING,
        pool=ACCELERATOR_POOL,
        map_index_template="shard {{ task.op_kwargs['shard'] }}",
    )
    def generate(date: str, config: str, work_dir: str, shard: int) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("generate", date, config, work_dir, shard)

    # Not "all succeeded": without shards to draw, the mapped task counts as skipped.
    @task.external_python(**IN_PRODUCT, trigger_rule="none_failed")
    def publish(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("publish", date, config, work_dir)

    @task.external_python(**IN_PRODUCT, outlets=[SERVED_ASSETS])
    def promote(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("promote", date, config, work_dir)

    @task.external_python(**IN_PRODUCT)
    def report(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("report", date, config, work_dir)

    recommendations = recommend(**SETTINGS)
    shards = plan(**SETTINGS)
    pictures = generate.partial(**SETTINGS).expand(shard=shards)
    check(**SETTINGS) >> recommendations >> shards
    pictures >> publish(**SETTINGS) >> promote(**SETTINGS) >> report(**SETTINGS)


pigeon_nightly()
