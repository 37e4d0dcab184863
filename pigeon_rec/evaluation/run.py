"""Runs an evaluation: cases, pictures, metrics, summary. A stopped run can be resumed.

Files in the output folder: `cases.parquet`, `pictures/` (tokens of every candidate, pictures of the
rendered ones), `chosen/` (the picture of each method and case), `per_case.parquet` (one value per
method, case and metric) and `evaluation.json` (settings, and means with intervals).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.config import NightlyGateConfig
from pigeon_rec.data.aspect import Aspect
from pigeon_rec.data.dataset import Dataset
from pigeon_rec.data.settings import BUNDLED
from pigeon_rec.drawing.gate import NightGate
from pigeon_rec.drawing.items import ItemTable
from pigeon_rec.drawing.texts import described_texts
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.baselines import check_models, missing_baselines
from pigeon_rec.evaluation.candidates import CandidateStore
from pigeon_rec.evaluation.cases import cases_of
from pigeon_rec.evaluation.choose import Chooser
from pigeon_rec.evaluation.data import (
    describe,
    evaluation_data,
    left_out_curves,
    not_measurable,
)
from pigeon_rec.evaluation.encoders import Encoder, JudgeEncoder
from pigeon_rec.evaluation.fit import fitted_judges
from pigeon_rec.evaluation.gate import GivenGate, evaluation_gate
from pigeon_rec.evaluation.judge_accuracy import MOST, autoencoder_of, held_out_accuracy
from pigeon_rec.evaluation.judges import JUDGES_PATH, Judges
from pigeon_rec.evaluation.measure import FEATURES, MetricSuite
from pigeon_rec.evaluation.methods import FULL, METHODS, Candidate, Method, curve_methods
from pigeon_rec.evaluation.pretrained import Pretrained, load_pretrained
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.evaluation.summary import summarise
from pigeon_rec.model.pipeline import Pipeline
from pigeon_rec.model.placing import set_threads
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.files import write_json, write_parquet
from pigeon_rec.runtime.images import encode_image
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.scoring import row_cosine
from pigeon_rec.scoring.scorer import Scorer, load_scorer

__all__ = [
    "PER_CASE_SCHEMA",
    "Evaluation",
    "EvaluationSettings",
    "evaluate",
    "judges_of",
    "metric_suite",
    "read_summary",
    "real_pictures",
]

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


def evaluate(
    settings: EvaluationSettings,
    out: Path,
    *,
    gate: NightGate | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Runs or resumes an evaluation; pictures that exist in `out` are not drawn again.

    Args:
        settings: Their tables are in our own form.
        out: Folder of pictures and results.
        gate: The quality gate, if it is known; else that of the settings, or calibrated.
        progress: Receives what is done.

    Raises:
        ConfigError: The catalogue has no case.
        ModelError: A model or a judge cannot be loaded.
        TrainingError: There are too few pictures to fit judges on.
    """
    set_threads(settings.threads)
    check_models(settings)
    data, scorer = evaluation_data(settings), load_scorer(settings.scorer_model)
    if gate is None:
        given = GivenGate(settings.gate, settings.scorer_model, settings.work_dir, out)
        gate = evaluation_gate(given, data, scorer, progress=progress)
    limits = NightlyGateConfig.model_validate(gate.limits)
    settings = settings.model_copy(update={"gate": limits})
    store = CandidateStore(settings, _models(settings), scorer, data, out / "pictures")
    pipeline = store.drawer("full").pipeline
    side = pipeline.config.tokenizer.image_size
    count = max(settings.cases, settings.curve_cases if settings.curves else 0)
    cases = cases_of(data, count, settings.seed, scorer, side)
    write_parquet(cases, out / "cases.parquet")
    judges = judges_of(settings, data, pipeline, out / "judges", progress)
    set_threads(settings.threads)
    missing = {
        **_missing_methods(settings),
        **left_out_curves(settings, cases),
        **not_measurable(data, judges, cases),
    }
    methods = _methods_with_cases(settings, cases, missing)
    if not methods:
        raise _nothing_to_do(missing)
    copies = [] if judges.style is not None else _mere_copies(cases, settings)
    store.write(
        [
            *copies,
            *(
                candidate
                for method, some in methods
                for case in some.to_dicts()
                for candidate in method.candidates(case, settings.generation, settings.seed)
            ),
        ],
        progress=progress,
    )
    pretrained = load_pretrained()
    items = ItemTable(data.catalogue, _item_ids(cases), side, scorer)
    chooser = Chooser(store, items, settings)
    jobs = [_Job(method, some, chooser.shortlist(method, some)) for method, some in methods]
    store.render(
        [*copies, *(candidate for job in jobs for own in job.candidates for candidate in own)],
        progress=progress,
    )
    metrics = metric_suite(items, cases, judges, scorer, data, pretrained)
    metrics = replace(metrics, copies=_likeness_of_copies(copies, store, metrics))
    per_case, pictures = _measured(jobs, chooser, metrics, progress)
    write_parquet(per_case, out / "per_case.parquet")
    _save_chosen(jobs, pictures, out / "chosen", data.prompt.aspect)
    accuracy = held_out_accuracy(judges, autoencoder_of(pipeline), data, side)
    summary = {
        "settings": settings.model_dump(mode="json"),
        "model_version": model_version(settings.model),
        "data": {"name": data.name, "cases": describe(data, cases)},
        "gate": {**gate.summary(), "warnings": [str(warning) for warning in gate.warnings()]},
        "judges": asdict(accuracy),
        "missing": {**missing, **pretrained.missing},
        **summarise(per_case, pictures, judges, settings, real_pictures(data, side)),
    }
    write_json(summary, out / "evaluation.json")
    return Evaluation(out, per_case, read_summary(out))


