"""`python -m tests.scale`: the speed-up of a night by a second machine that draws.

Both nights run through Airflow on this computer, with one thread per machine. The measurement needs
two idle cores; Airflow's own processes and the servers share them.
"""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack
from pathlib import Path

from benchmarks.result import Bar, Figure, Result
from benchmarks.runner import main
from tests.scale.cluster import Cluster, missing_parts, start_cluster
from tests.scale.nights import write_settings

__all__ = ["measure"]

ASSETS = 400  # enough that drawing dominates the time
SHARDS = 8
BAR = 1.7
_PATIENCE = 4 * 3600.0
_FIRST_DATE = dt.date(2026, 6, 1)


def measure(folder: Path, scale: float) -> Result:
    """Runs the same night with one machine and with two; `scale` multiplies its assets.

    Raises:
        LookupError: A server or Airflow with Celery is not installed.
    """
    if missing := missing_parts():
        raise LookupError(f"{', '.join(missing)} missing: run `make scale-test`")
    assets = max(SHARDS, round(ASSETS * scale))
    with start_cluster(folder) as cluster:
        nights, drawing = zip(
            *(_seconds(cluster, folder, machines, assets) for machines in (1, 2)), strict=True
        )
    return Result(
        f"a night of {assets} assets in {SHARDS} shards, on Airflow with Celery",
        [
            Figure("night, one machine", nights[0], "s"),
            Figure("night, two machines", nights[1], "s"),
            Figure("drawing alone, one machine", drawing[0], "s"),
            Figure("drawing alone, two machines", drawing[1], "s"),
            Figure("drawing alone, one against two", drawing[0] / drawing[1], "times"),
        ],
        [Bar("night, one against two", nights[0] / nights[1], BAR)],
    )


def _seconds(cluster: Cluster, folder: Path, machines: int, assets: int) -> tuple[float, float]:
    """Seconds of a whole night, and from the start of its first shard to the end of its last."""
    place = folder / f"machines-{machines}"
    place.mkdir()
    settings = write_settings(
        place, f"file://{place / 'exchange'}", users=assets, assets=assets, shards=SHARDS
    )
    date = _FIRST_DATE + dt.timedelta(days=machines)  # Airflow has one night per date
    with ExitStack() as running:
        workers = [
            running.enter_context(cluster.machine(place / name, settings, home=home)).running
            for name, home in [("home", True), ("draw", False)][:machines]
        ]
        cluster.trigger(place.name, date.isoformat())
        cluster.finish(place.name, *workers, patience=_PATIENCE)
    return cluster.seconds(place.name)


if __name__ == "__main__":
    main(measure)
