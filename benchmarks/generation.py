"""`python -m benchmarks.generation`: the published loop against a night, on the same weights.

The loop draws as the published code does: each sample alone, all its pictures tokenised anew for
each of 11 mask ratios, each ratio a full pass, 25 DDIM steps guided away from zero prompts, and a
scorer loaded anew for each metric of each ratio. It is spared what costs most there: a new process
and model for each ratio, and the four beams. A night draws the same held-out cases of test users
from a plan, the loading of model, catalogue and scorer included. Both take turns by blocks of
cases, so that a busy moment meets both.

`--ablation N` tells for N cases what each measure brings alone, what all bring without it, and what
those would bring that a night does not take by itself.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import math
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.result import Bar, Figure, Result, run
from pigeon_rec.config import GenerationConfig, NightlyConfig
from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.evaluation.cases import held_out_cases
from pigeon_rec.evaluation.tables import write_between
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.published.pipeline import PUBLISHED_GENERATION
from pigeon_rec.model.version import model_version
from pigeon_rec.nightly.generate import generate_shard
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import PLAN_SCHEMA
from pigeon_rec.placement import Placement
from pigeon_rec.runtime.bootstrap import Interval, paired_interval
from pigeon_rec.runtime.files import write_parquet
from pigeon_rec.scoring import (
    clip_text_score,
    combine_scores,
    history_similarity,
    shortlist,
)
from pigeon_rec.scoring.scorer import load_scorer

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import LlamaModel

__all__ = [
    "ALL",
    "BEGIN",
    "END",
    "NONE",
    "Ask",
    "Clock",
    "Measures",
    "Row",
    "World",
    "ablation",
    "draw",
    "measure",
    "pipeline_for",
    "selection_scores",
    "table",
    "told",
    "write",
]

CASES: Final = 200
ABLATION: Final = 16
FASTER: Final = 6.0
BEGIN: Final = "<!-- generation: begin -->"
END: Final = "<!-- generation: end -->"

_MODEL = "sticker-64"
_SCENARIO = "sticker"
_SEED = 0
_BLOCK = 48  # cases in turn; six batches of the model
_DATE = dt.date(2026, 6, 1)

Images = NDArray[np.uint8]
Drawn = NDArray[np.uint8]
"""Candidates of some cases, `[cases, candidates, H, W, 3]`."""
Codes = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Measures:
    """What a way of drawing does for speed or quality; none of it is the published loop."""

    codes: bool = field(metadata={"label": "every picture tokenised once"})
    prefix: bool = field(metadata={"label": "the history read once for all mask ratios"})
    batches: bool = field(metadata={"label": "eight cases in a batch"})
    previews: bool = field(metadata={"label": "the best previews rendered, not all"})
    solver: bool = field(metadata={"label": "6 multistep steps, not 25 of DDIM"})
    unguided: bool = field(metadata={"label": "no guidance of the renderer"})
    writing: bool = field(metadata={"label": "writing guided by the reference, surer"})
    scorer: bool = field(metadata={"label": "one scorer, each picture embedded once"})
    # What a night does not do by itself, or does in every case.
    bfloat16: bool = field(default=False, metadata={"label": "bfloat16 (`placement.dtype`)"})
    eight_bits: bool = field(
        default=False, metadata={"label": "language model in 8 bits (torch's dynamic quantisation)"}
    )
    compiled: bool = field(
        default=False, metadata={"label": "renderer by `torch.compile`, its compiling not counted"}
    )
    planes: bool = field(
        default=False, metadata={"label": "renderer with channels outermost, not innermost"}
    )

    @property
    def settings(self) -> GenerationConfig:
        """The night's settings where a measure is on, the published ones where it is off."""
        night, published = GenerationConfig(), PUBLISHED_GENERATION
        return GenerationConfig(
            mask_ratios=(night if self.previews else published).mask_ratios,
            rendered=(night if self.previews else published).rendered,
            diffusion_steps=(night if self.solver else published).diffusion_steps,
            render_guidance=(night if self.unguided else published).render_guidance,
            temperature=(night if self.writing else published).temperature,
            language_guidance=(night if self.writing else published).language_guidance,
        )


_NAMES: Final = tuple(measure.name for measure in fields(Measures) if measure.default is MISSING)
_OTHERS: Final = tuple(measure.name for measure in fields(Measures) if measure.default is False)
ALL: Final = Measures(*(True for _ in _NAMES))
NONE: Final = Measures(*(False for _ in _NAMES))


