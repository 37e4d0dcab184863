"""What stands on the gallery page: which users, which pictures, which numbers, in which words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.prompts import PromptTemplate
from pigeon_rec.drawing.models import SERVING
from pigeon_rec.nightly.report.charts import Bar, Histogram, bars, histogram
from pigeon_rec.nightly.report.gallery import (
    Card,
    Comparison,
    Fact,
    Page,
    Picture,
    Score,
    UserRow,
    Version,
    Visual,
)
from pigeon_rec.nightly.report.items import Shelf, tastes_of
from pigeon_rec.nightly.report.served import ServedNight
from pigeon_rec.runtime.html import data_uri

__all__ = ["build_page"]

_METRICS: Mapping[str, str] = {
    "selection_score": "Selection score",
    "text_score": "Shows the target",
    "history_score": "Fits the history",
    "reference_score": "Like the reference",
}
_ROW_METRICS = ("text_score", "history_score", "reference_score")
_WORDS: Mapping[str, str] = {
    "undecodable": "No picture came out",
    "blank": "Nearly one colour",
    "unsafe": "Not safe to show",
    "off_target": "Too far from the target",
    "copy_of_reference": "A copy of the reference",
    "short_history": "Too little history",
    "unknown_item": "Item not in the catalogue",
    "image_missing": "Picture missing",
    "image_corrupt": "Picture damaged",
    "image_hash": "Picture not what its hash says",
    "image_path": "Picture outside the catalogue",
    "image_too_large": "Picture too large",
    "broken_image": "Reference picture unusable",
    "reserved_user": "User has a cohort's name",
    "bad_recommendation": "Recommendation unusable",
    "duplicate_recommendation": "Recommendation repeated",
}
_EXAMPLES_PER_KIND = 5
_COMPARISONS = 3
_VERSIONS = 7
_LEAST_VERSIONS = 3

_Row = dict[str, Any]


def build_page(
    night: ServedNight, catalogue: Catalogue, config: NightlyConfig, prompt: PromptTemplate
) -> Page:
    """Gathers the page of one night.

    Args:
        night: What is served.
        catalogue: Where titles, styles and original pictures come from.
        config: Limits of the gate, and how many users to show.
        prompt: What the pictures are, and what tells a taste for them.
    """
    # A cohort's picture is nobody's own: it is counted, and never shown as a person's.
    own = night.own
    tastes = tastes_of(own, catalogue, prompt.taste)
    users = _spread(own["user_id"].unique().sort().to_list(), config.report.max_users)
    rows = _rows_of(own, users, config.report.max_assets_per_user)
    shared = _shared_references(own, tastes)
    shelf = Shelf(catalogue, _items_on(rows, shared))
    return Page(
        date=night.facts["run_id"],
        # Of a setting that means another model every few weeks, the page tells which it was.
        model=night.facts["model_version"] if config.model == SERVING else Path(config.model).name,
        facts=_facts(night.facts),
        cards=_cards(night, prompt.picture),
        histograms=_histograms(night, config),
        reasons=_told(night.reasons()),
        # Where pairs were skipped for a problem, the pairs are counted.
        skips=_told({**night.problem_kinds(), **night.skips()}),
        mask_ratios=_in_order(night.mask_ratios()),
        examples=_examples(night),
        comparisons=tuple(_comparison(versions, tastes, shelf) for versions in shared),
        users=_user_rows(rows, night.scores_by_key(), tastes, shelf),
        users_left_out=night.users - len(users),
        example_user=next(iter(users), "a user"),
        picture=prompt.picture,
        aspect=prompt.aspect,
    )


def _spread(values: list[str], most: int) -> list[str]:
    """At most `most` values, evenly over the list: a sample, not the best of the night."""
    if len(values) <= most:
        return values
    return [values[place * len(values) // most] for place in range(most)]


def _rows_of(served: pl.DataFrame, users: list[str], most: int) -> dict[str, list[_Row]]:
    shown = served.filter(pl.col("user_id").is_in(users))
    rows: dict[str, list[_Row]] = {user: [] for user in users}
    for row in shown.iter_rows(named=True):
        if len(rows[row["user_id"]]) < most:
            rows[row["user_id"]].append(row)
    return rows


def _shared_references(served: pl.DataFrame, tastes: Mapping[str, str]) -> list[list[_Row]]:
    """References that users of the most different tastes are served, one row per version."""
    taste = pl.col("user_id").replace_strict(tastes, default=None, return_dtype=pl.String)
    versions = (
        served.select("item_id", "user_id", "image", "asset_key", taste.alias("taste"))
        .unique(["item_id", "asset_key"], keep="first", maintain_order=True)
        # New tastes come before a second one of a taste that is there already.
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


def _items_on(rows: Mapping[str, list[_Row]], shared: list[list[_Row]]) -> set[str]:
    shown = [row for of_user in rows.values() for row in of_user]
    history = {item for row in shown for item in row["history_ids"]}
    return history | {row["item_id"] for row in (*shown, *(row for r in shared for row in r))}


def _user_rows(
    rows: Mapping[str, list[_Row]],
    scores: Mapping[str, Mapping[str, float]],
    tastes: Mapping[str, str],
    shelf: Shelf,
) -> tuple[UserRow, ...]:
    return tuple(
        UserRow(
            user_id=user,
            taste=tastes.get(user, ""),
            visuals=tuple(_visual(row, scores.get(row["asset_key"], {}), shelf) for row in mine),
        )
        for user, mine in rows.items()
    )


def _visual(row: _Row, scores: Mapping[str, float], shelf: Shelf) -> Visual:
    item = row["item_id"]
    return Visual(
        title=shelf.title(item),
        history=tuple(shelf.original(item_id) for item_id in row["history_ids"]),
        reference=shelf.original(item, label=shelf.style(item) or "reference"),
        made=_made(row, shelf, label="personalised"),
        scores=tuple(_score(name, scores[name]) for name in _ROW_METRICS if name in scores),
    )


def _comparison(versions: list[_Row], tastes: Mapping[str, str], shelf: Shelf) -> Comparison:
    item = versions[0]["item_id"]
    return Comparison(
        title=shelf.title(item),
        note=shelf.style(item) or "reference",
        reference=shelf.original(item),
        versions=tuple(
            Version(row["user_id"], tastes.get(row["user_id"], ""), _made(row, shelf))
            for row in versions
        ),
    )


def _made(row: _Row, shelf: Shelf, label: str = "") -> Picture:
    alt = f"{shelf.title(row['item_id'])}, drawn for {row['user_id']}"
    return Picture(data_uri(row["image"]), alt, label)


def _score(metric: str, value: float) -> Score:
    return Score(_METRICS[metric], f"{value:.2f}", 100.0 * min(1.0, max(0.0, value)))


def _cards(night: ServedNight, picture: str) -> tuple[Card, ...]:
    facts = night.facts
    judged = facts["served"] + facts["rejected"]
    share = f"{facts['rejected'] / judged:.1%} of those judged" if judged else ""
    cohorts = night.shared["user_id"].n_unique()
    for_cohorts = Card("for taste cohorts", f"{night.shared.height:,}", f"{cohorts} cohorts")
    return (
        Card("pairs planned", f"{facts['planned']:,}", f"{facts['skipped']:,} skipped"),
        Card(f"{picture}s served", f"{night.own.height:,}", f"to {night.users:,} people"),
        *((for_cohorts,) if cohorts else ()),
        Card("drawn this night", f"{facts['generated']:,}"),
        Card("reused unchanged", f"{facts['reused']:,}"),
        Card("rejected", f"{facts['rejected']:,}", share),
    )


def _histograms(night: ServedNight, config: NightlyConfig) -> tuple[Histogram, ...]:
    limits = {
        "text_score": config.gate.min_text_score,
        "reference_score": config.gate.max_reference_similarity,
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


def _told(counts: Mapping[str, int]) -> tuple[Bar, ...]:
    """Bars with words for the codes that are known, and the code beside them."""
    words = {_WORDS.get(code, code): count for code, count in counts.items()}
    codes = {_WORDS[code]: code for code in counts if code in _WORDS}
    return bars(words, codes)


def _in_order(counts: Mapping[str, int]) -> tuple[Bar, ...]:
    return tuple(sorted(bars(counts), key=lambda bar: float(bar.label)))


def _examples(night: ServedNight) -> tuple[Fact, ...]:
    """The first few of every reason, with the numbers that decided."""
    pair = pl.concat_str("user_id", pl.lit(" · "), "item_id")
    refused = night.rejections.select(name="reason", subject=pair, text="detail")
    skipped = night.skipped.select(name="reason", subject=pair, text="detail")
    met = night.problems.filter(~pl.col("kind").is_in(list(night.skips()))).select(
        name="kind", subject="subject", text="message"
    )
    rows = (
        row
        for frame in (refused, skipped, met)
        for row in frame.group_by("name", maintain_order=True)
        .head(_EXAMPLES_PER_KIND)
        .sort("name", maintain_order=True)
        .iter_rows()
    )
    return tuple(Fact(name, subject, text or "") for name, subject, text in rows)


def _facts(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return (
        ("Model", facts["model_version"]),
        ("Settings", facts["settings_hash"][:12]),
        ("Seed", str(facts["seed"])),
        ("Content", facts["content_sha256"][:12]),
        ("Published", facts["published_at"].strftime("%Y-%m-%d %H:%M UTC")),
    )
