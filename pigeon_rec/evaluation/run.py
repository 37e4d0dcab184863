"""Runs an evaluation: cases, pictures, metrics, summary. A stopped run can be resumed.

Files in the output folder: `cases.parquet`, `pictures/` (tokens of every candidate, pictures of the
rendered ones), `chosen/` (the picture of each method and case), `per_case.parquet` (one value per
method, case and metric) and `evaluation.json` (settings, and means with intervals).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.drawing.items import ItemTable
from pigeon_rec.evaluation.candidates import CandidateStore
from pigeon_rec.evaluation.cases import cases_with_histories
from pigeon_rec.evaluation.choose import Chooser
from pigeon_rec.evaluation.encoders import Encoder, JudgeEncoder
from pigeon_rec.evaluation.judge_accuracy import autoencoder_of, held_out_accuracy
from pigeon_rec.evaluation.judges import Judges
from pigeon_rec.evaluation.measure import MetricSuite
from pigeon_rec.evaluation.methods import METHODS, Candidate, Method, curve_methods
from pigeon_rec.evaluation.pretrained import Pretrained, load_pretrained
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.evaluation.summary import summarise
from pigeon_rec.model.placing import set_threads
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.files import write_json, write_parquet
from pigeon_rec.runtime.images import encode_image
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.scoring.scorer import Scorer, load_scorer

__all__ = ["PER_CASE_SCHEMA", "Evaluation", "EvaluationSettings", "evaluate", "read_summary"]

PER_CASE_SCHEMA: Final = pl.Schema(
    {
        "method": pl.String(),
        "case_id": pl.String(),
        "metric": pl.String(),
        "value": pl.Float64(),
    }
)


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation.

    Attributes:
        folder: Folder of all files.
        per_case: `PER_CASE_SCHEMA`.
        summary: The content of `evaluation.json`.
    """

    folder: Path
    per_case: pl.DataFrame
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class _Job:
    """One method, its cases, and the rendered candidates of each case."""

    method: Method
    cases: pl.DataFrame
    candidates: Sequence[Sequence[Candidate]]


def evaluate(settings: EvaluationSettings, out: Path, *, progress: Progress = silent) -> Evaluation:
    """Runs or resumes an evaluation; pictures that exist in `out` are not drawn again.

    Raises:
        ConfigError: There are fewer held-out pairs than cases.
        ModelError: A model or a judge cannot be loaded.
    """
    set_threads(settings.threads)
    judges = Judges.load()
    scorer = load_scorer(settings.scorer)
    catalogue = load_catalogue("bundled")
    count = max(settings.cases, settings.curve_cases if settings.curves else 0)
    cases = cases_with_histories(count, settings.seed, scorer=settings.scorer)
    write_parquet(cases, out / "cases.parquet")
    store = CandidateStore(settings, _models(settings), scorer, catalogue, out / "pictures")
    methods = _methods_with_cases(settings, cases)
    store.write(
        [
            candidate
            for method, some in methods
            for case in some.to_dicts()
            for candidate in method.candidates(case, settings.generation, settings.seed)
        ],
        progress=progress,
    )
    pretrained = load_pretrained()
    pipeline = store.drawer("full").pipeline
    items = ItemTable(catalogue, _item_ids(cases), pipeline, scorer)
    metrics = _metrics(items, cases, judges, scorer, pretrained)
    chooser = Chooser(store, items, settings)
    jobs = [_Job(method, some, chooser.shortlist(method, some)) for method, some in methods]
    store.render(
        [candidate for job in jobs for own in job.candidates for candidate in own],
        progress=progress,
    )
    per_case, pictures = _measured(jobs, chooser, metrics, progress)
    write_parquet(per_case, out / "per_case.parquet")
    _save_chosen(jobs, pictures, out / "chosen")
    summary = {
        "settings": settings.model_dump(mode="json"),
        "model_version": model_version(settings.model),
        "judges": asdict(held_out_accuracy(judges, autoencoder_of(pipeline))),
        "missing": {**_missing_methods(settings), **pretrained.missing},
        **summarise(per_case, pictures, judges, settings),
    }
    write_json(summary, out / "evaluation.json")
    return Evaluation(out, per_case, read_summary(out))


