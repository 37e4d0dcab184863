"""The bundled stickers, their held-out list, and the build on a toy set of packages."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pigeon_rec.data.world import topics
from pigeon_rec.demo import artwork
from pigeon_rec.demo.artwork import ARTWORK, EMOJIBASE, IconSet, slug
from pigeon_rec.demo.build_stickers import build, choose_held_out, rasterise
from pigeon_rec.demo.stickers import STYLE_DESCRIPTIONS, STYLES, WORLD
from pigeon_rec.errors import CatalogueError

Pair = tuple[str, str]


@pytest.fixture(scope="module")
def bundled() -> pl.DataFrame:
    return WORLD.artwork()


def pairs_of(frame: pl.DataFrame) -> set[Pair]:
    return set(frame.select("style", "concept").iter_rows())


def test_there_are_enough_concepts_and_styles(bundled: pl.DataFrame) -> None:
    styles_of_concept = bundled.group_by("concept").len()["len"]
    assert len(styles_of_concept) >= 1000
    assert int(styles_of_concept.to_numpy().min()) >= 6
    assert set(bundled["style"]) == set(STYLES) == set(STYLE_DESCRIPTIONS)
    assert WORLD.catalogue.stat().st_size <= 15 * 2**20


def test_columns_follow_the_contract(bundled: pl.DataFrame) -> None:
    assert bundled.columns == [
        "item_id", "title", "semantics", "category", "image_uri", "image_sha256",
        "theme", "style", "emotion", "concept", "image", "held_out",
    ]  # fmt: skip
    ids = [f"{style}/{concept}" for style, concept in bundled.select("style", "concept").rows()]
    assert bundled["item_id"].to_list() == ids
    assert bundled["image_uri"].to_list() == [f"bundled:{item}" for item in ids]
    assert bundled["item_id"].n_unique() == bundled.height
    assert bundled.equals(bundled.sort("style", "concept"))


def test_every_sticker_has_a_theme_or_an_emotion(bundled: pl.DataFrame) -> None:
    faces = bundled["category"] == "smileys-emotion"
    assert (bundled["emotion"].is_not_null() == faces).all()
    assert (bundled["theme"].is_null() == faces).all()
    assert topics(bundled).null_count() == 0


def test_hashes_are_those_of_the_pictures(bundled: pl.DataFrame) -> None:
    found = [hashlib.sha256(image).hexdigest() for image in bundled["image"]]
    assert bundled["image_sha256"].to_list() == found


def test_texts_are_the_same_in_every_style(bundled: pl.DataFrame) -> None:
    texts = bundled.select("concept", "title", "semantics", "category", "theme", "emotion")
    assert texts.unique().height == bundled["concept"].n_unique()


def test_a_concept_looks_different_in_every_style(bundled: pl.DataFrame) -> None:
    apples = bundled.filter(concept="red-apple")
    assert apples.height == len(STYLES)
    pixels = np.stack(
        [np.asarray(Image.open(io.BytesIO(i)).convert("RGB")) for i in apples["image"]]
    )
    assert pixels.shape == (len(STYLES), 64, 64, 3)
    flat = pixels.reshape(len(STYLES), -1).astype(float)
    apart = np.sqrt(((flat[:, None] - flat[None]) ** 2).mean(-1))
    assert apart[~np.eye(len(STYLES), dtype=bool)].min() > 10


def test_training_stickers_hold_no_held_out_pair(bundled: pl.DataFrame) -> None:
    training = WORLD.training_artwork()
    assert pairs_of(training) == pairs_of(bundled) - WORLD.held_out_pairs()
    assert not training["held_out"].any()


def test_no_held_out_picture_stands_under_another_name(bundled: pl.DataFrame) -> None:
    hidden = set(bundled.filter("held_out")["image_sha256"])
    assert hidden.isdisjoint(WORLD.training_artwork()["image_sha256"])


def test_the_list_and_the_column_agree(bundled: pl.DataFrame) -> None:
    assert WORLD.held_out_pairs() == pairs_of(bundled.filter("held_out"))
    listed = WORLD.held_out.read_text(encoding="utf-8").splitlines()
    assert listed[0] == "style,concept"
    assert listed[1:] == sorted(listed[1:])


def test_a_tenth_of_each_style_is_held_out(bundled: pl.DataFrame) -> None:
    total, hidden = Counter(bundled["style"]), Counter(style for style, _ in WORLD.held_out_pairs())
    assert hidden == {style: round(0.1 * total[style]) for style in STYLES}
    assert max(Counter(concept for _, concept in WORLD.held_out_pairs()).values()) <= 3


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
