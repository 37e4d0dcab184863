"""Builds the bundled sticker catalogue: `python -m pigeon_rec.demo.build_stickers`.

Downloads pinned npm packages of openly licensed emoji artwork, matches them by concept, rasterises
them to 64x64 on white and writes one parquet. The same packages always give the same bytes.
Needs npm and the PyPI wheel `resvg-py`; authors and licences are listed in NOTICE.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image

from pigeon_rec.demo.artwork import ARTWORK, EMOJIBASE, Concept, fetch, match, read_concepts
from pigeon_rec.demo.held_out import choose_held_out
from pigeon_rec.demo.stickers import WORLD

__all__ = ["build", "main", "rasterise"]

SIZE = 64
MIN_STYLES = 6
# Pictures closer than this (root mean square difference of 16x16 RGB thumbnails) are duplicates.
SAME_PICTURE = 6.0

_EMOTIONS: Mapping[str, str] = {
    "face-smiling": "joy",
    "face-affection": "love",
    "face-tongue": "playful",
    "face-hand": "thoughtful",
    "face-neutral-skeptical": "skeptical",
    "face-sleepy": "sleepy",
    "face-unwell": "unwell",
    "face-hat": "festive",
    "face-glasses": "cool",
    "face-concerned": "sad",
    "face-negative": "angry",
    "face-costume": "spooky",
    "cat-face": "cat moods",
    "monkey-face": "mischief",
    "heart": "affection",
    "emotion": "reaction",
}


def rasterise(svg: str) -> bytes:
    """Draws an SVG document on white; returns lossless WebP bytes."""
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True))
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    page = Image.new("RGBA", drawn.size, "white")
    page.alpha_composite(drawn)
    out = io.BytesIO()
    page.convert("RGB").save(out, format="WEBP", lossless=True, quality=80, method=6)
    return out.getvalue()


def build(source: Path) -> pl.DataFrame:
    """Builds the sticker catalogue from the packages in `source`, sorted by style and concept.

    Raises:
        CatalogueError: A package is missing from `source` or unreadable.
    """
    concepts = {concept.key: concept for concept in read_concepts(source)}
    drawings = match(concepts.values(), source, SIZE)
    styles_of = Counter(key for _, key in drawings)
    pairs = sorted(pair for pair in drawings if styles_of[pair[1]] >= MIN_STYLES)
    images = [rasterise(drawings[pair]) for pair in pairs]
    held_out = choose_held_out(pairs, _repeated(images, pairs))
    rows = [
        _row(style, concepts[key], image) | {"held_out": (style, key) in held_out}
        for (style, key), image in zip(pairs, images, strict=True)
    ]
    return pl.DataFrame(rows, schema_overrides={"image": pl.Binary, "held_out": pl.Boolean})


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the catalogue and the list of held-out pairs (command line)."""
    parser = argparse.ArgumentParser(description="Build the bundled sticker catalogue.")
    parser.add_argument("--source", type=Path, help="keep the fetched npm packages here")
    parser.add_argument("--out", type=Path, default=WORLD.catalogue.parent)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        source: Path = options.source or Path(scratch)
        fetch([*ARTWORK, EMOJIBASE], source)
        stickers = build(source)
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    stickers.write_parquet(
        out / WORLD.catalogue.name, compression="zstd", compression_level=19, statistics=False
    )
    stickers.filter("held_out").select("style", "concept").write_csv(out / WORLD.held_out.name)
    print(
        f"{stickers.height:,} stickers of {stickers['concept'].n_unique():,} concepts in "
        f"{stickers['style'].n_unique()} styles, {stickers['held_out'].sum():,} held out: {out}"
    )


def _row(style: str, concept: Concept, image: bytes) -> dict[str, Any]:
    item_id = f"{style}/{concept.key}"
    mood = _EMOTIONS.get(concept.subgroup) if concept.group == "smileys-emotion" else None
    return {
        "item_id": item_id,
        "title": concept.label,
        "semantics": _semantics(concept),
        "category": concept.group,
        "image_uri": f"bundled:{item_id}",
        "image_sha256": hashlib.sha256(image).hexdigest(),
        "theme": None if mood else concept.subgroup,
        "style": style,
        "emotion": mood,
        "concept": concept.key,
        "image": image,
    }


def _semantics(concept: Concept) -> str:
    subgroup = concept.subgroup.replace("-", " ")
    words = [concept.label, *concept.tags, subgroup]
    return ", ".join(dict.fromkeys(words))  # without repeats


def _repeated(
    images: Sequence[bytes], pairs: Sequence[tuple[str, str]], block: int = 512
) -> set[tuple[str, str]]:
    """Returns the pairs whose picture is nearly the same as that of another pair."""
    thumbs = np.stack([_thumbnail(image) for image in images])
    norms = (thumbs**2).sum(axis=1)
    limit = SAME_PICTURE**2 * thumbs.shape[1]
    same: set[tuple[str, str]] = set()
    for start in range(0, len(pairs), block):
        rows = slice(start, min(start + block, len(pairs)))
        # Integers below 2**53 are exact in float64, so the result is the same on every machine.
        distance = norms[rows, None] + norms[None, :] - 2.0 * (thumbs[rows] @ thumbs.T)
        near = (distance < limit).sum(axis=1) > 1
        same.update(pairs[start + int(i)] for i in np.flatnonzero(near))
    return same


def _thumbnail(image: bytes) -> npt.NDArray[np.float64]:
    small = Image.open(io.BytesIO(image)).convert("RGB").resize((16, 16), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).reshape(-1)


if __name__ == "__main__":
    main()