@dataclass(frozen=True)
class Ask:
    """Cases with their pictures and words.

    Attributes:
        item_ids: The pictures' items, each once.
        images: uint8 `[items, H, W, 3]`.
        history: Rows of the histories' pictures, `[cases, length]`.
        reference: Rows of the references' pictures, `[cases]`.
        targets: What the model is told to draw.
        semantics: What the scorer holds the picture against.
        keys: All randomness of each case.
    """

    item_ids: list[str]
    images: Images
    history: NDArray[np.int64]
    reference: NDArray[np.int64]
    targets: list[str]
    semantics: list[str]
    keys: list[str]

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, places: Sequence[int]) -> Ask:
        """Some of the cases."""
        chosen = list(places)
        return replace(
            self,
            history=self.history[chosen],
            reference=self.reference[chosen],
            targets=[self.targets[i] for i in chosen],
            semantics=[self.semantics[i] for i in chosen],
            keys=[self.keys[i] for i in chosen],
        )

    def unchanged(self) -> Drawn:
        """The references themselves, as if they were drawn."""
        return self.images[self.reference][:, None]

    @classmethod
    def of(cls, cases: pl.DataFrame, catalogue: Catalogue, side: int) -> Ask:
        """The cases' pictures and words from the catalogue."""
        reference, histories = cases["reference_id"].to_list(), cases["history_ids"].to_list()
        item_ids = sorted({*reference, *(item for items in histories for item in items)})
        place = {item: row for row, item in enumerate(item_ids)}
        images, _ = catalogue.images(item_ids, size=side)
        prompt = load_prompt(_SCENARIO)
        words = catalogue.rows(reference).select("title", "semantics", "category")
        return cls(
            item_ids=item_ids,
            images=images,
            history=np.array([[place[item] for item in items] for items in histories]),
            reference=np.array([place[item] for item in reference]),
            targets=[prompt.target(*row) for row in words.iter_rows()],
            semantics=words["semantics"].to_list(),
            keys=[f"{_asset_key(case)}/{_SEED}" for case in cases["case_id"]],
        )


def draw(
    pipeline: PigeonPipeline,
    ask: Ask,
    measures: Measures,
    settings: GenerationConfig | None = None,
    path: str = _MODEL,
) -> Drawn:
    """Draws the candidates of the cases by the measures that are on.

    Args:
        pipeline: As `pipeline_for` makes it for the same measures.
        ask: The cases.
        measures: How.
        settings: Other settings than those of the measures.
        path: Model with the scorer that previews are chosen by.
    """
    settings = settings or measures.settings
    codes, places = write(pipeline, ask, measures, settings), None
    if settings.rendered is not None and settings.rendered < codes.shape[1]:
        scores = selection_scores(pipeline.preview(codes), ask, kept=True, path=path)
        places = shortlist(scores, settings.rendered)
    return pipeline.render_candidates(codes, ask.keys, settings, places)


def write(
    pipeline: PigeonPipeline, ask: Ask, measures: Measures, settings: GenerationConfig
) -> Codes:
    """Visual tokens of every candidate, `[cases, ratios, P]`."""
    ratios = settings.mask_ratios
    # Read on from one history, or a pass of its own for every ratio.
    together = [ratios] if measures.prefix else [(ratio,) for ratio in ratios]
    size = pipeline.batch_size
    batches = [range(start, min(start + size, len(ask))) for start in range(0, len(ask), size)]
    known = pipeline.encode_images(ask.images) if measures.codes else None
    codes = np.zeros((len(ask), len(ratios), pipeline.config.tokenizer.patches), dtype=np.int64)
    for some in together:
        asked = settings.model_copy(update={"mask_ratios": some})
        places = [ratios.index(ratio) for ratio in some]
        for batch in batches:
            written = _write_batch(pipeline, ask.rows(batch), known, asked)
            codes[np.ix_(list(batch), places)] = written
    return codes


def _write_batch(
    pipeline: PigeonPipeline, ask: Ask, known: Codes | None, settings: GenerationConfig
) -> Codes:
    if known is None:
        past = ask.images[ask.history]
        flat = pipeline.encode_images(past.reshape(-1, *past.shape[2:]))
        history = flat.reshape(*ask.history.shape, -1)
        reference = pipeline.encode_images(ask.images[ask.reference])
    else:
        history, reference = known[ask.history], known[ask.reference]
    return pipeline.write(
        history, reference, ask.targets, keys=ask.keys, settings=settings, scenario=_SCENARIO
    )


def pipeline_for(measures: Measures, path: str = _MODEL) -> PigeonPipeline:
    """The model as the measures have it: its numbers, batches, solver and renderer."""
    placement = Placement(dtype="bfloat16" if measures.bfloat16 else "float32")
    pipeline = PigeonPipeline.from_pretrained(path, placement=placement)
    if measures.eight_bits:
        pipeline.personalisation.language_model.model = _in_eight_bits(pipeline)
    if measures.planes:
        _use_planes(pipeline.generator.renderer.unet)
    if measures.compiled:
        pipeline.generator.renderer.compile()
    if not measures.batches:
        pipeline.batch_size = 1
    if not measures.solver:
        # DDIM on the schedule that the model was trained with.
        pipeline.generator.sampler = pipeline.generator.noise_schedule  # type: ignore[method-assign]
    return pipeline