def read_summary(folder: Path) -> dict[str, Any]:
    """Reads `<folder>/evaluation.json`, with its methods in the order of the settings."""
    summary: dict[str, Any] = json.loads((folder / "evaluation.json").read_text("utf-8"))
    order = summary["settings"]["methods"]
    for part in ("methods", "differences"):
        found = summary[part]
        summary[part] = {name: found[name] for name in order if name in found}
    return summary


def _models(settings: EvaluationSettings) -> dict[str, str]:
    models = {"full": settings.model}
    return models if settings.stage1_model is None else models | {"stage1": settings.stage1_model}


def _missing_methods(settings: EvaluationSettings) -> dict[str, str]:
    """Methods in the settings that cannot be run -> what they lack."""
    if "stage1" in settings.methods and settings.stage1_model is None:
        return {"stage1": "give the model without its second stage as `stage1_model`"}
    return {}


def _methods_with_cases(
    settings: EvaluationSettings, cases: pl.DataFrame
) -> list[tuple[Method, pl.DataFrame]]:
    """Every method and every point of a curve, with its cases."""
    missing = _missing_methods(settings)
    methods = [
        (METHODS[name], cases.head(settings.cases_of.get(name, settings.cases)))
        for name in settings.methods
        if name not in missing
    ]
    points = [
        (method, cases.head(settings.curve_cases))
        for curve in settings.curves
        for _, method in curve_methods(curve)
    ]
    return methods + points


def _metrics(
    items: ItemTable, cases: pl.DataFrame, judges: Judges, scorer: Scorer, pretrained: Pretrained
) -> MetricSuite:
    others: dict[str, Encoder] = {"jis": JudgeEncoder(judges), **pretrained.encoders}
    vectors = {name: encoder(items.images) for name, encoder in others.items()}
    references = cases["reference_id"].unique().sort().to_list()
    semantics = items.catalogue.rows(references)["semantics"].to_list()
    return MetricSuite(
        judges=judges,
        encoders={"cis": scorer.encode_images, **others},
        distances=pretrained.distances,
        items=items,
        vectors={"cis": items.embeddings, **vectors},
        text_encoder="cis",
        texts=dict(zip(references, scorer.encode_texts(semantics), strict=True)),
    )


def _item_ids(cases: pl.DataFrame) -> list[str]:
    """Every item of the cases, repeats included."""
    lists = ("retrieved_ids", "recent_ids", "random_ids", "noise_ids")
    single = [cases["reference_id"], cases["truth_id"]]
    return pl.concat([*single, *(cases[name].explode() for name in lists)]).to_list()


def _measured(
    jobs: Sequence[_Job], chooser: Chooser, metrics: MetricSuite, progress: Progress
) -> tuple[pl.DataFrame, dict[str, NDArray[np.uint8]]]:
    """Returns all values (`PER_CASE_SCHEMA`) and each method's pictures."""
    frames: list[pl.DataFrame] = []
    pictures: dict[str, NDArray[np.uint8]] = {}
    for done, job in enumerate(jobs, start=1):
        chosen = chooser.choose(job.method, job.cases, job.candidates)
        values = {**metrics.measure(chosen.images, job.cases), "rejected": chosen.rejected}
        pictures[job.method.name] = chosen.images
        frames += [
            pl.DataFrame(
                {
                    "method": [job.method.name] * job.cases.height,
                    "case_id": job.cases["case_id"],
                    "metric": [metric] * job.cases.height,
                    "value": column,
                },
                schema=PER_CASE_SCHEMA,
            ).filter(pl.col("value").is_finite())
            for metric, column in values.items()
        ]
        progress("methods", done, len(jobs))
    return pl.concat(frames), pictures


def _save_chosen(jobs: Sequence[_Job], pictures: Mapping[str, NDArray[np.uint8]], to: Path) -> None:
    """Writes the pictures of each method for reports, one parquet per method."""
    for job in jobs:
        if job.method.name in METHODS:
            images = [encode_image(image, "png") for image in pictures[job.method.name]]
            frame = job.cases.select("case_id").with_columns(pl.Series("image", images, pl.Binary))
            write_parquet(frame, to / f"{job.method.name}.parquet")
