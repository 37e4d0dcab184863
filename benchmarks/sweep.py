"""`python -m benchmarks.sweep FILE`: quality and cost of alternative generation settings.

The YAML file names the settings (`SweepSettings`). All of them draw the same held-out cases with
the same keys, as a night draws, and are compared with the first of the file. Judges measure style
and concept, the model's scorer likeness to history and text. Pictures are kept in the folder of
`--out`, one file for each of the settings: a stopped sweep resumes, and other judges can measure
the same pictures again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from benchmarks.result import machine
from pigeon_rec.config import GenerationConfig, QualityGateConfig
from pigeon_rec.data.dataset import load_dataset
from pigeon_rec.drawing import Request
from pigeon_rec.drawing.drawer import Drawer
from pigeon_rec.drawing.items import ItemTable
from pigeon_rec.evaluation.cases import cases_with_histories
from pigeon_rec.evaluation.judges import Judges
from pigeon_rec.evaluation.run import metric_suite
from pigeon_rec.evaluation.tables import write_between
from pigeon_rec.model.placing import set_threads
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.bootstrap import Interval, mean_interval, paired_interval
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.files import replacing, write_json
from pigeon_rec.runtime.settings import Count, Positive, Settings, check_settings, read_settings

__all__ = [
    "BEGIN",
    "END",
    "Drawn",
    "Row",
    "SweepSettings",
    "draw",
    "main",
    "shown_interval",
    "sweep",
    "table",
]

BEGIN: Final = "<!-- sweep: begin -->"
END: Final = "<!-- sweep: end -->"

COLUMNS: Final[Mapping[str, str]] = {
    "style_hit": "style",
    "concept_hit": "concept",
    "both_hit": "both",
    "hist_cis": "history likeness",
    "cs": "text likeness",
    "rejected": "refused",
}
"""Metric -> head of its column."""

Values = NDArray[np.float64]


class SweepSettings(Settings):
    """What a sweep compares.

    Attributes:
        model: Name of a bundled model, or the folder of a saved one; its scorer chooses.
        cases: Number of held-out cases.
        seed: Decides the cases, and with them the keys of all pictures.
        threads: CPU threads; 0 for torch's default. Cost is counted over all threads.
        gate: Limits of the quality gate.
        settings: Name -> generation settings; those left out are a night's.
    """

    model: str = "sticker-64"
    cases: Positive = 100
    seed: int = 0
    threads: Count = 1
    gate: QualityGateConfig = QualityGateConfig()
    settings: Annotated[dict[str, GenerationConfig], Field(min_length=1)]


@dataclass(frozen=True)
class Drawn:
    """The chosen picture of each case.

    Attributes:
        images: uint8 `[cases, side, side, 3]`.
        rejected: 1 if the quality gate refused every candidate, so that a night would serve the
            original; float64 `[cases]`.
        seconds: Processor seconds of the drawing, of all threads together.
    """

    images: NDArray[np.uint8]
    rejected: Values
    seconds: float


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: Name of the settings.
        seconds: Processor seconds a picture.
        values: Metric of `COLUMNS` -> one value per case.
    """

    name: str
    seconds: float
    values: Mapping[str, Values]


def sweep(settings: SweepSettings, folder: Path) -> list[Row]:
    """Draws and measures all settings, in their order; `folder` keeps the pictures.

    Raises:
        ConfigError: There are fewer held-out pairs than cases.
        ModelError: The model or a judge cannot be loaded.
    """
    set_threads(settings.threads)
    cases = cases_with_histories(settings.cases, settings.seed, scorer=settings.model)
    drawer = Drawer.load(settings.model, gate=settings.gate)
    items = ItemTable(drawer.catalogue, _item_ids(cases), drawer.backbone.image_size, drawer.scorer)
    suite = metric_suite(items, cases, Judges.load(), drawer.scorer, load_dataset())
    requests = _requests(cases, settings.seed)
    fixed = settings.model_dump(mode="json", include={"seed", "gate"})
    fixed |= {"model": model_version(settings.model), "cases": cases["case_id"].to_list()}
    rows = []
    for name, generation in settings.settings.items():
        key = digest(fixed | {"generation": generation.model_dump(mode="json")})
        drawn = draw(
            drawer.with_generation(**dict(generation)), requests, items, folder / f"{key[:32]}.npz"
        )
        values = suite.measure(drawn.images, cases) | {"rejected": drawn.rejected}
        seconds = drawn.seconds / len(requests)
        rows.append(Row(name, seconds, {metric: values[metric] for metric in COLUMNS}))
        print(f"{name}: {seconds:.2f} s a picture", flush=True)
    return rows


