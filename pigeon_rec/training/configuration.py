"""A training plan: a model's sizes, the loop of each recipe, and how preference pairs are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pigeon_rec.config import GenerationConfig
from pigeon_rec.errors import ConfigError
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.scoring.scorer import ScorerConfig
from pigeon_rec.training.loop import LoopConfig
from pigeon_rec.training.preference import LossKind

__all__ = [
    "CONFIGS",
    "AlignConfig",
    "CandidateConfig",
    "PairsConfig",
    "TrainingConfig",
    "load_training_config",
]

CONFIGS = Path(__file__).parent / "configs"
"""Folder of the bundled plans."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]

_TENTHS = tuple(tenth / 10 for tenth in range(11))


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CandidateConfig(GenerationConfig):
    """How the candidates of a window are sampled and drawn, one per mask ratio.

    As published, at temperature 1 and without guidance: these are samples of the very model that
    stage 2 trains, not of one that is made surer for serving.
    """

    mask_ratios: Annotated[tuple[Fraction, ...], Field(min_length=2)] = _TENTHS
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    language_guidance: Annotated[float, Field(ge=1.0)] = 1.0


class PairsConfig(_Settings):
    """How preference pairs are made of the stage-1 model's own pictures.

    A candidate's score is `text_weight * likeness to its target's text + (1 - text_weight) * mean
    likeness to the history pictures`. By the history alone, as published (`text_weight: 0`), a
    picture that has lost its concept can win: it needs only the right style. The default is the
    weight that also chooses among candidates at inference, so that the model is taught what it is
    chosen by.

    Attributes:
        windows: Training windows to make candidates for, drawn at random.
        validation_windows: The same of the later `valid` split; stage 2 never learns from them.
        same_reference: Share of references that are the target itself.
        min_margin: A pair whose scores are nearer than this teaches noise and is dropped; 0 keeps
            all but ties.
        candidates: Mask ratios, sampling and diffusion steps.
        batch_size: Windows that are worked on together, and saved together.
    """

    windows: Positive = 512
    validation_windows: Annotated[int, Field(ge=0)] = 64
    same_reference: Fraction = 0.1
    text_weight: Fraction = 0.5
    min_margin: Annotated[float, Field(ge=0.0)] = 0.02
    candidates: CandidateConfig = CandidateConfig()
    batch_size: Positive = 16
    seed: int = 0
    threads: Annotated[int, Field(ge=0)] = 0


class AlignConfig(_Settings):
    """Stage 2's loss; see `pigeon_rec.training.preference.dpo_loss`."""

    beta: Annotated[float, Field(gt=0.0)] = 0.1
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    loss: LossKind = "sigmoid"


class TrainingConfig(_Settings):
    """A model's sizes, the loop of each of its recipes, and its preference pairs.

    Attributes:
        users: Train on what the first so many users have met, for quick runs; without it, on all.
    """

    model: PigeonConfig = PigeonConfig()
    scorer: ScorerConfig = ScorerConfig()
    users: Positive | None = None
    loops: dict[str, LoopConfig]
    pairs: PairsConfig = PairsConfig()
    align: AlignConfig = AlignConfig()


def load_training_config(name_or_path: str | Path) -> TrainingConfig:
    """Reads a bundled plan by name, or a YAML file.

    Raises:
        ConfigError: The file is missing, or a setting is unknown or out of range.
    """
    bundled = CONFIGS / f"{name_or_path}.yaml"
    path = bundled if bundled.is_file() else Path(name_or_path)
    try:
        return TrainingConfig.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(
            f"the training plan is unusable: {error}",
            location=str(path),
            remedy=f"Bundled plans: {', '.join(sorted(p.stem for p in CONFIGS.glob('*.yaml')))}",
        ) from error
