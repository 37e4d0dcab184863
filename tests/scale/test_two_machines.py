"""A night drawn by two machines, also if one of them is killed."""

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
from tests.scale.nights import ASSETS, SHARDS, draw_alone, published, write_settings
from tests.scale.processes import wait_until

pytestmark = [pytest.mark.scale, pytest.mark.timeout(3000)]

# Airflow has one night per date.
UNDISTURBED = dt.date(2026, 6, 1)
DISTURBED = dt.date(2026, 6, 2)
EVERY_SHARD = set(range(SHARDS))


@dataclass(frozen=True)
class Machines:
    """Two workers that share only the location of the exchange."""

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
    """The finished shards in a machine's work directory."""
    paths = NightPaths(machine.work_dir, date)
    return {shard for shard in EVERY_SHARD if paths.shard(shard).is_file()}


def assert_same_night(shared: NightPaths, alone: NightPaths) -> None:
    """Checks that every pair is answered once and every byte equals that of one process."""
    result, expected = published(shared), published(alone)
    assert len(result.planned) == ASSETS
    assert result.planned == expected.planned
    assert result.answered == result.planned
    assert result.assets == expected.assets
    assert result.nights == [shared.run_id]
    assert check_warehouse(shared.warehouse).rows() == []
    for shard in EVERY_SHARD:
        assert shared.shard(shard).read_bytes() == alone.shard(shard).read_bytes()


def test_two_machines_draw_the_same_night_as_one(
    cluster: Cluster, machines: Machines, tmp_path: Path
) -> None:
    cluster.trigger("undisturbed", UNDISTURBED.isoformat())
    cluster.finish("undisturbed", machines.home.running, machines.draw.running)

    begun = machines.home.shards_begun("undisturbed") + machines.draw.shards_begun("undisturbed")
    assert sorted(begun) == [(shard, 1) for shard in range(SHARDS)]
    # The home machine fetches the other's shards, but not the other way round.
    assert set() < drawn_by(machines.draw, UNDISTURBED) < EVERY_SHARD
    assert drawn_by(machines.home, UNDISTURBED) == EVERY_SHARD
    assert_same_night(
        NightPaths(machines.home.work_dir, UNDISTURBED), draw_alone(tmp_path / "alone", UNDISTURBED)
    )


def test_a_night_is_complete_if_a_machine_is_killed_while_drawing(
    cluster: Cluster, machines: Machines, tmp_path: Path
) -> None:
    alone = draw_alone(tmp_path / "alone", DISTURBED)
    cluster.trigger("disturbed", DISTURBED.isoformat())
    wait_until(
        # The first file that drawing writes.
        NightPaths(machines.draw.work_dir, DISTURBED).plan.is_file,
        "the second machine draws",
        [*cluster.services, machines.home.running, machines.draw.running],
        patience=600,
    )
    ((interrupted, _),) = machines.draw.shards_begun("disturbed")
    drawing = json.loads(alone.drawing_time(interrupted).read_text(encoding="utf-8"))
    time.sleep(drawing["seconds"] / 2)
    machines.draw.running.kill()
    assert drawn_by(machines.draw, DISTURBED) == set(), "the shard was finished before the kill"

    cluster.finish("disturbed", machines.home.running)

    assert (interrupted, 2) in machines.home.shards_begun("disturbed")
    assert {shard for shard, _ in machines.home.shards_begun("disturbed")} == EVERY_SHARD
    assert drawn_by(machines.draw, DISTURBED) == set()
    assert_same_night(NightPaths(machines.home.work_dir, DISTURBED), alone)
