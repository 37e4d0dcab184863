"""The build of the sticker catalogue, on toy packages."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pigeon_rec.demo import artwork
from pigeon_rec.demo.artwork import ARTWORK, EMOJIBASE, IconSet, slug
from pigeon_rec.demo.build_stickers import build, rasterise
from pigeon_rec.demo.held_out import choose_held_out
from pigeon_rec.demo.stickers import WORLD
from pigeon_rec.errors import CatalogueError

Pair = tuple[str, str]
STYLES = tuple(WORLD.style_descriptions)


@settings(max_examples=50, deadline=None)
@given(
    st.sets(st.tuples(st.sampled_from(STYLES), st.integers(0, 60).map(str)), max_size=200),
    st.randoms(use_true_random=False),
)
def test_the_choice_is_fixed_and_never_too_much_of_a_concept(
    pairs: set[Pair], random: object
) -> None:
    ordered = sorted(pairs)
    chosen = choose_held_out(ordered, excluded=ordered[::7])
    assert chosen <= pairs - set(ordered[::7])
    assert all(count <= 3 for count in Counter(concept for _, concept in chosen).values())
    quota = Counter(style for style, _ in pairs)
    taken = Counter(style for style, _ in chosen)
    assert all(taken[style] <= round(0.1 * quota[style]) for style in quota)
    shuffled = list(ordered)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose_held_out(shuffled, excluded=ordered[::7]) == chosen


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("red apple", "red-apple"),
        ("Mrs. Claus", "mrs-claus"),
        ("keycap: #", "keycap-hash"),
        ("keycap: *", "keycap-asterisk"),
        ("man’s shoe", "mans-shoe"),
        ("piñata", "piñata"),
    ],
)
def test_slugs(label: str, expected: str) -> None:
    assert slug(label) == expected


def pixels_of(svg: str | None) -> npt.NDArray[np.uint8]:
    assert svg is not None
    return np.asarray(Image.open(io.BytesIO(rasterise(svg))).convert("RGB"))


def icon_set(**facts: object) -> IconSet:
    """A red bar at the left edge, and its mirror image by alias."""
    bar: dict[str, object] = {"body": '<path fill="#f00" d="M0 0h2v8H0z"/>'}
    return IconSet(
        style="toy",
        icons={"bar": bar | facts},
        aliases={"same": {"parent": "bar"}, "mirrored": {"parent": "bar", "hFlip": True}},
        codes={},
        width=8,
        height=8,
    )


def test_drawings_lie_on_white() -> None:
    pixels = pixels_of(icon_set().svg("same", 64))
    assert pixels.shape == (64, 64, 3)
    assert (pixels[:, :15] == (255, 0, 0)).all()
    assert (pixels[:, 17:] == 255).all()


def test_aliases_can_mirror() -> None:
    mirrored = pixels_of(icon_set().svg("mirrored", 64))
    np.testing.assert_array_equal(mirrored, pixels_of(icon_set().svg("bar", 64))[:, ::-1])


def test_low_drawings_are_centred() -> None:
    low = icon_set(height=4, body='<path fill="#f00" d="M0 0h2v4H0z"/>')
    pixels = pixels_of(low.svg("bar", 64))
    assert (pixels[:15] == 255).all()
    assert (pixels[20:44, :15] == (255, 0, 0)).all()
    assert (pixels[-15:] == 255).all()


def test_names_that_a_set_lacks_have_no_drawing() -> None:
    assert icon_set().svg("other", 64) is None


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Unpacked toy packages with a square in six sets, a disc in five."""
    emoji = [
        {"label": "red square", "hexcode": "1F7E5-FE0F", "tags": ["box", "red square"],
         "group": 8, "subgroup": 96},
        {"label": "disc", "hexcode": "1F7E1", "group": 8, "subgroup": 96},
        {"label": "light skin tone", "hexcode": "1F3FB", "group": 2, "subgroup": 32},
        {"label": "regional indicator A", "hexcode": "1F1E6"},
    ]  # fmt: skip
    groups = {
        "groups": {"2": "component", "8": "symbols"},
        "subgroups": {"32": "skin-tone", "96": "geometric"},
    }
    home = artwork._package_folder(EMOJIBASE, tmp_path) / "package"
    (home / "en").mkdir(parents=True)
    (home / "meta").mkdir()
    (home / "en" / "data.json").write_text(json.dumps(emoji))
    (home / "meta" / "groups.json").write_text(json.dumps(groups))
    with_codes = [
        package.style
        for package in ARTWORK
        if package.style in ("fluent-flat", "fluent-hc", "noto", "openmoji", "twemoji")
    ]
    for number, package in enumerate(ARTWORK):
        square = {"body": f'<path fill="#f{number}0" d="M{number} 1h9v9z"/>'}
        icons = {} if package.style in ("noto-v1", "twemoji") else {"u1f7e5-square": square}
        if package.style == "emojione":
            icons = {"square": square}
        if package.style in ("fluent-flat", "fluent-hc", "noto", "openmoji", "twemoji"):
            icons["disc"] = {"body": '<circle cx="8" cy="8" r="5"/>'}
        home = artwork._package_folder(package, tmp_path) / "package"
        home.mkdir(parents=True)
        (home / "icons.json").write_text(json.dumps({"icons": icons, "width": 16, "height": 16}))
        if package.style in with_codes:
            codes = {"1f7e5": "u1f7e5-square", "1f7e1": "disc"}
            (home / "chars.json").write_text(json.dumps(codes))
    return tmp_path


def test_concepts_of_six_sets_are_kept(packages: Path) -> None:
    built = build(packages)
    assert built["item_id"].to_list() == [
        f"{style}/red-square"
        for style in ("emojione", "fluent", "fluent-flat", "fluent-hc", "noto", "openmoji")
    ]
    row = built.row(0, named=True)
    assert row["title"] == "red square"
    assert row["semantics"] == "red square, box, geometric"
    assert row["category"] == "symbols"
    assert row["theme"] == "geometric"
    assert row["emotion"] is None


def test_building_twice_gives_the_same_rows(packages: Path) -> None:
    assert build(packages).equals(build(packages))


def test_a_missing_package_is_named(packages: Path) -> None:
    (artwork._package_folder(ARTWORK[0], packages) / "package" / "icons.json").unlink()
    with pytest.raises(CatalogueError, match=r"cannot read @iconify-json/emojione@1\.2\.3"):
        build(packages)


def test_a_failing_npm_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CatalogueError, match=r"cannot fetch emojibase-data@17\.0\.0 with npm"):
        artwork.fetch([EMOJIBASE], tmp_path / "source")
