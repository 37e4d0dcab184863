"""A night that two machines draw, and one of which is killed in the middle."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.warehouse import check_warehouse
from tests.scale.cluster import Cluster, Machine
from tests.scale.nights import PICTURES, SHARDS, draw_alone, published, write_settings
from tests.scale.processes import wait_until

pytestmark = [pytest.mark.scale, pytest.mark.timeout(3000)]

# Airflow has one night per date.
UNDISTURBED = dt.date(2026, 6, 1)
DISTURBED = dt.date(2026, 6, 2)
EVERY_SHARD = set(range(SHARDS))


@dataclass(frozen=True)
class Machines:
    """Two workers that have nothing in common but the address of the exchange."""

    home: Machine
    draw: Machine


@pytest.fixture
def machines(cluster: Cluster, tmp_path: Path) -> Iterator[Machines]:
    settings = write_settings(tmp_path, f"file://{tmp_path / 'exchange'}")
    with ExitStack() as running:
        yield Machines(
            running.enter_context(cluster.machine(tmp_path / "home", settings, home=True)),
            running.enter_context(cluster.machine(tmp_path / "draw", settings, home=False)),
        )


def drawn_by(machine: Machine, date: dt.date) -> set[int]:
    """The shards that lie finished in a machine's work directory."""
    paths = NightPaths(machine.work_dir, date)
    return {shard for shard in EVERY_SHARD if paths.shard(shard).is_file()}


def assert_same_night(shared: NightPaths, alone: NightPaths) -> None:
    """Nothing lost, nothing doubled, every byte as one process makes it."""
    found, wanted = published(shared), published(alone)
    assert len(found.planned) == PICTURES
    assert found.planned == wanted.planned
    assert found.answered == found.planned
    assert found.pictures == wanted.pictures
    assert found.nights == [shared.run_id]
    assert check_warehouse(shared.warehouse).rows() == []
    for shard in EVERY_SHARD:
        assert shared.shard(shard).read_bytes() == alone.shard(shard).read_bytes()


def test_two_machines_draw_the_night_of_one(
    cluster: Cluster, machines: Machines, tmp_path: Path
) -> None:
    cluster.trigger("undisturbed", UNDISTURBED.isoformat())
    cluster.finish("undisturbed", machines.home.running, machines.draw.running)

    begun = machines.home.shards_begun("undisturbed") + machines.draw.shards_begun("undisturbed")
    assert sorted(begun) == [(shard, 1) for shard in range(SHARDS)]
    # Home fetches what the other has drawn; nobody fetches from home.
    assert set() < drawn_by(machines.draw, UNDISTURBED) < EVERY_SHARD
    assert drawn_by(machines.home, UNDISTURBED) == EVERY_SHARD
    assert_same_night(
        NightPaths(machines.home.work_dir, UNDISTURBED), draw_alone(tmp_path / "alone", UNDISTURBED)
    )


def test_a_machine_that_is_killed_at_a_shard_costs_nothing_but_time(
    cluster: Cluster, machines: Machines, tmp_path: Path
) -> None:
    alone = draw_alone(tmp_path / "alone", DISTURBED)
    cluster.trigger("disturbed", DISTURBED.isoformat())
    wait_until(
        # The first thing that drawing does.
        NightPaths(machines.draw.work_dir, DISTURBED).plan.is_file,
        "the second machine draws",
        [*cluster.services, machines.home.running, machines.draw.running],
        patience=600,
    )
    ((interrupted, _),) = machines.draw.shards_begun("disturbed")
    drawing = json.loads(alone.drawing_time(interrupted).read_text(encoding="utf-8"))
    time.sleep(drawing["seconds"] / 2)
    machines.draw.running.kill()
    assert drawn_by(machines.draw, DISTURBED) == set(), "it was to be killed before the end"

    cluster.finish("disturbed", machines.home.running)

    assert (interrupted, 2) in machines.home.shards_begun("disturbed")
    assert {shard for shard, _ in machines.home.shards_begun("disturbed")} == EVERY_SHARD
    assert drawn_by(machines.draw, DISTURBED) == set()
    assert_same_night(NightPaths(machines.home.work_dir, DISTURBED), alone)
