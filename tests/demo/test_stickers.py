"""The bundled stickers and their held-out list."""

from __future__ import annotations

import hashlib
import io
from collections import Counter

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pigeon_rec.data.world import topics
from pigeon_rec.demo.stickers import WORLD

Pair = tuple[str, str]
STYLES = tuple(WORLD.style_descriptions)


@pytest.fixture(scope="module")
def bundled() -> pl.DataFrame:
    return WORLD.artwork()


def pairs_of(frame: pl.DataFrame) -> set[Pair]:
    return set(frame.select("style", "concept").iter_rows())


def test_there_are_enough_concepts_and_styles(bundled: pl.DataFrame) -> None:
    styles_of_concept = bundled.group_by("concept").len()["len"]
    assert len(styles_of_concept) >= 1000
    assert int(styles_of_concept.to_numpy().min()) >= 6
    assert set(bundled["style"]) == set(STYLES)
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


def test_no_held_out_picture_has_a_second_name(bundled: pl.DataFrame) -> None:
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
