"""`python -m benchmarks.rendering MODEL:STEPS ...`: renderers and solver steps on real artwork.

Held-out artwork goes through tokens and renderer, with the same codes and the same noise in every
row. Judges say whether its style and its concept are still right, so that the renderer is measured
apart from the language model. The first renderer is what the others are compared with.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.result import machine
from benchmarks.sweep import shown_interval
from pigeon_rec.config import GenerationConfig
from pigeon_rec.data.dataset import load_dataset
from pigeon_rec.evaluation.judges import Judges
from pigeon_rec.evaluation.tables import write_between
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.placing import set_threads
from pigeon_rec.runtime.bootstrap import paired_interval

__all__ = ["BEGIN", "END", "Artwork", "Row", "held_out_artwork", "judged", "rendered", "table"]

BEGIN: Final = "<!-- rendering: begin -->"
END: Final = "<!-- rendering: end -->"
ROWS: Final = ("sticker-64:6", "sticker-64:3", "sticker-64:2", "sticker-64:1")

Images = NDArray[np.uint8]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Artwork:
    """Held-out artwork whose style and concept the judges know.

    Attributes:
        ids: Item of each picture.
        styles: Its style.
        concepts: Its concept.
        images: uint8 `[n, H, W, 3]`.
    """

    ids: list[str]
    styles: list[str]
    concepts: list[str]
    images: Images


@dataclass(frozen=True)
class Row:
    """How one version of the artwork was judged; one value per picture.

    Attributes:
        name: Model and steps.
        style: 1 if the style judge is right, else 0.
        concept: 1 if the right one of 100 concepts scores best, else 0.
        error: Mean squared error in levels from 0 to 1.
        seconds: Processor seconds a picture, decoding included; None of the artwork itself.
    """

    name: str
    style: Values
    concept: Values
    error: Values
    seconds: float | None = None


def held_out_artwork(judges: Judges, count: int, side: int) -> Artwork:
    """Returns held-out artwork of the bundled catalogue, spread over its styles."""
    data = load_dataset()
    rows = data.held_out_items().drop_nulls(["style", "concept"]).sort("style", "item_id")
    known = np.ones(rows.height, dtype=bool)
    for kind, judge in judges.by_kind().items():
        known &= judge.codes(rows[kind].to_list()) >= 0
    places = np.flatnonzero(known)
    places = places[np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int)]
    ids, styles, concepts = (
        rows[name][places].to_list() for name in ("item_id", "style", "concept")
    )
    images, _ = data.catalogue.images(ids, side)
    return Artwork(ids, styles, concepts, images)


def rendered(pipeline: PigeonPipeline, artwork: Artwork, steps: int) -> tuple[Images, float]:
    """Returns the artwork through tokens and renderer, and the processor seconds a picture."""
    codes = pipeline.encode_images(artwork.images)
    started = time.process_time()
    images = pipeline.render(codes, artwork.ids, GenerationConfig(diffusion_steps=steps))
    return images, (time.process_time() - started) / len(images)


def judged(
    judges: Judges, artwork: Artwork, name: str, images: Images, seconds: float | None = None
) -> Row:
    """Judges one version of the artwork."""
    by_kind = judges.by_kind()
    styles = judges.styles(by_kind["style"].embed(images))
    concepts = by_kind["concept"].embed(images)
    error = (images / 255.0 - artwork.images / 255.0) ** 2
    return Row(
        name,
        style=np.equal(styles, artwork.styles).astype(np.float64),
        concept=judges.concept_hits(concepts, artwork.concepts, artwork.ids).astype(np.float64),
        error=error.mean((1, 2, 3)),
        seconds=seconds,
    )


def table(artwork: Row, rows: Sequence[Row]) -> str:
    """Returns the table in Markdown, after a line on pictures and units."""
    first = rows[0]
    lines = [
        f"{len(artwork.style)} held-out artworks; seconds of one processor core a picture; shares "
        "times 100, in brackets the 95 % bootstrap interval of the difference to the first "
        "renderer, paired by picture.",
        "",
        "| renderer | seconds | style | concept | PSNR |",
        "|---|---:|---:|---:|---:|",
        f"| the artwork itself |  | {_share(artwork.style)} | {_share(artwork.concept)} |  |",
    ]
    for row in rows:
        shares = [
            _share(values)
            + ("" if row is first else f" ({shown_interval(paired_interval(values, before))})")
            for values, before in ((row.style, first.style), (row.concept, first.concept))
        ]
        decibels = f"{-10 * np.log10(row.error).mean():.1f} dB"
        lines.append(f"| {row.name} | {row.seconds:.3f} | {' | '.join(shares)} | {decibels} |")
    return "\n".join(lines) + "\n"


def _share(values: Values) -> str:
    return f"{100 * values.mean():.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the given renderers as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("renderers", nargs="*", default=ROWS, help="model and solver steps")
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", type=Path, help="file for the table, between its marks")
    options = parser.parse_args(arguments)
    set_threads(options.threads)
    judges = Judges.load()
    parted = (renderer.rpartition(":") for renderer in options.renderers)
    wanted = [(model, int(steps)) for model, _, steps in parted]
    models = {model: PigeonPipeline.from_pretrained(model) for model, _ in wanted}
    side = models[wanted[0][0]].config.tokenizer.image_size
    artwork = held_out_artwork(judges, options.pictures, side)
    rows = []
    for model, steps in wanted:
        images, seconds = rendered(models[model], artwork, steps)
        name = f"{Path(model).name}, {steps} step{'s' if steps > 1 else ''}"
        rows.append(judged(judges, artwork, name, images, seconds))
    shown = table(judged(judges, artwork, "the artwork itself", artwork.images), rows)
    print(shown)
    if machine()["busy"]:
        print("Other processes were running: the seconds are those of a busy machine.")
    if options.table is not None:
        write_between(shown, options.table, BEGIN, END)


if __name__ == "__main__":
    main()
