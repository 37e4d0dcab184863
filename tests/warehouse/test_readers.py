"""Readers that read without pause while a hundred nights are published."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pigeon_rec.warehouse import check_serving, open_warehouse, promote, publish
from tests.warehouse.nights import FIRST, Pair, night_of

PUBLISHES = 100
READERS = 4
PAIRS: list[Pair] = [(f"user-{number}", "noto/apple") for number in range(8)]

# Two ways of reading: a reader that stays open, and a plain client that reopens the link.
READS = """
import json, os, sys, time
from pathlib import Path

import duckdb

from pigeon_rec.warehouse import AssetReader

link, stays_open = Path(sys.argv[1]), sys.argv[2] == "stays open"
PAIRS = [(f"user-{number}", "noto/apple") for number in range(8)]
QUESTION = "SELECT run_id, image_sha256, sha256(image) FROM served_assets"
os.nice(10)  # the publisher has to get on too

def read(reader):
    if stays_open:
        one = reader.get(*PAIRS[0])
        assert one is not None and one.image, one
        rows = reader.get_many(PAIRS)
        return rows["run_id"].to_list()
    with duckdb.connect(str(link), read_only=True) as client:
        rows = client.execute(QUESTION).fetchall()
    assert all(recorded == found for _, recorded, found in rows)
    return [run_id for run_id, *_ in rows]

nights, reads = [], 0
with AssetReader(link) as reader:
    print("reading", flush=True)
    while not link.with_name("stop").exists():
        found = read(reader)
        assert len(found) == len(PAIRS), found
        assert len(set(found)) == 1, found
        reads += 1
        if not nights or nights[-1] != found[0]:
            nights.append(found[0])
assert nights == sorted(nights), nights
print(json.dumps({"reads": reads, "nights": len(nights)}), flush=True)
"""


@pytest.mark.slow
def test_readers_see_whole_nights_through_a_hundred_publishes(
    writer_path: Path, serving: Path
) -> None:
    def promote_day(number: int) -> None:
        night = night_of(PAIRS, date=FIRST + dt.timedelta(days=number), version=f"v{number}")
        with open_warehouse(writer_path) as connection:
            assert publish(connection, night).changed
        promote(writer_path, serving)

    promote_day(0)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READS, str(serving), how], stdout=subprocess.PIPE, text=True
        )
        for how in ("stays open", "stays open", "stays open", "reopens")
    ]
    assert len(readers) == READERS
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
    for number in range(1, PUBLISHES + 1):
        promote_day(number)
    serving.with_name("stop").touch()
    seen = [json.loads(reader.communicate(timeout=120)[0]) for reader in readers]
    assert [reader.returncode for reader in readers] == [0] * READERS
    assert all(answer["reads"] > answer["nights"] > PUBLISHES / 5 for answer in seen), seen
    assert check_serving(serving).rows() == []
