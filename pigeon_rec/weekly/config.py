"""Settings of a weekly alignment: one YAML file, checked whole before any work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pigeon_rec.config import GenerationConfig
from pigeon_rec.runtime.settings import read_settings

__all__ = ["EvaluationConfig", "PromotionRules", "WeeklyConfig", "load_weekly"]

CONFIGS = Path(__file__).parent / "configs"

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[int, Field(ge=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PromotionRules(_Settings):
    """When a new model may take the place of the serving one.

    Metrics are those of `pigeon_rec.evaluation.measure.METRICS`. What must improve is seen by the
    judges' eyes and not by the scorer's, which chooses the preference pairs that models train on.

    Attributes:
        improve: Metric -> by how much the lower bound of its gain must exceed; all of them must.
        keep: Metric -> how much it may fall, for sure; a wide bound counts as a fall.
        confidence: Of the one-sided bounds.
        resamples: Bootstrap resamples of the cases.
        min_cases: Least cases for any decision but no.
        max_lost: Largest share of cases that the new model may have no value for.
        seed: Of the resampling.
    """

    improve: Annotated[dict[str, NotNegative], Field(min_length=1)] = {"hist_jis": 0.0}
    keep: dict[str, NotNegative] = {"cs": 0.01, "concept_hit": 0.05}
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


class EvaluationConfig(_Settings):
    """On what both models are compared.

    Attributes:
        cases: Held-out cases. A hit-or-miss metric needs some hundreds: where two models differ in
            a fifth of 400 cases, the bound lies 0.04 below the gain.
        seed: Of their choice and of all pictures.
        scorer: Model whose scorer finds histories and chooses candidates, for both models alike.
        generation: How pictures are drawn; keep it as the nights have it.
        threads: CPU threads; 0 leaves torch's own choice.
    """

    cases: Positive = 400
    seed: int = 0
    scorer: str = "sticker-64"
    generation: GenerationConfig = GenerationConfig()
    threads: Annotated[int, Field(ge=0)] = 0


class WeeklyConfig(_Settings):
    """Everything one alignment needs; every field has a working default.

    Attributes:
        plan: Name of a bundled training plan, or the path of one.
        start: What training starts from: `serving` (the model promoted last, at first the bundled
            `sticker-64`), the name or folder of a model, a folder trained by `pigeon-rec train`,
            or `scratch` to train the plan's backbone first.
        work_dir: Folder of alignments and the warehouse.
        evaluation: On what the new and the serving model are compared.
        gate: When the new one takes the place of the serving one.
    """

    plan: str = "sticker-64"
    start: str = "serving"
    work_dir: Path = Path("var")
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: PromotionRules = PromotionRules()

    @model_validator(mode="after")
    def _enough_cases(self) -> WeeklyConfig:
        if self.gate.min_cases > self.evaluation.cases:
            raise ValueError(
                f"gate.min_cases {self.gate.min_cases} is more than "
                f"evaluation.cases {self.evaluation.cases}: nothing could be promoted"
            )
        return self


def load_weekly(name_or_path: str | Path | None) -> WeeklyConfig:
    """Reads and checks a weekly YAML file, or a bundled one by name; `None` gives the defaults.

    Raises:
        ConfigError: As `pigeon_rec.config.read_settings`.
    """
    if name_or_path is None:
        return WeeklyConfig()
    bundled = CONFIGS / f"{name_or_path}.yaml"
    names = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.yaml")))
    advice = f"Give the path of a YAML file, or a bundled one: {names}"
    return read_settings(WeeklyConfig, bundled if bundled.is_file() else Path(name_or_path), advice)
