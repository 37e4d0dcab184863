"""A small catalogue of coloured shapes as a user would bring it: PNG files, ids, and users.

A concept is a shape of one colour; every concept is drawn in every style. Users choose mostly
pictures of one style, so that there is a taste to learn, whether the catalogue names it or not.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageDraw

__all__ = ["Shapes", "shape_png", "write_shapes"]

_COLOURS = {"red": "#c8281e", "blue": "#1e50c8", "green": "#28a046", "orange": "#f08c14"}
_SHAPES = ("circle", "square", "triangle", "bar", "ring", "cross")
_START = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Shapes:
    """Files of the catalogue.

    Attributes:
        catalogue: `items.parquet`.
        interactions: `interactions.parquet`.
    """

    catalogue: Path
    interactions: Path

    @property
    def options(self) -> tuple[str, ...]:
        """Options of the command line that name them."""
        files = (str(self.catalogue), str(self.interactions))
        return ("--catalogue", files[0], "--interactions", files[1])


def write_shapes(
    folder: Path,
    *,
    columns: Sequence[str] = ("style", "concept"),
    styles: Sequence[str] = ("flat", "line", "pale"),
    size: tuple[int, int] = (96, 96),
    users: int = 18,
    alpha: bool = False,
) -> Shapes:
    """Writes 24 concepts in the styles, and users with twelve choices each.

    Args:
        folder: Where to write to.
        columns: Of `style` and `concept`, those that the catalogue has.
        styles: Names of the looks, at most three.
        size: Width and height of the pictures in pixels.
        users: Number of users.
        alpha: Whether the background is transparent.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    rows = []
    concepts = [(shape, colour) for shape in _SHAPES for colour in _COLOURS]
    for number, (style, (shape, colour)) in enumerate((s, c) for s in styles for c in concepts):
        content = shape_png(shape, colour, look=styles.index(style), size=size, alpha=alpha)
        file = f"pictures/{number:03d}.png"
        (folder / file).write_bytes(content)
        rows.append(
            {
                "item_id": str(number),
                "title": f"{colour} {shape}",
                "semantics": f"a {shape} in {colour}",
                "category": "round" if shape in {"circle", "ring"} else "angular",
                "image_uri": file,
                "image_sha256": hashlib.sha256(content).hexdigest(),
                "style": style,
                "concept": f"{colour}-{shape}",
            }
        )
    items = pl.DataFrame(rows)
    dropped = [name for name in ("style", "concept") if name not in columns]
    items.drop(dropped).write_parquet(folder / "items.parquet")
    _choices(items, users).write_parquet(folder / "interactions.parquet")
    return Shapes(folder / "items.parquet", folder / "interactions.parquet")


def shape_png(
    shape: str, colour: str, *, look: int = 0, size: tuple[int, int] = (96, 96), alpha: bool = False
) -> bytes:
    """Draws one shape; `look` is 0 for filled, 1 for an outline, 2 for a pale filling."""
    width, height = size
    image = Image.new("RGBA", size, (255, 255, 255, 0))
    pen, box = ImageDraw.Draw(image), (width // 6, height // 6, width * 5 // 6, height * 5 // 6)
    ink = _COLOURS[colour]
    edge, thick = (ink, max(2, width // 20)) if look == 1 else (None, 0)
    fill = None if look == 1 else ink if look == 0 else ink + "60"
    if shape == "circle":
        pen.ellipse(box, fill=fill, outline=edge, width=thick)
    elif shape == "ring":
        pen.ellipse(box, outline=fill or ink, width=width // (12 if look == 1 else 6))
    elif shape == "triangle":
        corners = [(box[0], box[3]), (box[2], box[3]), (width // 2, box[1])]
        pen.polygon(corners, fill=fill, outline=edge, width=thick)
    elif shape == "bar":
        pen.rectangle(
            (box[0], height * 2 // 5, box[2], height * 3 // 5), fill=fill, outline=edge, width=thick
        )
    elif shape == "cross":
        pen.line((*box[:2], *box[2:]), fill=fill or ink, width=width // (16 if look == 1 else 6))
        pen.line((box[0], box[3], box[2], box[1]), fill=fill or ink, width=width // 8)
    else:
        pen.rectangle(box, fill=fill, outline=edge, width=thick)
    content = io.BytesIO()
    page = Image.new("RGBA", size, "white")
    page.alpha_composite(image)
    (image if alpha else page.convert("RGB")).save(content, "PNG")
    return content.getvalue()


def _choices(items: pl.DataFrame, users: int) -> pl.DataFrame:
    """Ten pictures of a user's style and two others, one a day."""
    styles = items["style"].unique(maintain_order=True)
    rows = []
    for user in range(users):
        random = np.random.default_rng(user)
        liked = items.filter(pl.col("style") == styles[user % len(styles)])["item_id"].to_numpy()
        own = random.choice(liked, 10, replace=False)
        other = random.choice(np.setdiff1d(items["item_id"].to_numpy(), own), 2, replace=False)
        for day, item in enumerate(random.permutation([*own, *other])):
            rows.append((f"u{user}", str(item), _START + timedelta(days=day, minutes=user)))
    schema = {"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema=schema, orient="row")
