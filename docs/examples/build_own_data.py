"""Builds the shop of `make example-own-data`: `python -m docs.examples.build_own_data`.

Downloads three pinned icon sets that are not among the bundled styles, and writes them as a shop
might have them: `items.csv` with whole numbers as ids, pictures in four formats, `events.csv` of
simulated users, and a few faults. The same packages and libraries always give the same files.
Needs npm and the PyPI wheel `resvg-py`; authors and licences are listed in NOTICE.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import io
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from PIL import Image

from pigeon_rec.demo.artwork import (
    EMOJIBASE,
    Concept,
    IconSet,
    Package,
    fetch,
    read_concepts,
    read_set,
)
from pigeon_rec.demo.users import SimulationConfig, simulate

__all__ = ["build", "main"]

SETS: Final = (
    Package("Firefox OS", "@iconify-json/fxemoji", "1.2.2"),
    Package("Streamline", "@iconify-json/streamline-emojis", "1.2.4"),
    Package("Monotone", "@iconify-json/emojione-monotone", "1.2.1"),
)
FOLDER: Final = Path(__file__).parent / "own-data"

_SIZE: Final = 128
_GROUPS: Final = ("animals-nature", "food-drink", "travel-places", "objects", "activities")
_MOST_OF_GROUP: Final = 40
_USERS: Final = SimulationConfig(users=120, seed=20260601, days=90)
_ZONE: Final = ZoneInfo("Europe/Berlin")
_FIRST_ID: Final = 10_001
_NO_LONGER_SOLD: Final = 9_999


def build(source: Path, out: Path) -> dict[str, int]:
    """Writes tables and pictures to `out`, and returns the numbers of items and events.

    Raises:
        CatalogueError: A package is missing from `source` or unreadable.
    """
    sets = {package.style: read_set(package, source) for package in SETS}
    chosen = _choose(read_concepts(source), sets)
    order = np.random.default_rng(_USERS.seed).permutation(len(chosen))
    rows, items = [], []
    shutil.rmtree(out / "photos", ignore_errors=True)
    for place, which in enumerate(order.tolist()):
        name, concept, svg = chosen[which]
        sku = _FIRST_ID + place
        photo = _save(svg, out / "photos", f"{sku}-{concept.key}", place)
        rows.append(_row(sku, concept, name, photo))
        items.append({**_facts(concept, name), "item_id": str(sku)})
    events = _events(pl.DataFrame(items, schema_overrides={"emotion": pl.String}))
    _add_faults(rows, events, out / "photos")
    _write(rows, out / "items.csv")
    _write(events, out / "events.csv")
    return {"items": len(items), "events": len(events)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Builds the folder (command line)."""
    parser = argparse.ArgumentParser(description="Build the shop of `make example-own-data`.")
    parser.add_argument("--source", type=Path, help="keep the fetched npm packages here")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        source: Path = options.source or Path(scratch)
        fetch([*SETS, EMOJIBASE], source)
        counts = build(source, options.out)
    print(f"{counts['items']} items, {counts['events']:,} events: {options.out}")


def _choose(
    concepts: Iterable[Concept], sets: Mapping[str, IconSet]
) -> list[tuple[str, Concept, str]]:
    """Returns (set, concept, drawing) of the first concepts of each group that all sets have."""
    found: list[tuple[str, Concept, str]] = []
    taken = dict.fromkeys(_GROUPS, 0)
    names = {name: _by_letters(icons) for name, icons in sets.items()}
    for concept in concepts:
        letters = _letters(concept.key)
        # Streamline numbers its variants.
        keys = {name: by.get(letters) or by.get(f"{letters}1") for name, by in names.items()}
        if None in keys.values() or taken.get(concept.group, _MOST_OF_GROUP) >= _MOST_OF_GROUP:
            continue
        taken[concept.group] += 1
        drawn = ((name, sets[name].svg(str(key), _SIZE)) for name, key in keys.items())
        found += [(name, concept, svg) for name, svg in drawn if svg is not None]
    return found


def _by_letters(icons: IconSet) -> dict[str, str]:
    """Names without hyphens, because Firefox OS Emoji has none."""
    return {_letters(name): name for name in (*icons.aliases, *icons.icons)}


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _row(sku: int, concept: Concept, name: str, photo: str) -> dict[str, Any]:
    return {
        "sku": sku,
        "product": concept.label.capitalize(),
        "keywords": ", ".join(dict.fromkeys((concept.label, *concept.tags))),
        "department": concept.group.replace("-", " and ").capitalize(),
        "series": name,
        "photo": photo,
    }


def _facts(concept: Concept, name: str) -> dict[str, Any]:
    """What the simulation of users reads."""
    return {
        "concept": concept.key,
        "category": concept.group,
        "theme": concept.subgroup,
        "emotion": None,
        "style": name,
    }


def _save(svg: str, folder: Path, stem: str, place: int) -> str:
    """Saves a drawing in one of four formats and returns its path below the shop's folder."""
    import resvg_py

    folder.mkdir(parents=True, exist_ok=True)
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True))
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    page = Image.new("RGBA", drawn.size, "white")
    page.alpha_composite(drawn)
    suffix = (".png", ".jpg", ".webp", ".gif")[place % 4]
    path = folder / f"{stem}{suffix}"
    if suffix == ".png":  # transparent, as drawn
        drawn.quantize(128, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)
    elif suffix == ".jpg":
        page.convert("RGB").save(path, quality=90)
    elif suffix == ".webp":  # transparent as well
        drawn.save(path, quality=85, method=6)
    else:
        page.convert("RGB").quantize(64).save(path)
    return f"photos/{path.name}"


def _events(items: pl.DataFrame) -> list[dict[str, Any]]:
    """Each simulated user prefers one of the sets (a few prefer two) and some topics."""
    simulated = simulate(_USERS, items).interactions.sort("timestamp", "user_id", "item_id")
    return [
        {
            "customer": int(user.removeprefix("u")),
            "sku": int(item),
            "event": "purchase",
            "at": dt.datetime.fromtimestamp(second, _ZONE).isoformat(),
        }
        for user, item, second in simulated.select("user_id", "item_id", "timestamp").iter_rows()
    ]


def _add_faults(rows: list[dict[str, Any]], events: list[dict[str, Any]], photos: Path) -> None:
    """A shop's tables are never clean: what `pigeon-rec check` has to find."""
    broken = photos.parent / rows[101]["photo"]  # a JPEG, of which only the beginning has arrived
    broken.write_bytes(broken.read_bytes()[:400])
    (photos.parent / rows[202]["photo"]).unlink()
    rows.append({**rows[0], "product": f"{rows[0]['product']} (old entry)"})
    for event in events[500:2_000:500]:
        event["sku"] = _NO_LONGER_SOLD
    events[1_234]["at"] = ""


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