def _in_eight_bits(pipeline: PigeonPipeline) -> LlamaModel:
    """The language model with weights of 8 bits, and activations brought to 8 bits as they come."""
    import torch
    from torch.ao.quantization import quantize_dynamic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch: its successor is a package of its own
        model: LlamaModel = quantize_dynamic(  # type: ignore[no-untyped-call]
            pipeline.personalisation.language_model.model, {torch.nn.Linear}
        )
    return model


def _use_planes(unet: UNet2DConditionModel) -> None:
    """Channels outermost, which is torch's way where nothing is said."""
    import torch

    def plain(_: object, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return given[0].contiguous(memory_format=torch.contiguous_format), *given[1:]

    unet.to(memory_format=torch.contiguous_format)
    unet.register_forward_pre_hook(plain)


def selection_scores(drawn: Drawn, ask: Ask, *, kept: bool, path: str = _MODEL) -> Scores:
    """Selection score `[cases, candidates]`.

    Args:
        drawn: The candidates.
        ask: Their cases.
        kept: One scorer for all; else one is loaded for each metric of each ratio.
        path: Model that the scorer is saved with.
    """
    if kept:
        encoder = load_scorer(path)
        flat = encoder.encode_images(drawn.reshape(-1, *drawn.shape[2:]))
        pictures = flat.reshape(*drawn.shape[:2], -1)
        history = encoder.encode_images(ask.images)[ask.history]
        text = clip_text_score(pictures, encoder.encode_texts(ask.semantics)[:, None])
        return combine_scores(text, history_similarity(pictures, history[:, None]))
    columns = []
    for images in drawn.swapaxes(0, 1):
        encoder = load_scorer(path)
        text = clip_text_score(encoder.encode_images(images), encoder.encode_texts(ask.semantics))
        encoder = load_scorer(path)
        seen = encoder.encode_images(ask.images[ask.history.ravel()])
        history = seen.reshape(*ask.history.shape, -1)
        past = history_similarity(encoder.encode_images(images), history)
        columns.append(combine_scores(text, past))
    return np.stack(columns, axis=1)


@dataclass
class Clock:
    """Seconds of the wall, and of processors: the second alone means much on a busy machine."""

    wall: float = 0.0
    processor: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Adds what its block takes."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.processor += time.process_time() - processor


@dataclass(frozen=True)
class World:
    """Cases, and a work directory in which they are planned as a night."""

    cases: pl.DataFrame
    folder: Path

    @cached_property
    def ask(self) -> Ask:
        """The cases with pictures and words."""
        side = 64  # of the bundled model and its catalogue
        return Ask.of(self.cases, load_catalogue("bundled"), side)

    @property
    def blocks(self) -> list[NDArray[np.int64]]:
        """Rows of the cases that are drawn in turn."""
        count = math.ceil(self.cases.height / _BLOCK)
        return np.array_split(np.arange(self.cases.height), count)

    @cached_property
    def night(self) -> NightlyConfig:
        """A planned night of the cases, a shard for each block."""
        config = NightlyConfig(work_dir=self.folder, seed=_SEED)
        shard = np.concatenate([np.full(len(rows), i) for i, rows in enumerate(self.blocks)])
        plan = self.cases.select(
            pl.col("case_id").map_elements(_asset_key, return_dtype=pl.String()).alias("asset_key"),
            "user_id",
            pl.col("reference_id").alias("item_id"),
            pl.lit("generate").alias("status"),
            pl.lit(1.0).alias("priority"),
            "history_ids",
            pl.lit([], dtype=pl.List(pl.Float32)).alias("history_scores"),
            pl.Series("shard", shard, dtype=pl.Int32()),
            pl.lit(model_version(config.model)).alias("model_version"),
            pl.lit("benchmark").alias("settings_hash"),
        )
        write_parquet(plan.cast(PLAN_SCHEMA), NightPaths.of(config, _DATE).plan)
        return config


def measure(folder: Path, scale: float) -> Result:
    """Draws cases by the loop and as a night; `scale` is that of the number of cases."""
    world = World(held_out_cases(max(2, round(CASES * scale)), _SEED), folder)
    pipeline, ask, night = pipeline_for(NONE), world.ask, world.night
    loop, ours, images, files = Clock(), Clock(), [], []
    for shard, rows in enumerate(world.blocks):
        with loop.running():
            images.append(draw(pipeline, ask.rows(rows.tolist()), NONE))
        with ours.running():
            files.append(generate_shard(night, _DATE, shard).path)
    with loop.running():
        drawn = np.concatenate(images)
        theirs = selection_scores(drawn, ask, kept=NONE.scorer).max(axis=1)
    keys = [key.rpartition("/")[0] for key in ask.keys]
    served = pl.concat([pl.read_parquet(path) for path in files])
    mine = pl.DataFrame({"asset_key": keys}).join(
        served, on="asset_key", how="left", maintain_order="left"
    )["selection_score"]
    return told(loop, ours, theirs, mine.to_numpy())


def told(loop: Clock, ours: Clock, theirs: Scores, mine: Scores) -> Result:
    """What the two ways took, and the selection scores of what they chose, by case."""
    cases = len(theirs)
    apart = paired_interval(mine, theirs)
    doubt = f"95 % interval {apart.low:+.4f} to {apart.high:+.4f}, paired"
    return Result(
        f"generation: {cases} held-out cases, published loop against a night",
        [
            Figure("loop", loop.wall / cases, "s", "per case"),
            Figure("night", ours.wall / cases, "s", "per case"),
            Figure("loop, processor", loop.processor / cases, "s", "per case"),
            Figure("night, processor", ours.processor / cases, "s", "per case"),
            Figure("ratio, processor", loop.processor / ours.processor, "x"),
            Figure("loop, selection score", float(theirs.mean()), "", "best of 11"),
            Figure("night, selection score", float(mine.mean()), "", "of what is served"),
            Figure("night above loop", apart.mean, "", doubt),
        ],
        [
            Bar("loop / night", loop.wall / ours.wall, FASTER),
            Bar("score / loop's score", float(mine.mean() / theirs.mean()), 1.0),
        ],
    )


@dataclass(frozen=True)
class Row:
    """One line of the ablation: seconds of processors a case, and the scores of what it chose."""

    label: str
    seconds: float
    scores: Scores


def ablation(ask: Ask, path: str = _MODEL) -> list[Row]:
    """The loop, each measure alone, all but each, all together, and with each of the others."""
    ways = {"the published loop": NONE}
    for name in _NAMES:
        ways[f"only: {_label(name)}"] = replace(NONE, **{name: True})
    for name in _NAMES:
        ways[f"all but: {_label(name)}"] = replace(ALL, **{name: False})
    ways["all, as a night"] = ALL
    for name in _OTHERS:
        ways[f"all, and: {_label(name)}"] = replace(ALL, **{name: True})
    return [_row(label, ask, measures, path) for label, measures in ways.items()]


def _row(label: str, ask: Ask, measures: Measures, path: str) -> Row:
    pipeline, clock = pipeline_for(measures, path), Clock()
    if measures.compiled:  # as it is done when first used
        draw(pipeline, ask.rows([0]), measures, path=path)
    with clock.running():
        drawn = draw(pipeline, ask, measures, path=path)
        scores = selection_scores(drawn, ask, kept=measures.scorer, path=path)
    return Row(label, clock.processor / len(ask), scores.max(axis=1))


def _label(name: str) -> str:
    return str(next(m.metadata["label"] for m in fields(Measures) if m.name == name))


def table(rows: Sequence[Row]) -> str:
    """The ablation in Markdown; the first row is what the others are held against."""
    loop = rows[0]
    lines = [
        f"{len(loop.scores)} cases; seconds of one processor a case; selection scores x 100, with "
        "95 % paired bootstrap intervals of the difference to the loop.",
        "",
        "| drawn by | seconds | times as fast | score | above the loop |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        apart = paired_interval(row.scores, loop.scores)
        lines.append(
            f"| {row.label} | {row.seconds:.2f} | {loop.seconds / row.seconds:.1f} "
            f"| {100 * row.scores.mean():.1f} | {_shown(apart)} |"
        )
    return "\n".join(lines) + "\n"


def _shown(apart: Interval) -> str:
    return f"{100 * apart.mean:+.1f} ({100 * apart.low:+.1f} to {100 * apart.high:+.1f})"


def _asset_key(case_id: str) -> str:
    return hashlib.sha256(case_id.encode()).hexdigest()


def _command() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES, help="held-out cases; 0 is none")
    parser.add_argument("--ablation", type=int, default=0, help="cases of the ablation; 0 is none")
    parser.add_argument("--table", type=Path, help="file for the ablation, between its marks")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.ablation:
        with tempfile.TemporaryDirectory() as folder:
            ask = World(held_out_cases(options.ablation, _SEED), Path(folder)).ask
        shown = table(ablation(ask))
        print(shown, flush=True)
        if options.table is not None:
            write_between(shown, options.table, BEGIN, END)
    if options.cases:
        run([measure], scale=options.cases / CASES, as_json=options.json)


if __name__ == "__main__":
    _command()
