"""Settings of a weekly alignment: one YAML file, checked whole before any work starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from pigeon_rec.config import GenerationConfig, NightlyGateConfig, load_config
from pigeon_rec.data.settings import TableSettings
from pigeon_rec.runtime.settings import (
    Count,
    Fraction,
    LocalPath,
    NotNegative,
    Positive,
    Settings,
    check_settings,
    path_or,
    read_settings,
)

__all__ = ["EvaluationConfig", "PromotionRules", "WeeklyConfig", "load_weekly"]

CONFIGS = Path(__file__).parent / "configs"
_OF_NIGHT = ("catalogue", "interactions", "scenario", "columns", "images", "work_dir")
_DRAWN = ("generation", "gate")


class PromotionRules(Settings):
    """The promotion check: when a new model may replace the serving one.

    Metrics are those of `pigeon_rec.evaluation.measure.METRICS`. Those that must improve should be
    measured by the judges: the scorer also chooses the preference pairs that models train on.

    Attributes:
        improve: Metric -> value that the lower bound of its gain must exceed; all of them must, and
            all must be measurable on the catalogue.
        keep: Metric -> largest fall that the lower bound may show; one that is not measurable on
            the catalogue is left out, and named in the verdict.
        confidence: Confidence of the one-sided bounds.
        resamples: Bootstrap resamples of the cases.
        min_cases: Fewest cases for an acceptance.
        max_lost: Largest share of cases without a value of the new model.
        seed: Seed of the resampling.
    """

    improve: Annotated[Mapping[str, NotNegative], Field(min_length=1)] = {"hist_jis": 0.0}
    keep: Mapping[str, NotNegative] = {"cs": 0.01, "concept_hit": 0.05}
    confidence: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.95
    resamples: Annotated[int, Field(ge=200)] = 2000
    min_cases: Positive = 50
    max_lost: Fraction = 0.02
    seed: int = 0

    @model_validator(mode="after")
    def _one_role_each(self) -> PromotionRules:
        both = sorted(self.improve.keys() & self.keep.keys())
        if both:
            raise ValueError(f"a metric either improves or is kept, not both: {', '.join(both)}")
        return self


class EvaluationConfig(Settings):
    """How both models are measured.

    Attributes:
        cases: Most held-out cases. A hit-or-miss metric needs some hundreds: if two models differ
            in a fifth of 400 cases, the bound lies 0.04 below the gain.
        seed: Seed of the choice of cases and of all pictures.
        scorer: Model whose scorer finds histories and chooses candidates, for both models; null is
            `sticker-64` for the bundled stickers, and else the new model.
        judge_steps: Steps of training of each judge that is fitted on a catalogue of your own; null
            for as many as the pictures need.
        generation: How pictures are drawn; keep it equal to that of the nights.
        gate: Quality gate that chosen pictures must pass; likewise. Calibrated as that of a night;
            calibrations of the nights in `work_dir` come first.
        threads: CPU threads; 0 leaves the choice to torch.
    """

    cases: Positive = 400
    seed: int = 0
    scorer: Annotated[str, path_or(bare_names=True, hub=True)] | None = None
    judge_steps: Positive | None = None
    generation: GenerationConfig = GenerationConfig()
    gate: NightlyGateConfig = NightlyGateConfig()
    threads: Count = 0


class WeeklyConfig(TableSettings):
    """All settings of an alignment; every field has a working default.

    Attributes:
        night: Settings file of a night. What is not given here is taken from there: tables, columns
            and scenario, `work_dir`, and how pictures are drawn and accepted.
        training: Name of a bundled training configuration, or the path of one.
        start: What training starts from: `serving` (the model promoted last, and the bundled
            `sticker-64` before any promotion), the name or folder of a model, a folder trained by
            `pigeon-rec train`, or `scratch` to train the backbone first.
        work_dir: Folder of alignments and the warehouse.
        evaluation: How the new and the serving model are measured.
        promotion_check: When the new model replaces the serving one.
    """

    renamed: ClassVar[Mapping[str, str]] = {"gate": "promotion_check", "plan": "training"}

    night: LocalPath | None = None
    training: Annotated[str, path_or(bare_names=True)] = "sticker-64"
    start: Annotated[str, path_or(bare_names=True, hub=True)] = "serving"
    work_dir: LocalPath = Path("var")
    evaluation: EvaluationConfig = EvaluationConfig()
    promotion_check: PromotionRules = PromotionRules()

    @model_validator(mode="after")
    def _enough_cases(self) -> WeeklyConfig:
        needed = self.promotion_check.min_cases
        if needed > self.evaluation.cases:
            raise ValueError(
                f"promotion_check.min_cases {needed} is more than "
                f"evaluation.cases {self.evaluation.cases}: nothing could be promoted"
            )
        return self


def load_weekly(name_or_path: str | Path | None) -> WeeklyConfig:
    """Reads a weekly YAML file, or a bundled one by name; `None` gives the defaults.

    The settings of its night, if it names one, are filled in.

    Raises:
        ConfigError: As `pigeon_rec.runtime.settings.read_settings`.
    """
    if name_or_path is None:
        return WeeklyConfig()
    bundled = CONFIGS / f"{name_or_path}.yaml"
    names = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.yaml")))
    advice = f"Give the path of a YAML file, or a bundled one: {names}"
    path = bundled if bundled.is_file() else Path(name_or_path)
    return _with_night(read_settings(WeeklyConfig, path, advice), path)


def _with_night(config: WeeklyConfig, path: Path) -> WeeklyConfig:
    """Fills in what a night says and the weekly settings do not."""
    if config.night is None:
        return config
    night, given = load_config(config.night), config.model_fields_set
    taken = {name: getattr(night, name) for name in _OF_NIGHT if name not in given}
    if "group_by" not in given:
        taken["group_by"] = night.recommender.group_by
    drawn = {name: getattr(night, name) for name in _DRAWN
             if name not in config.evaluation.model_fields_set}  # fmt: skip
    taken["evaluation"] = config.evaluation.model_copy(update=drawn)
    # Checked again, as a whole: what is fine on either side need not go together.
    return check_settings(WeeklyConfig, dict(config) | taken, str(path))
