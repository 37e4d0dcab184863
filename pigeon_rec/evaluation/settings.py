"""Settings of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, model_validator

from pigeon_rec.config import BackboneConfig, GenerationConfig, NightlyConfig, NightlyGateConfig
from pigeon_rec.data.settings import BUNDLED, TableSettings
from pigeon_rec.evaluation.methods import BASELINES, CURVES, DEFAULT_METHODS, METHODS
from pigeon_rec.placement import Placement
from pigeon_rec.runtime.settings import (
    Count,
    LocalPath,
    Positive,
    check_settings,
    path_or,
    read_settings,
)

__all__ = ["BUNDLED_MODEL", "BaselineConfig", "EvaluationSettings", "load_settings"]

BUNDLED_MODEL: Final = "sticker-64"


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


class BaselineConfig(BackboneConfig):
    """A backbone to compare with, its options (see `backbone` of a night), and where it computes.

    Attributes:
        model: Its folder, or `module:function`; null leaves the method out, reported as missing.
        placement: Devices and dtype.
    """

    model: Annotated[str, path_or(bare_names=True)] | None = None
    placement: Placement = Placement()


class EvaluationSettings(TableSettings):
    """Settings of one evaluation; every field has a working default.

    Attributes:
        model: Name of a bundled model, or the folder of a saved one.
        stage1_model: The same model without its second stage; if missing, the method `stage1` is
            left out and reported as missing.
        scorer: Model whose scorer retrieves histories, chooses candidates and computes CS and CIS;
            null is `sticker-64` for the bundled stickers, and else the evaluated model. Results are
            comparable only with the same scorer.
        held_out: List of what training has held out (`held_out.csv` of a training folder); null
            takes the one in the model's folder, or else what training would hold out. The bundled
            stickers have their own.
        judges: Folder of judges to measure with; null is the bundled ones for the bundled stickers,
            and for other catalogues judges that are fitted first, and kept beside the results.
        judge_steps: Steps of training of each judge that is fitted; null for as many as the
            pictures need (300 to 4,000).
        until: Reads interactions before this time only; a time without a zone is in UTC.
        cases: Most held-out cases.
        seed: Decides the cases and all pictures.
        methods: Names from `METHODS`; by default all but the other backbones.
        ip_adapter: The backbone of the method `ip_adapter`.
        janus: The backbone of the method `janus`.
        own_backbone: The backbone of the method `own_backbone`.
        cases_of: Method -> its number of cases, if not `cases`.
        curves: Names from `CURVES`.
        curve_cases: Cases of each point of a curve.
        generation: Sampling and rendering.
        gate: Quality gate that chosen pictures must pass, as in the settings of a night.
        work_dir: Work directory of nights: calibrations of the quality gate that are kept there
            come first. Null for none: then the gate is calibrated as a first night would, and kept
            beside the results.
        confidence: Confidence level of all intervals.
        resamples: Bootstrap samples.
        threads: CPU threads; 0 for torch's default.
    """

    model: Annotated[str, path_or(bare_names=True, hub=True)] = "sticker-64"
    stage1_model: Annotated[str, path_or(bare_names=True, hub=True)] | None = None
    scorer: Annotated[str, path_or(bare_names=True, hub=True)] | None = None
    held_out: LocalPath | None = None
    judges: LocalPath | None = None
    judge_steps: Positive | None = None
    until: Annotated[datetime, AfterValidator(_in_utc)] | None = None
    cases: Positive = 500
    seed: int = 0
    methods: Annotated[tuple[str, ...], Field(min_length=1)] = DEFAULT_METHODS
    ip_adapter: BaselineConfig = BaselineConfig()
    janus: BaselineConfig = BaselineConfig()
    own_backbone: BaselineConfig = BaselineConfig()
    cases_of: Mapping[str, Positive] = {}
    curves: tuple[str, ...] = ()
    curve_cases: Positive = 100
    generation: GenerationConfig = GenerationConfig()
    gate: NightlyGateConfig = NightlyGateConfig()
    work_dir: LocalPath | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    resamples: Annotated[int, Field(ge=100)] = 2000
    threads: Count = 0

    @property
    def scorer_model(self) -> str:
        """Name or folder of the model whose scorer is used."""
        return self.scorer or (BUNDLED_MODEL if self.catalogue == BUNDLED else self.model)

    @model_validator(mode="after")
    def _known(self) -> EvaluationSettings:
        for field, given, known in (
            ("methods", {*self.methods}, METHODS),
            ("curves", {*self.curves}, CURVES),
            ("cases_of", {*self.cases_of}, dict.fromkeys(self.methods)),
        ):
            unknown = sorted(given - {*known})
            if unknown:
                raise ValueError(
                    f"{field}: there is no {', '.join(unknown)}; choose from {', '.join(known)}"
                )
        return self


def load_settings(
    path: Path | None, given: Mapping[str, Any], night: NightlyConfig | None = None
) -> EvaluationSettings:
    """Reads a YAML file, or takes the defaults, and replaces the fields that are given.

    The quality gate of `night`, and its work directory, are taken where the file has none.

    Raises:
        ConfigError: The file is unusable, a field is unknown or a value out of range.
    """
    advice = "Give the path of a YAML file, or leave --settings out for the defaults"
    settings = EvaluationSettings() if path is None else read_settings(
        EvaluationSettings, path, advice
    )  # fmt: skip
    own = settings.model_fields_set
    of_night = {} if night is None else {"gate": night.gate, "work_dir": night.work_dir}
    taken = {name: value for name, value in of_night.items() if name not in own}
    values = settings.model_dump() | taken | dict(given)
    for name in BASELINES:
        if isinstance(values[name], str):  # an option names the model only
            values[name] = getattr(settings, name).model_dump() | {"model": values[name]}
    return check_settings(EvaluationSettings, values, str(path or "options"))
