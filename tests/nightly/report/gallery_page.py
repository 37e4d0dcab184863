"""A gallery page as its tests read it."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

__all__ = ["Gallery"]

CHART_TAGS = ("g", "line", "rect", "text", "title")


class Gallery(HTMLParser):
    """The parts of a gallery page that tests look at.

    Attributes:
        images: Class list of the figure, and attributes, of every picture.
        tags: Every element with its class, but for what charts are drawn with.
        users: Headings of the users' rows.
        text: All text of the body.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.images: list[tuple[list[str], dict[str, str]]] = []
        self.tags: list[str] = []
        self.users: list[str] = []
        self.text = ""
        self._figure: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag not in CHART_TAGS:
            self.tags.append(f"{tag}.{values.get('class', '')}")
        if tag == "figure":
            self._figure = values["class"].split()
        if tag == "img":
            self.images.append((self._figure, values))

    def handle_data(self, data: str) -> None:
        self.text += f" {data.strip()} "
        in_heading = self.tags[-3:] == ["article.panel user", "header.", "h3.own few"]
        if in_heading and data.strip():
            self.users.append(data)

    def bytes_of(self, kind: str) -> list[bytes]:
        """Encoded pictures of all figures of a class."""
        uris = [values["src"] for figure, values in self.images if kind in figure]
        return [base64.b64decode(uri.split(",")[1], validate=True) for uri in uris]
