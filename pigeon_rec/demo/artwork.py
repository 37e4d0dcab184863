"""Reads openly licensed emoji sets and matches their pictures of the same concept.

The sets are npm packages in the Iconify layout. A *concept* is an emoji of emojibase. A set's
picture of it is found by code point if the set has code points (`chars.json`), otherwise by the
names that the other sets give to that code point.
"""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pigeon_rec.errors import CatalogueError

__all__ = [
    "ARTWORK",
    "EMOJIBASE",
    "Concept",
    "IconSet",
    "Package",
    "fetch",
    "match",
    "read_concepts",
    "read_set",
]


@dataclass(frozen=True)
class Package:
    """One pinned npm package; `style` is our name for its drawing style."""

    style: str
    npm: str
    version: str
    codes_from: str | None = None  # style with the same names, whose code points apply

    @property
    def spec(self) -> str:
        return f"{self.npm}@{self.version}"


ARTWORK: tuple[Package, ...] = (
    Package("emojione", "@iconify-json/emojione", "1.2.3"),
    Package("fluent", "@iconify-json/fluent-emoji", "1.2.7", codes_from="fluent-flat"),
    Package("fluent-flat", "@iconify-json/fluent-emoji-flat", "1.2.6"),
    Package("fluent-hc", "@iconify-json/fluent-emoji-high-contrast", "1.2.6"),
    Package("noto", "@iconify-json/noto", "1.2.9"),
    Package("noto-v1", "@iconify-json/noto-v1", "1.2.5"),
    Package("openmoji", "@iconify-json/openmoji", "1.2.29"),
    Package("twemoji", "@iconify-json/twemoji", "1.2.5"),
)
EMOJIBASE = Package("", "emojibase-data", "17.0.0")

# (style, code point) -> name, where matching by name finds another picture; found by looking at all
# pictures matched by name. Both sets call the upwards triangle "up button".
_CORRECTED_NAMES: Mapping[tuple[str, str], str] = MappingProxyType(
    {("emojione", "1f199"): "up-text-button", ("noto-v1", "1f199"): "up-text-button"}
)


@dataclass(frozen=True)
class Concept:
    """What a sticker shows, in words that apply to every style.

    Attributes:
        key: Slug of the label, for example `red-apple`.
        code: Code points in hexadecimal joined by `-`, without variation selectors.
        group: emojibase's group, for example `animals-nature`.
        subgroup: emojibase's subgroup, for example `animal-mammal`.
    """

    key: str
    code: str
    label: str
    tags: tuple[str, ...]
    group: str
    subgroup: str


@dataclass(frozen=True)
class IconSet:
    """Drawings of one set: `icons` by name, `aliases` to them, `codes` from code point to name."""

    style: str
    icons: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, Mapping[str, Any]]
    codes: Mapping[str, str]
    width: float
    height: float

    def svg(self, name: str, size: int) -> str | None:
        """Returns a square SVG document of `size` pixels; `None` if the set has no such name."""
        alias = self.aliases.get(name, {})
        icon = self.icons.get(alias.get("parent", name))
        if icon is None:
            return None
        left, top = icon.get("left", 0), icon.get("top", 0)
        width, height = icon.get("width", self.width), icon.get("height", self.height)
        body = icon["body"]
        if alias.get("hFlip"):
            body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{size}" height="{size}" viewBox="{left} {top} {width} {height}">{body}</svg>'
        )


def fetch(packages: Iterable[Package], folder: Path) -> None:
    """Downloads and unpacks the packages that are not yet in `folder` (`npm pack`).

    Raises:
        CatalogueError: npm is missing, or a package cannot be fetched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        target = _package_folder(package, folder)
        if target.is_dir():
            continue
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder), package.spec]
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CatalogueError(
                f"cannot fetch {package.spec} with npm: {error}",
                location=str(folder),
                remedy="Install npm, or unpack the packages there yourself and pass --source",
            ) from error
        with tarfile.open(folder / done.stdout.strip().splitlines()[-1]) as archive:
            archive.extractall(target, filter="data")


def read_set(package: Package, folder: Path) -> IconSet:
    """Reads one unpacked set.

    Raises:
        CatalogueError: The package is not in `folder`, or not an Iconify package.
    """
    icons = _read_json(package, folder, "package/icons.json")
    chars = _package_folder(package, folder) / "package" / "chars.json"
    codes = json.loads(chars.read_text(encoding="utf-8")) if chars.exists() else {}
    return IconSet(
        style=package.style,
        icons=icons["icons"],
        aliases=icons.get("aliases", {}),
        codes={_plain(code): name for code, name in codes.items()},
        width=icons.get("width", 16),
        height=icons.get("height", 16),
    )


def read_concepts(folder: Path) -> list[Concept]:
    """Reads the emoji of emojibase, in its order, without skin tones, hair and indicators."""
    emoji = _read_json(EMOJIBASE, folder, "package/en/data.json")
    groups = _read_json(EMOJIBASE, folder, "package/meta/groups.json")
    return [
        Concept(
            key=slug(entry["label"]),
            code=_plain(entry["hexcode"]),
            label=entry["label"],
            tags=tuple(entry.get("tags", ())),
            group=groups["groups"][str(entry["group"])],
            subgroup=groups["subgroups"][str(entry["subgroup"])],
        )
        for entry in emoji
        if "group" in entry and groups["groups"][str(entry["group"])] != "component"
    ]


def match(concepts: Iterable[Concept], folder: Path, size: int) -> dict[tuple[str, str], str]:
    """Returns an SVG of `size` pixels for each (style, concept key) that a set has."""
    sets = {package.style: read_set(package, folder) for package in ARTWORK}
    found: dict[tuple[str, str], str] = {}
    for concept in concepts:
        named = {
            style: icons.codes[concept.code]
            for style, icons in sets.items()
            if concept.code in icons.codes
        }
        for package in ARTWORK:
            for name in _names(package, sets[package.style], concept, named):
                svg = sets[package.style].svg(name, size)
                if svg is not None:
                    found[package.style, concept.key] = svg
                    break
    return found


def slug(label: str) -> str:
    """`Mrs. Claus` -> `mrs-claus`; the keycaps of `#` and `*` get different names."""
    text = label.lower().replace("#", "hash").replace("*", "asterisk")
    text = re.sub(r"[’'.“”]", "", text)
    return re.sub(r"[^0-9a-zà-ÿ]+", "-", text).strip("-")


def _names(
    package: Package, icons: IconSet, concept: Concept, named: Mapping[str, str]
) -> list[str]:
    if icons.codes:
        return [named[package.style]] if package.style in named else []
    if package.codes_from is not None:
        return [named[package.codes_from]] if package.codes_from in named else []
    if (package.style, concept.code) in _CORRECTED_NAMES:
        return [_CORRECTED_NAMES[package.style, concept.code]]
    return [concept.key, *(_bare(name) for name in named.values())]


def _bare(name: str) -> str:
    return re.sub(r"^u[0-9a-f]{4,6}-", "", name)


def _plain(code: str) -> str:
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def _package_folder(package: Package, folder: Path) -> Path:
    return folder / package.spec.replace("/", "-").lstrip("@")


def _read_json(package: Package, folder: Path, name: str) -> Any:
    path = _package_folder(package, folder) / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogueError(
            f"cannot read {package.spec}: {error}",
            location=str(path),
            remedy="Run the build without --source, which fetches the packages",
        ) from error
