"""The rendered page: self-contained, escaped, and honest about pictures that do not decode."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.data.aspect import Aspect
from pigeon_rec.nightly.report.gallery import (
    AssetView,
    Comparison,
    Page,
    Picture,
    UserRow,
    render_gallery,
)
from pigeon_rec.runtime.charts import bars, histogram
from pigeon_rec.runtime.html import encode_picture

HOSTILE = '</title><script>alert(\'x\')</script>" onerror="alert(1)" &amp; {{ 7 * 7 }}'
SOURCES = ("src", "href", "srcset", "action", "data", "poster", "xlink:href")


class _Elements(HTMLParser):
    """Collects tags with their attributes, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _parse(html: str) -> _Elements:
    elements = _Elements()
    elements.feed(html)
    elements.close()
    return elements


def _page(text: str) -> Page:
    picture = Picture(encode_picture(np.full((64, 64, 3), 9, np.uint8)), text, text)
    lost = Picture(None, text)
    chart = histogram(text, [0.1, 0.5], [0.0], limit=0.05)
    assert chart is not None
    asset = AssetView(text, (picture, lost), picture, picture, ((text, 0.5),))
    return Page(
        date=text,
        model=text,
        facts=((text, text),),
        cards=((text, text, text),),
        histograms=(chart,),
        reasons=bars({text: 2}, {text: text}),
        skips=bars({text: 1}),
        mask_ratios=bars({"0.0": 3}),
        examples=((text, text, text),),
        comparisons=(Comparison(text, text, picture, ((text, text, picture),)),),
        users=(UserRow(text, text, (asset,)),),
        users_left_out=7,
        example_user=text,
        taste=text,
        tastes={text: 3, "t": 1},
        picture=text,
        pictures=text,
    )


def test_no_address_leads_outside() -> None:
    html = render_gallery(_page("calm"))
    for _, attributes in _parse(html).tags:
        for name in SOURCES:
            assert (attributes.get(name) or "data:").startswith("data:")
    assert not re.search(r"https?:|url\(|@import|<script|<link rel=\"stylesheet", html)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html


@pytest.mark.parametrize("text", [HOSTILE, "'\"><img src=x>", "{% raw %}", "\u202e\u0000<b>"])
def test_hostile_text_stays_text(text: str) -> None:
    hostile, calm = (_parse(render_gallery(_page(t))) for t in (text, "calm"))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in calm.tags]
    assert [set(a) for _, a in hostile.tags] == [set(a) for _, a in calm.tags]
    images = [a for tag, a in hostile.tags if tag == "img"]
    assert [image["alt"] for image in images] == [text] * len(images)
    assert any(text in part for part in hostile.text)


@settings(max_examples=25)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=30))
def test_any_text_gives_the_same_elements(text: str) -> None:
    page = _page("x")
    user = dataclasses.replace(page.users[0], user_id=text, taste="t")
    tags = _parse(render_gallery(dataclasses.replace(page, users=(user,)))).tags
    assert [tag for tag, _ in tags] == [tag for tag, _ in _parse(render_gallery(page)).tags]


def test_a_missing_picture_shows_its_alternative_text() -> None:
    elements = _parse(render_gallery(_page("apple")))
    lost = [a for _, a in elements.tags if a.get("class") == "missing"]
    assert [a["aria-label"] for a in lost] == ["apple: no picture"]


def test_every_image_has_an_alternative_text() -> None:
    images = [a for tag, a in _parse(render_gallery(_page("apple"))).tags if tag == "img"]
    assert images
    assert all(image["alt"] == "apple" for image in images)


def test_users_that_are_not_shown_are_counted() -> None:
    page = _page("calm")
    assert "7 more users are served" in render_gallery(page)
    assert "more users are served" not in render_gallery(
        dataclasses.replace(page, users_left_out=0)
    )


def test_an_empty_night_says_so() -> None:
    empty = dataclasses.replace(
        _page("calm"),
        histograms=(),
        reasons=(),
        skips=(),
        mask_ratios=(),
        examples=(),
        comparisons=(),
        users=(),
        users_left_out=0,
    )
    html = render_gallery(empty)
    for said in ("Nothing was served this night.", "Nothing was rejected.", "Nothing was drawn."):
        assert said in html
    assert not [tag for tag, _ in _parse(html).tags if tag == "img"]


@pytest.mark.parametrize(
    ("aspect", "width"),
    [
        ("1:1", 112),
        ("2:3", 112),
        ("1:2", 84),
        ("1:4", 42),
        ("5:4", 140),
        ("16:9", 152),
        ("4:1", 152),
    ],
)
def test_frames_have_the_shape_of_the_pictures_and_fit_the_page(aspect: str, width: int) -> None:
    html = render_gallery(dataclasses.replace(_page("calm"), aspect=Aspect.parse(aspect)))
    assert f"--frame: {aspect.replace(':', ' / ')};" in html
    assert f"--big: {width}px;" in html
    # What is wider than high leaves no room beside it.
    assert ("Wide frames" in html) == (width > 112)


def test_tastes_have_a_heading_with_all_their_users() -> None:
    page = _page("calm")
    other, lost = (dataclasses.replace(page.users[0], taste=taste) for taste in ("t", ""))
    page = dataclasses.replace(page, users=(*page.users, other, other, lost))
    text = " ".join(" ".join(_parse(render_gallery(page)).text).split())
    for heading in ("calm 3 users", "t 1 user ", "no known taste"):
        assert text.count(f" {heading}") == 1, heading