def judges_of(
    settings: EvaluationSettings,
    data: Dataset,
    pipeline: Pipeline,
    folder: Path,
    progress: Progress,
) -> Judges:
    """The judges that the settings name, the bundled ones, or judges fitted in `folder`."""
    if data.name == BUNDLED:
        return Judges.load(settings.judges or JUDGES_PATH)
    return fitted_judges(
        data,
        pipeline.config.tokenizer.image_size,
        autoencoder_of(pipeline),
        settings.judges or folder,
        steps=settings.judge_steps,
        progress=progress,
    )


def _mere_copies(cases: pl.DataFrame, settings: EvaluationSettings) -> list[Candidate]:
    """The reference of each case through tokenizer and renderer."""
    method = METHODS["reference_round_trip"]
    return [
        candidate
        for case in cases.to_dicts()
        for candidate in method.candidates(case, settings.generation, settings.seed)
    ]


def _likeness_of_copies(
    copies: Sequence[Candidate], store: CandidateStore, metrics: MetricSuite
) -> dict[str, float]:
    """Reference -> cosine of its judge features to those of its mere copy."""
    if not copies:
        return {}
    references = [candidate.request.reference for candidate in copies]
    drawn = metrics.encoders[FEATURES](store.renderings(copies))
    known = metrics.vectors[FEATURES][metrics.items.rows(references)]
    return dict(zip(references, row_cosine(drawn, known).tolist(), strict=True))


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
    missing = missing_baselines(settings)
    if "stage1" in settings.methods and settings.stage1_model is None:
        missing["stage1"] = "give the model without its second stage as `stage1_model`"
    return missing


def _nothing_to_do(missing: Mapping[str, str]) -> ConfigError:
    reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
    return ConfigError(f"no method can be evaluated: {reasons}", location="methods")


def _methods_with_cases(
    settings: EvaluationSettings, cases: pl.DataFrame, missing: Mapping[str, str]
) -> list[tuple[Method, pl.DataFrame]]:
    """Every method and every point of a curve, with its cases."""
    methods = [
        (METHODS[name], _cases_for(METHODS[name], cases).head(
            settings.cases_of.get(name, settings.cases)))
        for name in settings.methods
        if name not in missing
    ]  # fmt: skip
    longest = cases.select(pl.col("retrieved_ids").list.len().min()).item()
    points = [
        (method, cases.head(settings.curve_cases))
        for curve in settings.curves
        if curve not in missing
        for _, method in curve_methods(curve)
        if method.length <= max(longest, FULL.length)
    ]
    return methods + points


def _cases_for(method: Method, cases: pl.DataFrame) -> pl.DataFrame:
    """The cases that a method can answer: the truth of some is not known."""
    return cases.drop_nulls("truth_id") if method.artwork == "truth_id" else cases


def metric_suite(
    items: ItemTable,
    cases: pl.DataFrame,
    judges: Judges,
    scorer: Scorer,
    data: Dataset,
    pretrained: Pretrained | None = None,
) -> MetricSuite:
    """All metrics of some cases, without the pretrained ones if there are none."""
    more = pretrained or Pretrained({}, {}, {})
    others: dict[str, Encoder] = {FEATURES: JudgeEncoder(judges), **more.encoders}
    vectors = {name: encoder(items.images) for name, encoder in others.items()}
    references = cases["reference_id"].unique().sort().to_list()
    texts = scorer.encode_texts(described_texts(items.catalogue.rows(references)))
    chosen = cases.unique("user_id", keep="first", maintain_order=True)
    users = {
        user: vectors[FEATURES][items.rows(own)].mean(0)
        for user, own in chosen.select("user_id", "random_ids").iter_rows()
    }
    return MetricSuite(
        judges=judges,
        encoders={"cis": scorer.encode_images, **others},
        distances=more.distances,
        items=items,
        vectors={"cis": items.embeddings, **vectors},
        text_encoder="cis",
        texts=dict(zip(references, texts, strict=True)),
        styles=dict(data.items.select("item_id", "style").iter_rows()),
        users=users,
    )


def real_pictures(data: Dataset, side: int) -> NDArray[np.uint8]:
    """Real held-out artwork, uint8 `[n, side, side, 3]`."""
    held_out = data.held_out_items()["item_id"].head(MOST).to_list()
    images, problems = data.catalogue.images(held_out, side)
    broken = {problem.subject for problem in problems}
    return images[[item not in broken for item in held_out]]


def _item_ids(cases: pl.DataFrame) -> list[str]:
    """Every item of the cases, repeats included."""
    lists = ("retrieved_ids", "recent_ids", "random_ids", "noise_ids")
    single = [cases["reference_id"], cases["truth_id"]]
    every = pl.concat([*single, *(cases[name].explode() for name in lists)])
    return every.drop_nulls().to_list()


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


def _save_chosen(
    jobs: Sequence[_Job], pictures: Mapping[str, NDArray[np.uint8]], to: Path, aspect: Aspect
) -> None:
    """Writes the pictures of each method for reports, one parquet per method, as a night would."""
    for job in jobs:
        if job.method.name in METHODS:
            squares = pictures[job.method.name]
            images = [encode_image(aspect.from_square(square), "png") for square in squares]
            frame = job.cases.select("case_id").with_columns(pl.Series("image", images, pl.Binary))
            write_parquet(frame, to / f"{job.method.name}.parquet")