def draw(drawer: Drawer, requests: Sequence[Request], items: ItemTable, file: Path) -> Drawn:
    """Draws the requests, or reads what was drawn from the file.

    The seconds are without reading, tokenising and embedding the items, which is done once.
    """
    if not file.exists():
        _ = drawer.codes(items), items.embeddings
        started = time.process_time()
        assets = drawer.draw(requests, items)
        seconds = time.process_time() - started
        with replacing(file) as path:
            np.savez_compressed(
                path,
                images=np.stack([asset.image for asset in assets]),
                rejected=np.array([asset.choice.rejection is not None for asset in assets]),
                seconds=seconds,
            )
    with np.load(file) as stored:
        rejected = stored["rejected"].astype(np.float64)
        return Drawn(stored["images"], rejected, float(stored["seconds"]))


def table(rows: Sequence[Row]) -> str:
    """Returns the table in Markdown, after a line on cases and units."""
    first = rows[0]
    cases = len(first.values["style_hit"])
    lines = [
        f"{cases} held-out cases; seconds of one processor core a picture; shares and cosines "
        "times 100, in brackets the 95 % bootstrap interval of the difference to the first line, "
        "paired by case.",
        "",
        "| settings | seconds | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---:|" + "---:|" * len(COLUMNS),
    ]
    for row in rows:
        cells = [
            f"{100 * row.values[metric].mean():.1f}"
            + ("" if row is first else f" ({shown_interval(_apart(row, first, metric))})")
            for metric in COLUMNS
        ]
        lines.append(f"| {row.name} | {row.seconds:.2f} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _summary(
    settings: SweepSettings, rows: Sequence[Row], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings, facts of the machine, and each row's means and differences to the first."""
    return {
        "settings": settings.model_dump(mode="json"),
        "model_version": model_version(settings.model),
        "machine": dict(facts),
        "rows": [
            {
                "name": row.name,
                "seconds": row.seconds,
                "metrics": {
                    metric: asdict(mean_interval(row.values[metric])) for metric in COLUMNS
                },
                "differences": {metric: asdict(_apart(row, rows[0], metric)) for metric in COLUMNS},
            }
            for row in rows
        ],
    }


def _apart(row: Row, first: Row, metric: str) -> Interval:
    return paired_interval(row.values[metric], first.values[metric])


def shown_interval(apart: Interval) -> str:
    """Both ends of a difference of shares, times 100 and with their signs."""
    return f"{100 * apart.low:+.1f} to {100 * apart.high:+.1f}"


def _requests(cases: pl.DataFrame, seed: int) -> list[Request]:
    wanted = cases.select("case_id", "history_ids", "reference_id")
    return [
        Request(f"{case}/{seed}", history=tuple(history), reference=reference)
        for case, history, reference in wanted.iter_rows()
    ]


def _item_ids(cases: pl.DataFrame) -> list[str]:
    """Every item that is drawn from or measured against, repeats included."""
    lists = [cases[name].explode() for name in ("history_ids", "random_ids")]
    return pl.concat([cases["reference_id"], cases["truth_id"], *lists]).to_list()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a sweep as a command.

    Raises:
        ConfigError: The settings cannot be used.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path, help="YAML file of `SweepSettings`")
    parser.add_argument("--model", help="replaces the setting")
    parser.add_argument("--cases", type=int, help="replaces the setting")
    parser.add_argument("--out", type=Path, default=Path("var/sweep"), help="folder for pictures")
    parser.add_argument("--table", type=Path, help="file for the table, between its marks")
    options = parser.parse_args(arguments)
    settings = read_settings(SweepSettings, options.settings, "Give the path of a YAML file")
    given = {"model": options.model, "cases": options.cases}
    values = settings.model_dump() | {k: v for k, v in given.items() if v is not None}
    settings = check_settings(SweepSettings, values, "options")
    facts = machine()
    rows = sweep(settings, options.out)
    write_json(_summary(settings, rows, facts), options.out / "sweep.json")
    shown = table(rows)
    print(shown)
    if facts["busy"]:
        print("Other processes were running: the seconds are those of a busy machine.")
    if options.table is not None:
        write_between(shown, options.table, BEGIN, END)


if __name__ == "__main__":
    main()
