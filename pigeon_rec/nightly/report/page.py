"""The content of the gallery page: its users, pictures and numbers, and the words for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from pigeon_rec.config import NightlyConfig, QualityGateConfig
from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.prompts import PromptTemplate
from pigeon_rec.data.shown_items import ShownItems
from pigeon_rec.data.tastes import tastes_of
from pigeon_rec.drawing.models import SERVING
from pigeon_rec.nightly.report.gallery import AssetView, Comparison, Page, Picture, UserRow
from pigeon_rec.runtime.charts import Bar, Histogram, bars, histogram
from pigeon_rec.runtime.html import data_uri
from pigeon_rec.warehouse.served_night import ServedNight

__all__ = ["build_page"]

_METRICS: Final[Mapping[str, str]] = {
    "selection_score": "Selection score",
    "text_score": "Similarity to the target",
    "history_score": "Similarity to the history",
    "reference_score": "Similarity to the reference",
}
_ROW_METRICS: Final = ("text_score", "history_score", "reference_score")
_WORDS: Final[Mapping[str, str]] = {
    "undecodable": "Image does not decode",
    "unreadable_input": "Input image cannot be read",
    "drawing_failed": "Drawing failed",
    "scoring_failed": "Scoring failed",
    "blank": "Nearly one colour",
    "unsafe": "Unsafe content",
    "off_target": "Too far from the target",
    "copy_of_reference": "Copy of the reference",
    "short_history": "Too little history",
    "unknown_item": "Item not in the catalogue",
    "bad_item": "Invalid item",
    "duplicate_item": "Repeated item",
    "bad_interaction": "Invalid interaction",
    "image_missing": "Image missing",
    "image_corrupt": "Image damaged",
    "image_hash": "Image does not match its hash",
    "image_path": "Image outside the catalogue's folder",
    "image_too_large": "Image too large",
    "broken_image": "Reference image unusable",
    "placeholder_image": "Placeholder image",
    "reserved_user": "User named like a cohort",
    "bad_recommendation": "Invalid recommendation",
    "duplicate_recommendation": "Repeated recommendation",
}
_EXAMPLES_PER_KIND: Final = 5
_COMPARISONS: Final = 3
_VERSIONS: Final = 7
_LEAST_VERSIONS: Final = 3

_Row = dict[str, Any]


def build_page(
    night: ServedNight,
    skipped: pl.DataFrame,
    catalogue: Catalogue,
    config: NightlyConfig,
    prompt: PromptTemplate,
    gate: QualityGateConfig,
) -> Page:
    """Gathers the page of one night.

    `skipped` holds `user_id, item_id, reason, detail` of the recommendations that were not planned.
    """
    # Assets of cohorts are counted, but not shown as a user's.
    own = night.own
    tastes = tastes_of(own, catalogue, prompt.taste, prompt.separator)
    users = _sample(own["user_id"].unique().sort().to_list(), config.report.max_users)
    # By taste; users without one come last.
    users.sort(key=lambda user: (user not in tastes, tastes.get(user, ""), user))
    by_user = {
        user: own.filter(pl.col("user_id") == user).head(config.report.max_assets_per_user)
        for user in users
    }
    rows = {user: frame.to_dicts() for user, frame in by_user.items()}
    shared = _shared_references(own, tastes)
    items = ShownItems(catalogue, _items_on([*rows.values(), *shared]), prompt.label)
    scores = night.scores_by_key()
    skips = dict(skipped["reason"].value_counts().iter_rows())
    return Page(
        date=night.facts["run_id"],
        # `serving` names another model every few weeks; the page names its version.
        model=night.facts["model_version"] if config.model == SERVING else Path(config.model).name,
        facts=_facts(night.facts),
        cards=_cards(night, prompt.pictures),
        histograms=_histograms(night, gate),
        reasons=_in_words(night.reasons()),
        # Where a code is both a problem and a reason to skip, the skipped pairs are counted.
        skips=_in_words({**night.problem_kinds(), **skips}),
        mask_ratios=tuple(sorted(bars(night.mask_ratios()), key=lambda bar: float(bar.label))),
        examples=_examples(night, skipped),
        comparisons=tuple(_comparison(versions, tastes, items) for versions in shared),
        users=tuple(
            UserRow(
                user,
                tastes.get(user, ""),
                tuple(_asset_view(row, scores.get(row["asset_key"], {}), items) for row in mine),
            )
            for user, mine in rows.items()
        ),
        users_left_out=night.users - len(users),
        example_user=next(iter(users), "a user"),
        taste=prompt.taste,
        tastes=Counter(tastes.values()),
        picture=prompt.picture,
        pictures=prompt.pictures,
        aspect=prompt.aspect,
    )


def _sample(values: list[str], most: int) -> list[str]:
    """Returns at most `most` values, evenly spread over the list."""
    if len(values) <= most:
        return values
    return [values[place * len(values) // most] for place in range(most)]


def _shared_references(served: pl.DataFrame, tastes: Mapping[str, str]) -> list[list[_Row]]:
    """Returns the references served in the most different tastes, one row per version."""
    taste = pl.col("user_id").replace_strict(tastes, default=None, return_dtype=pl.String)
    versions = (
        served.select("item_id", "user_id", "image", "asset_key", taste.alias("taste"))
        .unique(["item_id", "asset_key"], keep="first", maintain_order=True)
        # One version of every taste comes before the second of any.
        .with_columns(turn=pl.col("user_id").cum_count().over("item_id", "taste"))
        .sort("item_id", "turn", "taste", "user_id")
    )
    best = (
        versions.group_by("item_id")
        .agg(pl.col("taste").n_unique().alias("tastes"), pl.len().alias("versions"))
        .filter(pl.col("versions") >= _LEAST_VERSIONS)
        .sort("tastes", "versions", "item_id", descending=[True, True, False])["item_id"]
        .head(_COMPARISONS)
    )
    return [versions.filter(pl.col("item_id") == item).head(_VERSIONS).to_dicts() for item in best]


def _items_on(groups: list[list[_Row]]) -> set[str]:
    rows = [row for group in groups for row in group]
    history = {item for row in rows for item in row.get("history_ids", ())}
    return history | {row["item_id"] for row in rows}


def _asset_view(row: _Row, scores: Mapping[str, float], items: ShownItems) -> AssetView:
    item = row["item_id"]
    return AssetView(
        title=items.title(item),
        history=tuple(_original(item_id, items) for item_id in row["history_ids"]),
        reference=_original(item, items, label=items.label(item) or "reference"),
        picture=_picture(row, items, label="personalised"),
        scores=tuple((_METRICS[name], scores[name]) for name in _ROW_METRICS if name in scores),
    )


def _comparison(versions: list[_Row], tastes: Mapping[str, str], items: ShownItems) -> Comparison:
    item = versions[0]["item_id"]
    return Comparison(
        title=items.title(item),
        note=items.label(item) or "reference",
        reference=_original(item, items),
        versions=tuple(
            (row["user_id"], tastes.get(row["user_id"], ""), _picture(row, items))
            for row in versions
        ),
    )


def _original(item_id: str, items: ShownItems, label: str = "") -> Picture:
    return Picture(items.uri(item_id), items.name(item_id), label)


def _picture(row: _Row, items: ShownItems, label: str = "") -> Picture:
    alt = f"{items.title(row['item_id'])}, drawn for {row['user_id']}"
    return Picture(data_uri(row["image"]), alt, label)


def _cards(night: ServedNight, pictures: str) -> tuple[tuple[str, str, str], ...]:
    facts = night.facts
    gated = facts["served"] + facts["rejected"]
    share = f"{facts['rejected'] / gated:.1%} of all requests" if gated else ""
    cohorts = night.shared["user_id"].n_unique()
    count = f"{cohorts} cohort{'s' if cohorts > 1 else ''}"
    for_cohorts = ("for taste cohorts", f"{night.shared.height:,}", count)
    return (
        ("requests planned", f"{facts['planned']:,}", f"{facts['skipped']:,} skipped"),
        (f"{pictures} served", f"{night.own.height:,}", f"to {night.users:,} users"),
        *((for_cohorts,) if cohorts else ()),
        ("drawn", f"{night.drawn:,}", f"{facts['generated']:,} of them served"),
        ("reused", f"{facts['reused']:,}", ""),
        ("rejected", f"{facts['rejected']:,}", share),
    )


def _histograms(night: ServedNight, gate: QualityGateConfig) -> tuple[Histogram, ...]:
    limits = {
        "text_score": gate.min_text_score,
        "reference_score": gate.max_reference_similarity,
    }
    charts = (
        histogram(
            label,
            night.scores_of(metric, "served"),
            night.scores_of(metric, "rejected"),
            limit=limits.get(metric),
        )
        for metric, label in _METRICS.items()
    )
    return tuple(chart for chart in charts if chart is not None)


def _in_words(counts: Mapping[str, int]) -> tuple[Bar, ...]:
    """Returns a bar per code, labelled in words if the code is known."""
    words = {_WORDS.get(code, code): count for code, count in counts.items()}
    codes = {_WORDS[code]: code for code in counts if code in _WORDS}
    return bars(words, codes)


def _examples(night: ServedNight, skipped: pl.DataFrame) -> tuple[tuple[str, str, str], ...]:
    """Returns the first few rejections, skipped recommendations and problems of every kind."""
    pair = pl.concat_str("user_id", pl.lit(" · "), "item_id")
    problems = night.problems.filter(~pl.col("kind").is_in(skipped["reason"].unique().implode()))
    tables = (
        night.rejections.select(name="reason", subject=pair, text="detail"),
        skipped.select(name="reason", subject=pair, text="detail"),
        problems.select(name="kind", subject="subject", text="message"),
    )
    return tuple(
        (name, subject, text or "")
        for table in tables
        for name, subject, text in table.group_by("name", maintain_order=True)
        .head(_EXAMPLES_PER_KIND)
        .sort("name", maintain_order=True)
        .iter_rows()
    )


def _facts(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return (
        ("Model", facts["model_version"]),
        ("Settings", facts["settings_hash"][:12]),
        ("Seed", str(facts["seed"])),
        ("Content", facts["content_sha256"][:12]),
        ("Published", facts["published_at"].strftime("%Y-%m-%d %H:%M UTC")),
    )
