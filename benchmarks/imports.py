"""Time and peak memory of importing a team's own tables: `python -m benchmarks.imports`.

The tables are made: items with whole numbers as ids, texts and the path of a picture (several
items share a picture file, which is read for each of them), and interactions in random order. Each
import runs in a process of its own.
"""

from __future__ import annotations

import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from benchmarks.result import Bar, Figure, Result
from benchmarks.runner import main
from pigeon_rec.columns import InteractionColumns
from pigeon_rec.data.import_interactions import import_interactions
from pigeon_rec.data.import_items import import_items

__all__ = ["Import", "make_interactions", "make_items", "measure", "run_import"]

ITEMS = 1_000_000
INTERACTIONS = 20_000_000
PICTURES = 1_000
MOST_GIGABYTES = 4.0

_SIZE = 32
_PART = 1_000_000


@dataclass(frozen=True)
class Import:
    """One import.

    Attributes:
        table: `items` or `interactions`.
        rows: Rows of the table.
        kept: Rows written.
        seconds: Wall-clock time.
        gigabytes: Peak memory of its process.
    """

    table: str
    rows: int
    kept: int
    seconds: float
    gigabytes: float


def make_items(folder: Path, rows: int, pictures: int) -> Path:
    """Writes `items.csv` of so many rows, and the pictures that they name."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(pictures):
        pixels = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((_SIZE, _SIZE), Image.Resampling.NEAREST)
        picture.save(folder / "pictures" / f"{number}.png")
    ids = pl.int_range(rows, eager=True)
    table = pl.DataFrame({"sku": ids}).with_columns(
        name=pl.format("Article number {}", "sku"),
        description=pl.format("A fine thing of the kind {}, in a box", pl.col("sku") % 997),
        photo=pl.format("pictures/{}.png", pl.col("sku") % pictures),
    )
    table.write_csv(folder / "items.csv")
    return folder / "items.csv"


def make_interactions(folder: Path, rows: int, items: int) -> Path:
    """Writes `events.csv`: random users and items, in random order, times as ISO texts."""
    random = np.random.default_rng(1)
    path = folder / "events.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("customer,sku,at\n")
    for start in range(0, rows, _PART):
        count = min(_PART, rows - start)
        seconds = pl.Series(random.integers(1_700_000_000, 1_780_000_000, count))
        part = pl.DataFrame(
            {
                "customer": random.integers(0, max(1, rows // 20), count),
                "sku": random.integers(0, items, count),
                "at": pl.from_epoch(seconds, "s").dt.to_string("iso:strict"),
            }
        )
        with path.open("ab") as file:
            part.write_csv(file, include_header=False)
    return path


def measure(folder: Path, scale: float) -> Result:
    """Measures the import of a million items and 20 million interactions, times `scale`."""
    rows = {"items": round(ITEMS * scale), "interactions": round(INTERACTIONS * scale)}
    items = run_import("items", make_items(folder, rows["items"], PICTURES))
    pairs = run_import("interactions", make_interactions(folder, *reversed(rows.values())))
    both = (items, pairs)
    return Result(
        "imports of raw tables",
        [
            figure
            for each in both
            for figure in (
                Figure(f"{each.table}: rows", each.rows, "rows", f"{each.kept} kept"),
                Figure(f"{each.table}: time", each.seconds, "s"),
                Figure(f"{each.table}: rows per second", each.rows / each.seconds, "rows/s"),
            )
        ],
        [
            Bar(f"{each.table}: peak memory, GB", each.gigabytes, MOST_GIGABYTES, at_least=False)
            for each in both
        ],
    )


def run_import(table: str, source: Path) -> Import:
    """Imports a table in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_import, table, source).result()


def _import(table: str, source: Path) -> Import:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=source.parent) as out:
        if table == "items":
            items = import_items(str(source), Path(out))
            rows, kept = items.rows, items.items
        else:
            columns = InteractionColumns(user="customer", item="sku", time="at")
            pairs = import_interactions(str(source), Path(out, "interactions.parquet"), columns)
            rows, kept = pairs.rows, pairs.kept
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return Import(table, rows, kept, time.perf_counter() - began, peak)


if __name__ == "__main__":
    main(measure)
