"""The weekly alignment as an Airflow DAG: thin tasks around `pigeon_rec.weekly.steps`.

Every task runs in the product's interpreter, as in `pigeon_nightly`; this file imports nothing but
Airflow and parses in milliseconds. The two files share no code: Airflow reads each DAG file on its
own, and not every way of reading puts their folder on the path.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, dag, task
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.timetables.trigger import CronTriggerTimetable

ACCELERATOR_POOL = "pigeon_accelerator"


def data(name: str, path: str) -> Asset:
    """Returns the asset of some data of the alignments; its address is a name, as in the nights."""
    return Asset(name=f"pigeon_{name}", uri=f"file://pigeon/{path}")


def table(name: str) -> Asset:
    """Returns the asset of a table of yours, with the URI of `PIGEON_<NAME>_ASSET` if it is set."""
    own = os.environ.get(f"PIGEON_{name.upper()}_ASSET")
    return Asset(own) if own else data(name, name)


CATALOGUE, INTERACTIONS = table("catalogue"), table("interactions")
SERVING_MODEL = data("serving_model", "warehouse/serving_model")
TRAINING_DATA = data("training_data", "alignment/training_data")
STAGE_1 = data("stage_1_weights", "alignment/stage_1")
PAIRS = data("preference_pairs", "alignment/pairs")
STAGE_2 = data("stage_2_weights", "alignment/stage_2")
NEW_MODEL = data("new_model", "alignment/model")
EVALUATION = data("evaluation", "alignment/evaluation")
VERDICT = data("promotion_check", "alignment/promotion_check")


def setting(name: str, default: str = "") -> str:
    """Returns the template of one setting; it is rendered when a task runs, not at parse time.

    The Airflow Variable `name` wins over the environment variable of that name, which wins over
    `default`.
    """
    fallback = os.environ.get(name) or default
    # `ascii` writes the text as a string of Jinja's, whatever quotes and braces are in it.
    return "{{ var.value.get('" + name + "', " + ascii(fallback) + ") }}"


IN_PRODUCT = {
    "python": setting("PIGEON_PYTHON", str(Path(__file__).parents[1] / ".venv/bin/python")),
    "expect_airflow": False,
}
SETTINGS = {
    # A run triggered by hand may have no logical date; it gets the day it was triggered.
    "date": "{{ ds if dag_run.logical_date else (dag_run.run_after | ds) }}",
    "config": setting("PIGEON_ALIGN_CONFIG"),
    "work_dir": setting("PIGEON_WORK_DIR"),
}

DOC = """
### The weekly alignment

`prepare -> reconstruct -> pairs -> prefer -> bundle -> evaluate -> check -> promote`

Every Sunday at 04:00 UTC training goes on from the serving model: stage 1 (masked preference
reconstruction), preference pairs from its own pictures, stage 2 (pairwise preference alignment).
The new and the serving model then draw the same held-out cases. The new model is promoted only if
it passes the promotion check; else the run ends in `keep_serving`, and the registry holds the
reason. Catalogue, users, scenario and the model to start from are settings: with
`night: night.yaml` in the weekly file they are those of the nights.

Steps exchange files in `<work dir>/alignments/<date>/`, so a failed task can be cleared and run
again: finished steps are kept, and training resumes from its checkpoint.

