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


def data(name: str, path: str) -> Asset:
    """Returns the asset of some data of the nights.

    OpenLineage shows only schemes that it knows, so these are `file` addresses. They are names of a
    made-up host: the real paths are settings, which are rendered when a task runs.
    """
    return Asset(name=f"pigeon_{name}", uri=f"file://pigeon/{path}")


def table(name: str) -> Asset:
    """Returns the asset of a table of yours: the environment variable `PIGEON_<NAME>_ASSET`.

    Set to the URI that your own lineage has for the table, it joins both.
    """
    own = os.environ.get(f"PIGEON_{name.upper()}_ASSET")
    return Asset(own) if own else data(name, name)


CATALOGUE, INTERACTIONS = table("catalogue"), table("interactions")
CHECKED = data("input_check", "night/check")
PARTS, PLANNED_PARTS = data("parts", "night/parts"), data("planned_parts", "night/planned_parts")
RECOMMENDATIONS = data("recommendations", "night/recommendations")
PLAN = data("plan", "night/plan")
DRAWN_PICTURES = data("drawn_pictures", "night/shards")
ASSETS = data("assets", "warehouse/assets")
SERVED_ASSETS = data("served_assets", "serving/served_assets")
SERVING_SNAPSHOT = data("serving_snapshot", "serving/snapshot")
REPORT = data("report", "night/report")
SERVING_MODEL = data("serving_model", "warehouse/serving_model")

COUNTS = ("planned", "generated", "reused", "served", "rejected", "skipped")


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

`check -> recommend -> split -> plan_part (one task per part of the users) -> plan -> generate (one
task per shard) -> publish -> promote -> report`

With fewer users than `plan.users_per_part` there are no parts, and `plan` does it all.

The run at 02:00 UTC is for the day that has just ended, its *logical date*. Steps exchange files in
the night's folder `<work dir>/runs/<date>/`, so a failed task can be cleared and run again;
finished shards are kept. A backfill of a past date gives the same rows as a run on that date.

* **Settings**: Airflow Variables or environment variables `PIGEON_PYTHON` (the product's
  interpreter), `PIGEON_CONFIG` (nightly YAML file; empty for the defaults) and `PIGEON_WORK_DIR`
  (absolute folder of runs and warehouse; empty for the configuration's own).
* **Queues**: environment variables `PIGEON_QUEUE` (workers with the work directory) and
  `PIGEON_DRAW_QUEUE` (workers that draw); both are `default` unless set.
* **Pool**: `pigeon_accelerator`; its slots are the shards drawn at the same time.
* **Assets**: `promote` updates two when readers get the new night. Schedule your own DAG with
  `schedule=[Asset(name="pigeon_serving_snapshot", uri="file://pigeon/serving/snapshot")]`, or, for
  the date in `dag_run.partition_key`, with `schedule=PartitionedAssetTimetable(assets=Asset(
  name="pigeon_served_assets", uri="file://pigeon/serving/served_assets"))`. Events of the second
  are partitioned: `schedule=[...]` alone never runs on them. The `extra` of both has `date`,
  `planned`, `generated`, `reused`, `served`, `rejected`, `skipped` and `content_sha256`.
* **Lineage**: every task has inlets and outlets. `PIGEON_CATALOGUE_ASSET` and
  `PIGEON_INTERACTIONS_ASSET` (environment variables) are the URIs of these tables in your lineage.
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


def announce(context: Any, result: object = None) -> None:  # noqa: ARG001 - a hook's interface
    """Gives the events of the promoted night its date and its counts; runs in Airflow's process."""
    date = context["task"].op_kwargs["date"]
    night = context["ti"].xcom_pull(task_ids="publish") or {}
    counts = {name: night[name] for name in (*COUNTS, "content_sha256") if name in night}
    events = context["outlet_events"]
    for asset in (SERVED_ASSETS, SERVING_SNAPSHOT):
        events[asset].extra = {"date": date, **counts}
    events[SERVED_ASSETS].add_partitions(date)


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

    @task.external_python(**IN_PRODUCT, inlets=[CATALOGUE, INTERACTIONS], outlets=[CHECKED])
    def check(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("check", date, config, work_dir)

    @task.external_python(**IN_PRODUCT, inlets=[CATALOGUE, INTERACTIONS], outlets=[RECOMMENDATIONS])
    def recommend(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("recommend", date, config, work_dir)

    @task.external_python(
        **IN_PRODUCT,
        inlets=[CATALOGUE, INTERACTIONS, RECOMMENDATIONS, SERVING_MODEL],
        outlets=[PARTS],
    )
    def split(date: str, config: str, work_dir: str) -> list[int]:
        from pigeon_rec.nightly.steps import run_in_airflow

        # One mapped task per part; none if there are few users: then `plan` does it all.
        return list(run_in_airflow("split", date, config, work_dir)["parts"])

    @task.external_python(
        **IN_PRODUCT,
        map_index_template="part {{ task.op_kwargs['part'] }}",
        inlets=[PARTS, CATALOGUE, RECOMMENDATIONS],
        outlets=[PLANNED_PARTS],
    )
    def plan_part(date: str, config: str, work_dir: str, part: int) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("plan-part", date, config, work_dir, part)

    # Not "all succeeded": without parts, the mapped task counts as skipped.
    @task.external_python(
        **IN_PRODUCT,
        trigger_rule="none_failed",
        inlets=[CATALOGUE, INTERACTIONS, RECOMMENDATIONS, PLANNED_PARTS, SERVING_MODEL, ASSETS],
        outlets=[PLAN],
    )
    def plan(date: str, config: str, work_dir: str) -> list[int]:
        from pigeon_rec.nightly.steps import run_in_airflow

        # One mapped task per shard with pictures to draw; none if all pictures are reused.
        return list(run_in_airflow("plan", date, config, work_dir)["shards_to_draw"])

    @task.external_python(
        **DRAWING,
        pool=ACCELERATOR_POOL,
        map_index_template="shard {{ task.op_kwargs['shard'] }}",
        inlets=[PLAN, CATALOGUE, SERVING_MODEL],
        outlets=[DRAWN_PICTURES],
    )
    def generate(date: str, config: str, work_dir: str, shard: int) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("generate", date, config, work_dir, shard)

    # Not "all succeeded": without shards to draw, the mapped task counts as skipped.
    @task.external_python(
        **IN_PRODUCT,
        trigger_rule="none_failed",
        inlets=[PLAN, CATALOGUE, DRAWN_PICTURES],
        outlets=[ASSETS],
    )
    def publish(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("publish", date, config, work_dir)

    @task.external_python(
        **IN_PRODUCT,
        inlets=[ASSETS],
        outlets=[SERVED_ASSETS, SERVING_SNAPSHOT],
        post_execute=announce,
    )
    def promote(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("promote", date, config, work_dir)

    @task.external_python(**IN_PRODUCT, inlets=[SERVED_ASSETS, PLAN, CATALOGUE], outlets=[REPORT])
    def report(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.nightly.steps import run_in_airflow

        return run_in_airflow("report", date, config, work_dir)

    parts = split(**SETTINGS)
    shards = plan(**SETTINGS)
    pictures = generate.partial(**SETTINGS).expand(shard=shards)
    check(**SETTINGS) >> recommend(**SETTINGS) >> parts
    plan_part.partial(**SETTINGS).expand(part=parts) >> shards
    pictures >> publish(**SETTINGS) >> promote(**SETTINGS) >> report(**SETTINGS)


pigeon_nightly()
