"""The nightly run as an Airflow DAG: thin tasks around `pigeon_rec.nightly.steps`.

Airflow lives in an environment of its own, since RecBole and Airflow pin different versions of the
same packages. Every task therefore runs in the product's interpreter; this file imports nothing
but Airflow and parses in milliseconds.
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
    """A template for one setting, rendered when a task runs: parsing asks no database.

    The Airflow Variable `name` wins over the environment variable of that name, which wins over
    `default`.
    """
    fallback = os.environ.get(name) or default
    return "{{ var.value.get('" + name + "', '" + fallback + "') }}"


IN_PRODUCT = {
    "python": setting("PIGEON_PYTHON", str(Path(__file__).parents[1] / ".venv/bin/python")),
    "expect_airflow": False,
    # The machine that has the work directory; executors without queues take no notice.
    "queue": os.environ.get("PIGEON_QUEUE") or "default",
}
DRAWING = {**IN_PRODUCT, "queue": os.environ.get("PIGEON_DRAW_QUEUE") or IN_PRODUCT["queue"]}
SETTINGS = {
    # A run triggered by hand may have no logical date: then, as on schedule, the last whole day.
    "date": "{{ ds if dag_run.logical_date else macros.ds_add(dag_run.run_after | ds, -1) }}",
    "config": setting("PIGEON_CONFIG"),
    "work_dir": setting("PIGEON_WORK_DIR"),
}

DOC = """
### One night of personalised visuals

`recommend -> plan -> generate (one task per shard) -> publish -> promote -> report`

The run of 02:00 UTC works on the day that has just ended, its *logical date*. Steps talk through
files in the night's folder `<work dir>/runs/<date>/`, so a failed task can be cleared and run
again; finished shards are kept. A run for a past date gives the rows that a run on that date
would have given.

* **Settings**: Airflow Variables or environment variables `PIGEON_PYTHON` (interpreter that has
  the product), `PIGEON_CONFIG` (nightly YAML file; empty for the defaults) and `PIGEON_WORK_DIR`
  (absolute folder of runs and warehouse; empty for the configuration's own).
* **Queues**: environment variables `PIGEON_QUEUE` (workers of the machine with the work directory)
  and `PIGEON_DRAW_QUEUE` (those that draw); both `default` unless set.
* **Pool**: `pigeon_accelerator`, with as many slots as shards may be drawn at the same time.
* **Asset**: `pigeon_served_assets` is updated when readers see the new night; schedule your own
  DAG on it.
* **Retries**: two, for what a second try may cure. A wrong setting, missing input or unusable
  model fails at once.
* **Bad items and users** never fail a night: they are counted in the `problems` table and in the
  report.
"""


class OnlyTemporary(RetryPolicy):
    """Spares the retries where the product has said that a second try cannot help.

    The product ends with 2 to 5 for such errors (`PigeonError.exit_code`), and with 75 for those
    that may pass; a killed process or a defect keeps the usual retries.
    """

    permanent = frozenset({2, 3, 4, 5})

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - part of Airflow's interface
        max_tries: int,  # noqa: ARG002
        context: Any = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Fails at once on an exit status of the product's own, and leaves the rest to Airflow."""
        status = getattr(exception, "returncode", None)
        if isinstance(exception, subprocess.CalledProcessError) and status in self.permanent:
            return RetryDecision.fail(f"exit status {status}: a retry cannot help")
        return RetryDecision.default()


@dag(
    dag_id="pigeon_nightly",
    doc_md=DOC,
    # A data interval, not a bare cron time: the logical date is the day that has ended, so a
    # backfill of that date sees the same interactions as the run at 02:00 did.
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
    """Wires the steps; every task body runs elsewhere and may use nothing of this file."""

    @task.external_python(**IN_PRODUCT)
    def recommend(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("recommend", date, config, work_dir)

    @task.external_python(**IN_PRODUCT)
    def plan(date: str, config: str, work_dir: str) -> list[int]:
        from pigeon_rec.nightly.steps import run_in_airflow

        # One mapped task per shard that has pictures to draw; a night of reuse alone has none.
        return list(run_in_airflow("plan", date, config, work_dir)["shards_to_draw"])

    @task.external_python(
        **DRAWING,
        pool=ACCELERATOR_POOL,
        map_index_template="shard {{ task.op_kwargs['shard'] }}",
    )
    def generate(date: str, config: str, work_dir: str, shard: int) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("generate", date, config, work_dir, shard)

    # "None failed", not "all succeeded": with no shard to draw the mapped task counts as skipped.
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
    recommendations >> shards
    pictures >> publish(**SETTINGS) >> promote(**SETTINGS) >> report(**SETTINGS)


pigeon_nightly()
