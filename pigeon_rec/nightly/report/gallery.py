"""The gallery: one night as one HTML page that needs nothing else, not even a network.

This module knows how the page looks in data and how pictures become data URIs; what is on the
page is gathered by `pigeon_rec.nightly.report.page`. All text goes through the template's escaping.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from jinja2 import BaseLoader, Environment, StrictUndefined

from pigeon_rec.data.aspect import SQUARE, Aspect
from pigeon_rec.nightly.report.charts import CHART_HEIGHT, CHART_WIDTH, Bar, Histogram

__all__ = [
    "Card",
    "Comparison",
    "Fact",
    "Page",
    "Picture",
    "Score",
    "UserRow",
    "Version",
    "Visual",
    "render_gallery",
]

_TEMPLATE = "gallery.html.j2"
_SHOWN_SIDE = 64


@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        uri: Data URI, or `None` where there is no picture that decodes: its alternative text
            is shown in its place.
        alt: Alternative text.
        label: Short label under the picture, such as the style; empty for none.
    """

    uri: str | None
    alt: str
    label: str = ""


@dataclass(frozen=True)
class Score:
    """One score as text and as a meter of `percent` (0 to 100)."""

    label: str
    text: str
    percent: float


@dataclass(frozen=True)
class Visual:
    """One personalised picture beside what it was made from."""

    title: str
    history: tuple[Picture, ...]
    reference: Picture
    made: Picture
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class UserRow:
    """One user; `taste` is the style that leads the history, empty where it is unknown."""

    user_id: str
    taste: str
    visuals: tuple[Visual, ...]


@dataclass(frozen=True)
class Version:
    """What one user sees in the place of a shared reference."""

    user_id: str
    taste: str
    made: Picture


@dataclass(frozen=True)
class Comparison:
    """One reference, a word on it, and the pictures that different users see in its place."""

    title: str
    note: str
    reference: Picture
    versions: tuple[Version, ...]


@dataclass(frozen=True)
class Card:
    """One number of the run summary."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Fact:
    """One line of a list: a name, where or whom it is about, and what there is to say."""

    name: str
    subject: str
    text: str


@dataclass(frozen=True)
class Page:
    """Everything on the gallery page of one night.

    `picture` is what people call one of the pictures; `aspect` is the proportions of all of them.
    """

    date: str
    model: str
    facts: tuple[tuple[str, str], ...]
    cards: tuple[Card, ...]
    histograms: tuple[Histogram, ...]
    reasons: tuple[Bar, ...]
    skips: tuple[Bar, ...]
    mask_ratios: tuple[Bar, ...]
    examples: tuple[Fact, ...]
    comparisons: tuple[Comparison, ...]
    users: tuple[UserRow, ...]
    users_left_out: int
    example_user: str
    picture: str = "picture"
    aspect: Aspect = SQUARE


def render_gallery(page: Page) -> str:
    """The page as one HTML document without a single external address."""
    source = resources.files("pigeon_rec.nightly.report") / "templates" / _TEMPLATE
    environment = Environment(
        loader=BaseLoader(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string(source.read_text(encoding="utf-8"))
    return template.render(
        page=page,
        frame=page.aspect.size(_SHOWN_SIDE),
        chart_width=CHART_WIDTH,
        chart_height=CHART_HEIGHT,
    )
