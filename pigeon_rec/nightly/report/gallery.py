"""The gallery: one night as one HTML page without any external address.

This module holds the page's content as data and renders its template, which escapes all text;
`pigeon_rec.nightly.report.page` gathers the content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pigeon_rec.data.aspect import SQUARE, Aspect
from pigeon_rec.runtime.charts import CHART_HEIGHT, CHART_WIDTH, Bar, Histogram
from pigeon_rec.runtime.html import render_template

__all__ = ["AssetView", "Comparison", "Page", "Picture", "UserRow", "render_gallery"]

_SHOWN_SIDE = 64
_WIDTH, _WIDEST, _TALLEST = 112, 152, 168  # of a large frame, in CSS pixels


@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        uri: Data URI; `None` if there is no picture that decodes: `alt` is shown instead.
        alt: Alternative text.
        label: Label under the picture; empty for none.
    """

    uri: str | None
    alt: str
    label: str = ""


@dataclass(frozen=True)
class AssetView:
    """One asset with its history, its reference, and its scores by label."""

    title: str
    history: tuple[Picture, ...]
    reference: Picture
    picture: Picture
    scores: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class UserRow:
    """One user; `taste` is the most frequent one of the history, empty if unknown."""

    user_id: str
    taste: str
    assets: tuple[AssetView, ...]


@dataclass(frozen=True)
class Comparison:
    """One reference with a note, and its versions: user id, taste and asset of several users."""

    title: str
    note: str
    reference: Picture
    versions: tuple[tuple[str, str, Picture], ...]


@dataclass(frozen=True)
class Page:
    """The content of the gallery page of one night.

    Attributes:
        facts: Name and value of each line of the footer.
        cards: Label, value and note of each number of the summary.
        examples: Code, subject and detail of rejections, skipped recommendations and problems.
        users: In the order they are shown in, by taste.
        taste: Catalogue column of the tastes; None for none.
        tastes: Number of users of each taste, shown or not; empty if nobody has one.
        picture: The scenario's word for one picture, such as `sticker`.
        pictures: Its word for several.
        aspect: Proportions of all pictures.
        warnings: What should be looked into, each a sentence.
    """

    date: str
    model: str
    facts: tuple[tuple[str, str], ...]
    cards: tuple[tuple[str, str, str], ...]
    histograms: tuple[Histogram, ...]
    reasons: tuple[Bar, ...]
    skips: tuple[Bar, ...]
    mask_ratios: tuple[Bar, ...]
    examples: tuple[tuple[str, str, str], ...]
    comparisons: tuple[Comparison, ...]
    users: tuple[UserRow, ...]
    users_left_out: int
    example_user: str
    taste: str | None = None
    tastes: Mapping[str, int] = field(default_factory=dict)
    picture: str = "picture"
    pictures: str = "pictures"
    aspect: Aspect = SQUARE
    warnings: tuple[str, ...] = ()


def render_gallery(page: Page) -> str:
    """Renders the page as one HTML document."""
    ratio = page.aspect.width / page.aspect.height
    # Wide frames grow in width, and narrow ones do not grow in height.
    width = round(min(_WIDEST, _WIDTH * ratio) if ratio > 1 else min(_WIDTH, _TALLEST * ratio))
    return render_template(
        "pigeon_rec.nightly.report",
        "gallery.html.j2",
        page=page,
        frame=page.aspect.size(_SHOWN_SIDE),
        width=width,
        chart_width=CHART_WIDTH,
        chart_height=CHART_HEIGHT,
    )
