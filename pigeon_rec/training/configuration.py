"""The training configuration: model sizes, the loop of each recipe, and preference pairs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pigeon_rec.config import GenerationConfig
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.runtime.settings import (
    Count,
    Fraction,
    NotNegative,
    Positive,
    Settings,
    check_settings,
    read_mapping,
)
from pigeon_rec.scoring.scorer import ScorerConfig
from pigeon_rec.training.loop import LoopConfig
from pigeon_rec.training.preference import LossKind
from pigeon_rec.training.style import StyleSettings
from pigeon_rec.training.tracking import Tracker

__all__ = [
    "CONFIGS",
    "Adoptable",
    "AlignConfig",
    "CandidateConfig",
    "PairsConfig",
    "TrainingConfig",
    "load_training_config",
]

CONFIGS = Path(__file__).parent / "configs"
"""Folder of the bundled training configurations."""

Adoptable = Literal["tokenizer", "autoencoder", "renderer"]
"""Recipes whose parts know no items, only how pictures look."""

_TENTHS = tuple(tenth / 10 for tenth in range(11))


class CandidateConfig(GenerationConfig):
    """How the candidates of a window are sampled and rendered, one per reference mask ratio.

    Temperature 1 and no language guidance, as published: stage 2 trains the plain model, so the
    candidates are samples of its own distribution.
    """

    mask_ratios: Annotated[tuple[Fraction, ...], Field(min_length=2)] = _TENTHS
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    language_guidance: Annotated[float, Field(ge=1.0)] = 1.0


class PairsConfig(Settings):
    """How preference pairs are made from candidates of the stage-1 model.

    A candidate's score is `text_weight * similarity to the target's text + (1 - text_weight) * mean
    similarity to the history images`. The chosen candidate of a pair wins both by a clear margin.
    With the history alone, as published (`text_weight: 0`), a candidate that has lost its concept
    can win on style. Some windows give a hard negative besides: the reference copied as it is, or a
    picture for another user's history.

    Attributes:
        windows: Training windows to make pairs from, drawn at random.
        validation_windows: Windows of the later `valid` split; used for validation only.
        same_reference: Share of references that are the target itself.
        min_margin: Smallest difference of a pair in text and in history, of previews and of
            renderings; 0 drops ties only. A score without weight needs no margin.
        hard_negatives: Share of windows that also give a hard negative, half of them copies; the
            best candidate must win the history by `min_margin`, and may lose 0.05 of the text.
        candidates: Mask ratios, sampling and diffusion steps.
        batch_size: Windows that are drawn and saved together.
        minutes: Minutes after which no further window is drawn; None draws all.
        share: The part of this step in the minutes of `pigeon-rec train all --minutes`, by weight.
    """

    windows: Positive = 512
    validation_windows: Count = 64
    same_reference: Fraction = 0.1
    text_weight: Fraction = 0.5
    min_margin: NotNegative = 0.01
    hard_negatives: Fraction = 0.4
    candidates: CandidateConfig = CandidateConfig()
    batch_size: Positive = 16
    seed: int = 0
    threads: Count = 0
    minutes: Annotated[float, Field(gt=0.0)] | None = None
    share: Annotated[float, Field(gt=0.0)] = 1.0


class AlignConfig(Settings):
    """The loss of stage 2; see `pigeon_rec.training.preference.dpo_loss`."""

    beta: Annotated[float, Field(gt=0.0)] = 0.1
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    loss: LossKind = "sigmoid"


class TrainingConfig(Settings):
    """A model's sizes, the loop of each of its recipes, and its preference pairs.

    Attributes:
        style: How the scorer's style part is trained, if it has one.
        users: Train only on the concepts in the first `users` histories, for quick runs; None
            trains on all.
        items: Train on this many items at most, those chosen most often: all pictures are held in
            memory (12 kB each at 64 pixels, 49 kB at 128).
        adopt: Recipe -> least PSNR in dB. `train all --start MODEL` adopts the model's part
            unchanged if it redraws the catalogue's pictures that well, and trains it otherwise;
            parts that are not named are trained.
        trackers: Trackers that receive the metrics of every recipe besides `metrics.jsonl`:
            `tensorboard`, and `mlflow` if it is installed.
    """

    model: PigeonConfig = PigeonConfig()
    scorer: ScorerConfig = ScorerConfig()
    style: StyleSettings = StyleSettings()
    users: Positive | None = None
    items: Positive = 50_000
    adopt: Mapping[Adoptable, float] = {}
    trackers: tuple[Tracker, ...] = ()
    loops: dict[str, LoopConfig]
    pairs: PairsConfig = PairsConfig()
    align: AlignConfig = AlignConfig()

    def with_minutes(self, minutes: float, done: Collection[str] = ()) -> TrainingConfig:
        """The same configuration, with `minutes` shared out among the loops and the pairs.

        Recipes that are `done` get no share.
        """
        open_ones = [loop for name, loop in self.loops.items() if name not in done]
        whole = sum(loop.share for loop in open_ones) + self.pairs.share
        each = minutes / whole
        loops = {n: loop.with_minutes(each * loop.share) for n, loop in self.loops.items()}
        pairs = self.pairs.model_copy(update={"minutes": each * self.pairs.share})
        return self.model_copy(update={"loops": loops, "pairs": pairs})

    def with_minutes_of(self, recipe: str, minutes: float) -> TrainingConfig:
        """The same configuration, with another length of one recipe's loop, if it has one."""
        loops = {
            name: loop.with_minutes(minutes) if name == recipe else loop
            for name, loop in self.loops.items()
        }
        return self.model_copy(update={"loops": loops})


def load_training_config(name_or_path: str | Path) -> TrainingConfig:
    """Reads a bundled training configuration by name, or a YAML file.

    Raises:
        ConfigError: The file is missing, or a setting is unknown or out of range.
    """
    bundled = CONFIGS / f"{name_or_path}.yaml"
    path = bundled if bundled.is_file() else Path(name_or_path)
    bundled_ones = f"Bundled ones: {', '.join(sorted(p.stem for p in CONFIGS.glob('*.yaml')))}"
    raw = read_mapping(path, "training configuration", bundled_ones)
    return check_settings(TrainingConfig, raw, str(path))
