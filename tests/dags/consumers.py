"""DAGs that a night triggers, as a team would write them; read by Airflow, not by pytest.

Each writes what it was told about the night to `<PIGEON_TOLD>/<dag id>.json`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, PartitionedAssetTimetable, dag, task

SNAPSHOT = Asset(name="pigeon_serving_snapshot", uri="file://pigeon/serving/snapshot")
SERVED = Asset(name="pigeon_served_assets", uri="file://pigeon/serving/served_assets")
SCHEDULES = {
    "after_the_night": [SNAPSHOT],
    "of_the_partition": PartitionedAssetTimetable(assets=SERVED),
    "never": [SERVED],  # its events are partitioned
}


@task
def note(dag_id: str, **context: Any) -> None:
    events = [event for found in context["triggering_asset_events"].values() for event in found]
    told = {
        "partition_key": context["dag_run"].partition_key,
        "events": [event.extra for event in events],
    }
    Path(os.environ["PIGEON_TOLD"], f"{dag_id}.json").write_text(json.dumps(told), "utf-8")


for name, schedule in SCHEDULES.items():

    @dag(dag_id=name, schedule=schedule, is_paused_upon_creation=False)
    def consumer(dag_id: str) -> None:
        note(dag_id)

    consumer(name)