* **Settings**: Airflow Variables or environment variables `PIGEON_PYTHON` (interpreter that has
  the product), `PIGEON_ALIGN_CONFIG` (weekly YAML file or the name of a bundled one; empty for the
  defaults) and `PIGEON_WORK_DIR` (absolute folder of runs, alignments and warehouse; empty for the
  configuration's own).
* **Pool**: training and drawing take a slot of `pigeon_accelerator`, as nights do.
* **Asset**: `pigeon_serving_model` is updated when a model is promoted; the event's `extra` has
  `date` and `version`. Nights with `model: serving` draw with it from then on.
* **Lineage**: every task has inlets and outlets. `PIGEON_CATALOGUE_ASSET` and
  `PIGEON_INTERACTIONS_ASSET` (environment variables) are the URIs of these tables in your lineage.
* **Retries**: two, for errors that may pass. A wrong setting, missing input or unusable model
  fails at once.
* **Registry**: `pigeon-rec models list`; the verdict in numbers: `promotion_check.json`.
"""


class OnlyTemporary(RetryPolicy):
    """Does not retry errors that the product marks as permanent.

    The product exits with 2 to 5 for such errors (`PigeonError.exit_code`) and with 75 for errors
    that may pass; a killed process or a bug keeps the usual retries.
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


def announce(context: Any, result: Any = None) -> None:
    """Gives the event of the promoted model its date and version; runs in Airflow's process."""
    date = context["task"].op_kwargs["date"]
    version = (result or {}).get("version")
    context["outlet_events"][SERVING_MODEL].extra = {"date": date, "version": version}


@dag(
    dag_id="pigeon_align",
    doc_md=DOC,
    # Not an interval: an alignment belongs to the day it runs on.
    schedule=CronTriggerTimetable("0 4 * * 0", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "retry_policy": OnlyTemporary(),
    },
    tags=["pigeon"],
)
def pigeon_align() -> None:
    """Connects the steps; task bodies run in another interpreter and use nothing of this file."""

    @task.external_python(
        **IN_PRODUCT,
        pool=ACCELERATOR_POOL,
        inlets=[CATALOGUE, INTERACTIONS, SERVING_MODEL],
        outlets=[TRAINING_DATA],
    )
    def prepare(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.weekly.steps import run_in_airflow

        return run_in_airflow("prepare", date, config, work_dir)

    @task.external_python(
        **IN_PRODUCT,
        pool=ACCELERATOR_POOL,
        inlets=[TRAINING_DATA],
        outlets=[STAGE_1],
    )
    def reconstruct(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.weekly.steps import run_in_airflow

        return run_in_airflow("reconstruct", date, config, work_dir)

    @task.external_python(
        **IN_PRODUCT,
        pool=ACCELERATOR_POOL,
        inlets=[TRAINING_DATA, STAGE_1],
        outlets=[PAIRS],
    )
    def pairs(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.weekly.steps import run_in_airflow

        return run_in_airflow("pairs", date, config, work_dir)

    @task.external_python(
        **IN_PRODUCT,
        pool=ACCELERATOR_POOL,
        inlets=[PAIRS, STAGE_1],
        outlets=[STAGE_2],
    )
    def prefer(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.weekly.steps import run_in_airflow

        return run_in_airflow("prefer", date, config, work_dir)

    @task.external_python(**IN_PRODUCT, inlets=[STAGE_1, STAGE_2], outlets=[NEW_MODEL])
    def bundle(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.weekly.steps import run_in_airflow

        return run_in_airflow("bundle", date, config, work_dir)

    @task.external_python(
        **IN_PRODUCT,
        pool=ACCELERATOR_POOL,
        inlets=[NEW_MODEL, SERVING_MODEL, TRAINING_DATA],
        outlets=[EVALUATION],
    )
    def evaluate(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.weekly.steps import run_in_airflow

        return run_in_airflow("evaluate", date, config, work_dir)

    # Returns the id of the task to run next; the other one is skipped.
    @task.branch_external_python(**IN_PRODUCT, inlets=[EVALUATION], outlets=[VERDICT])
    def check(date: str, config: str, work_dir: str) -> str:
        from pigeon_rec.weekly.steps import run_in_airflow

        accepted = run_in_airflow("check", date, config, work_dir)["accepted"]
        return "promote" if accepted else "keep_serving"

    @task.external_python(
        **IN_PRODUCT,
        inlets=[NEW_MODEL, VERDICT],
        outlets=[SERVING_MODEL],
        post_execute=announce,
    )
    def promote(date: str, config: str, work_dir: str) -> dict[str, Any]:
        from pigeon_rec.weekly.steps import run_in_airflow

        return run_in_airflow("promote", date, config, work_dir)

    trained = prepare(**SETTINGS) >> reconstruct(**SETTINGS) >> pairs(**SETTINGS)
    evaluated = trained >> prefer(**SETTINGS) >> bundle(**SETTINGS) >> evaluate(**SETTINGS)
    keep_serving = EmptyOperator(task_id="keep_serving", inlets=[VERDICT])
    evaluated >> check(**SETTINGS) >> [promote(**SETTINGS), keep_serving]


pigeon_align()
