"""Prints the DAGs of a folder as one JSON object; run by Airflow's interpreter, not by pytest."""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime


def describe_task(task: Any) -> dict[str, Any]:
    options = task.partial_kwargs if task.is_mapped else {}

    def option(name: str) -> Any:
        return options.get(name, getattr(task, name, None))

    return {
        "upstream": sorted(task.upstream_task_ids),
        "mapped": task.is_mapped,
        "kind": "external_python" if "python" in task.template_fields else "other",
        "branches": type(task).__name__.startswith("_Branch"),
        "python": option("python"),
        "pool": option("pool"),
        "retries": option("retries"),
        "trigger_rule": option("trigger_rule").value,
        "inlets": [asset.name for asset in option("inlets") or []],
        "outlets": [asset.name for asset in option("outlets") or []],
        "in_lineage": all(map(in_lineage, [*option("inlets"), *option("outlets")])),
    }


def in_lineage(asset: Any) -> bool:
    """Whether OpenLineage shows an asset: it leaves those out whose scheme has no converter."""
    scheme = str(asset.normalized_uri).partition(":")[0]
    return scheme in ProvidersManagerTaskRuntime().asset_to_openlineage_converters


def main(folder: str) -> None:
    """Prints every DAG of the files below `folder`, as Airflow reads it."""
    bag = DagBag(folder)
    dags = {
        name: {
            "documented": bool(dag.doc_md),
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "schedule": dag.schedule.summary,
            "logical_date_is_start_of_interval": type(dag.schedule).__name__
            == "CronDataIntervalTimetable",
            "tasks": {task.task_id: describe_task(task) for task in dag.tasks},
        }
        for name, dag in bag.dags.items()
    }
    print(json.dumps({"import_errors": bag.import_errors, "dags": dags}))


if __name__ == "__main__":
    main(sys.argv[1])
