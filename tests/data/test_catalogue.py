"""The catalogue's schema, and untrusted pictures."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pigeon_rec.data import _images
from pigeon_rec.data.aspect import Aspect
from pigeon_rec.data.catalogue import Problem, load_catalogue
from pigeon_rec.errors import CatalogueError
from tests.data.png_file import chunk, png_file

if TYPE_CHECKING:
    from tests.data.conftest import Shop


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, format=kind, lossless=True)
    return out.getvalue()


def only_problem(shop: Shop, item_id: str = "odd") -> Problem:
    """The one problem of `item_id`, whose picture must be blank while `red` stays red."""
    pixels, problems = load_catalogue(shop.write()).images(["red", item_id], size=4)
    assert (pixels[0] == (255, 0, 0)).all()
    assert (pixels[1] == 255).all()
    assert [problem.subject for problem in problems] == [item_id]
    return problems[0]


def test_items_keep_the_order_of_the_file(shop: Shop) -> None:
    catalogue = load_catalogue(shop.write())
    assert len(catalogue) == 3
    assert catalogue.item_ids == ["red", "green", "blue"]
    assert catalogue.root == shop.root.resolve()


def test_codes_are_row_positions_and_minus_one_for_unknown_ids(shop: Shop) -> None:
    codes = load_catalogue(shop.write()).code_of(["blue", "grey", "red", "blue"])
    assert codes.dtype == np.int64
    assert codes.tolist() == [2, -1, 0, 2]


def test_rows_come_in_the_given_order_with_repeats(shop: Shop) -> None:
    rows = load_catalogue(shop.write()).rows(["blue", "red", "blue"])
    assert rows["item_id"].to_list() == ["blue", "red", "blue"]


def test_unknown_ids_are_named(shop: Shop) -> None:
    catalogue = load_catalogue(shop.write())
    with pytest.raises(CatalogueError, match=r"2 item ids are not in the catalogue.*'x', 'y'"):
        catalogue.rows(["red", "x", "y"])
    with pytest.raises(CatalogueError, match="'x'"):
        catalogue.image_hashes(["x"])


def test_images_are_rgb_in_the_given_order(shop: Shop) -> None:
    pixels, problems = load_catalogue(shop.write()).images(["blue", "red"], size=16)
    assert problems == []
    assert pixels.shape == (2, 16, 16, 3)
    assert pixels.dtype == np.uint8
    assert (pixels[0] == (0, 0, 255)).all()
    assert (pixels[1] == (255, 0, 0)).all()


def test_transparent_pixels_become_white(shop: Shop) -> None:
    shop.add("clear", encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0))))
    shop.add("half", encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128))))
    pixels, problems = load_catalogue(shop.write()).images(["clear", "half"], size=8)
    assert problems == []
    assert (pixels[0] == 255).all()
    assert (pixels[1] == 127).all()


def test_proportions_are_kept_on_white(shop: Shop) -> None:
    shop.add("wide", encoded(Image.new("RGB", (40, 20), (0, 0, 0))))
    pixels, _ = load_catalogue(shop.write()).images(["wide"], size=8)
    assert (pixels[0, 2:6] == 0).all()
    assert (pixels[0, :2] == 255).all()
    assert (pixels[0, 6:] == 255).all()


def test_a_missing_image_is_a_problem_that_names_item_and_path(shop: Shop) -> None:
    shop.add("odd", b"", image_uri="images/gone.png")
    problem = only_problem(shop)
    assert problem.kind == "image_missing"
    assert "images/gone.png" in problem.location
    assert str(shop.root.resolve()) in problem.location


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_malformed_images_are_a_problem(shop: Shop, content: bytes) -> None:
    shop.add("odd", content)
    assert only_problem(shop).kind == "image_corrupt"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_image_is_a_problem(shop: Shop, noise_png: bytes, share: float) -> None:
    shop.add("odd", noise_png[: int(len(noise_png) * share)])
    assert only_problem(shop).kind == "image_corrupt"


def test_formats_outside_the_short_list_are_refused(shop: Shop) -> None:
    shop.add("odd", encoded(Image.new("RGB", (8, 8)), "TIFF"))
    assert only_problem(shop).kind == "image_corrupt"


def test_content_that_does_not_match_its_hash_is_a_problem(shop: Shop) -> None:
    claimed = hashlib.sha256(b"something else").hexdigest()
    shop.add("odd", encoded(Image.new("RGB", (8, 8))), image_sha256=claimed)
    problem = only_problem(shop)
    assert problem.kind == "image_hash"
    assert claimed in problem.message


def test_too_many_bytes_are_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_images, "MAX_BYTES", 500)
    shop.add("odd", encoded(Image.new("RGB", (8, 8))) + b"\0" * 500)
    assert only_problem(shop).kind == "image_too_large"


def test_too_many_pixels_are_refused_before_decoding(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = encoded(Image.new("1", (5000, 5000)))
    shop.add("odd", huge)

    decoded: list[tuple[int, int]] = []
    convert = Image.Image.convert

    def record(image: Image.Image, mode: str) -> Image.Image:
        decoded.append(image.size)
        return convert(image, mode)

    monkeypatch.setattr(Image.Image, "convert", record)
    assert len(huge) < 10_000
    problem = only_problem(shop)
    assert problem.kind == "image_too_large"
    assert "5000x5000" in problem.message
    assert (5000, 5000) not in decoded


@pytest.mark.parametrize("uri", ["../secret.png", "/etc/hostname", "images/../../secret.png"])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, shop: Shop, uri: str) -> None:
    shop.root = tmp_path / "inner"
    shop.root.mkdir()
    shop.path = shop.root / "items.parquet"
    secret = encoded(Image.new("RGB", (8, 8), (9, 9, 9)))
    (tmp_path / "secret.png").write_bytes(secret)
    shop.rows.clear()
    shop.add("red", encoded(Image.new("RGB", (8, 8), (255, 0, 0))))
    shop.add("odd", secret, image_uri=uri)
    assert only_problem(shop).kind == "image_path"


def test_links_that_leave_the_folder_are_refused(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = encoded(Image.new("RGB", (8, 8), (9, 9, 9)))
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    outside.write_bytes(secret)
    shop.add("odd", secret, image_uri="images/link.png")
    (shop.root / "images" / "link.png").symlink_to(outside)
    assert only_problem(shop).kind == "image_path"


def test_a_folder_or_an_impossible_name_is_a_missing_image(shop: Shop) -> None:
    shop.add("odd", b"", image_uri="images")
    shop.add("nul", b"", image_uri="a\0b")
    shop.add("long", b"", image_uri="x" * 5000)
    _, problems = load_catalogue(shop.write()).images(["odd", "nul", "long"], size=4)
    assert [problem.kind for problem in problems] == ["image_missing"] * 3


def test_links_in_a_loop_are_a_missing_image(shop: Shop) -> None:
    shop.add("odd", b"", image_uri="images/loop.png")
    (shop.root / "images" / "loop.png").symlink_to("loop.png")
    assert only_problem(shop).kind == "image_missing"


def test_a_picture_that_raises_an_unusual_error_in_pillow_is_a_problem(shop: Shop) -> None:
    profile = chunk(b"iCCP", b"")  # Pillow: IndexError, as it stands after the pixels
    shop.add("odd", png_file(8, 0, [bytes(4)] * 4, after=profile))
    assert only_problem(shop).kind == "image_corrupt"


@pytest.mark.parametrize("error", [RuntimeError, KeyError, TypeError, struct.error, MemoryError])
def test_any_error_of_a_decoder_is_a_problem(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    shop.add("odd", encoded(Image.new("L", (8, 8))))
    convert = Image.Image.convert

    def fail(image: Image.Image, mode: str) -> Image.Image:
        if image.mode == "L":
            raise error
        return convert(image, mode)

    monkeypatch.setattr(Image.Image, "convert", fail)
    problem = only_problem(shop)
    assert problem.kind == "image_corrupt"
    assert error.__name__.removeprefix("struct.") in problem.message


def test_messages_of_problems_have_no_memory_address(shop: Shop) -> None:
    shop.add("odd", b"not an image")
    assert only_problem(shop).message == "the image cannot be decoded: cannot identify image file"


def test_one_problem_per_item_even_if_requested_twice(shop: Shop) -> None:
    shop.add("odd", b"", image_uri="gone.png")
    _, problems = load_catalogue(shop.write()).images(["odd", "red", "odd"], size=4)
    assert len(problems) == 1


def test_a_repeated_id_is_a_problem_and_its_first_usable_row_counts(shop: Shop) -> None:
    shop.rows[1] |= {"item_id": "red", "title": "no hash", "image_sha256": None}
    shop.rows[2]["item_id"] = "red"
    shop.rows[0]["image_sha256"] = "?"
    shop.rows.append(shop.rows[2] | {"title": "the fourth row"})
    catalogue = load_catalogue(shop.write())
    assert catalogue.items["title"].to_list() == ["title of blue"]
    assert [(p.kind, p.subject, p.location) for p in catalogue.problems] == [
        ("bad_item", "red", f"{shop.path}, row 1"),
        ("bad_item", "red", f"{shop.path}, row 2"),
        ("duplicate_item", "red", f"{shop.path}, row 4"),
    ]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("item_id", None, "item_id is empty"),
        ("item_id", "", "item_id is empty"),
        ("image_uri", None, "image_uri is null"),
        ("image_sha256", None, "image_sha256 is not 64 hexadecimal digits"),
        ("image_sha256", "ABC", "image_sha256 is not 64 hexadecimal digits"),
    ],
)
def test_an_unusable_row_is_left_out_and_a_problem(
    shop: Shop, column: str, value: str | None, message: str
) -> None:
    shop.rows[1][column] = value
    catalogue = load_catalogue(shop.write())
    assert catalogue.item_ids == ["red", "blue"]
    subject = "?" if column == "item_id" else "green"
    assert catalogue.problems == (
        Problem("bad_item", subject, f"{shop.path}, row 2", f"{message}; the row is left out"),
    )
    assert catalogue.images(["red", "blue"])[1] == []


def test_an_upper_case_hash_is_its_lower_case_form(shop: Shop) -> None:
    sha256 = str(shop.rows[1]["image_sha256"])
    shop.rows[1]["image_sha256"] = sha256.upper()
    catalogue = load_catalogue(shop.write())
    assert catalogue.problems == ()
    assert catalogue.image_hashes(["green"]) == [sha256]
    assert catalogue.images(["green"])[1] == []


def test_a_catalogue_without_any_usable_row_is_an_error(shop: Shop) -> None:
    for row in shop.rows:
        row["image_sha256"] = "md5"
    with pytest.raises(CatalogueError, match=r"none of the 3 rows is usable.*image_sha256 is not"):
        load_catalogue(shop.write())
    pl.read_parquet(shop.path).clear().write_parquet(shop.path)
    with pytest.raises(CatalogueError, match="none of the 0 rows is usable"):
        load_catalogue(shop.path)


def test_missing_columns_are_named(shop: Shop) -> None:
    pl.read_parquet(shop.write()).drop("semantics", "image_uri").write_parquet(shop.path)
    with pytest.raises(CatalogueError, match="columns are missing: semantics, image_uri"):
        load_catalogue(shop.path)


def test_columns_of_another_type_are_named(shop: Shop) -> None:
    pl.DataFrame(shop.rows).with_columns(item_id=pl.int_range(3)).write_parquet(shop.path)
    with pytest.raises(CatalogueError, match="column item_id holds Int64, not String"):
        load_catalogue(shop.path)


def test_missing_texts_are_empty(shop: Shop) -> None:
    shop.rows[0]["semantics"] = None
    assert load_catalogue(shop.write()).items["semantics"].to_list()[0] == ""


@pytest.mark.parametrize("content", [None, b"this is no parquet file"])
def test_an_unreadable_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "items.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CatalogueError, match=r"cannot read the catalogue.*items\.parquet"):
        load_catalogue(path)


def test_the_bundled_catalogue_loads_with_pictures() -> None:
    catalogue = load_catalogue("bundled")
    assert catalogue.root is None
    assert {"theme", "style", "emotion", "concept", "held_out"} <= set(catalogue.items.columns)
    ids = catalogue.item_ids[:: len(catalogue) // 50]
    pixels, problems = catalogue.images(ids)
    assert problems == []
    assert pixels.shape == (len(ids), 64, 64, 3)
    assert (pixels.reshape(len(ids), -1).std(axis=1) > 0).all()


def test_bundled_pictures_are_not_resampled() -> None:
    catalogue = load_catalogue("bundled")
    row = catalogue.rows(["noto/red-apple"])
    stored = np.asarray(Image.open(io.BytesIO(row["image"][0])).convert("RGB"))
    pixels, _ = catalogue.images(["noto/red-apple"])
    np.testing.assert_array_equal(pixels[0], stored)


def test_a_catalogue_of_posters_fills_any_size_with_the_whole_picture(shop: Shop) -> None:
    halves = Image.new("RGB", (40, 60), (0, 0, 0))
    halves.paste((255, 0, 0), (0, 30, 40, 60))
    shop.add("poster", encoded(halves))
    catalogue = load_catalogue(shop.write(), Aspect(2, 3))
    for size, height, width in ((8, 8, 8), ((12, 8), 12, 8)):
        pixels, problems = catalogue.images(["poster"], size)
        assert problems == []
        assert pixels.shape == (1, height, width, 3)
        assert (pixels[0, : height // 2 - 1] < 60).all()
        assert (pixels[0, height // 2 + 1 :, :, 0] > 195).all()


def test_further_columns_are_kept_as_texts(shop: Shop) -> None:
    shop.write()
    further = pl.DataFrame(
        {
            "Main genre": pl.Series(["Crime", None, "Drama"], dtype=pl.Categorical),
            "size": pl.Series(["L", "S", "L"], dtype=pl.Enum(["S", "L"])),
            "year": pl.Series([1999, None, 2001], dtype=pl.UInt16),
            "authors": [["Ann", "Bea"], [], None],
            "fault": ["x", "y", None],  # a name that the checks use inside
            "row": ["3", "2", "1"],
            "^.*$": ["all", "columns", None],
            "rating": [1.5, 2.5, 3.5],
            "facts": [{"pages": 3}, None, None],
        }
    )
    pl.read_parquet(shop.path).hstack(further).write_parquet(shop.path)
    catalogue = load_catalogue(shop.path)
    assert catalogue.problems == ()
    assert {"title", "Main genre", "authors"} <= set(catalogue.text_columns)
    kept = catalogue.items.select(pl.exclude(shop.rows[0].keys())).to_dict(as_series=False)
    assert kept == {
        "Main genre": ["Crime", None, "Drama"],
        "size": ["L", "S", "L"],
        "year": ["1999", None, "2001"],
        "authors": ["Ann|Bea", "", None],
        "fault": ["x", "y", None],
        "row": ["3", "2", "1"],
        "^.*$": ["all", "columns", None],
    }


def test_further_columns_stay_with_their_rows(shop: Shop) -> None:
    for number, row in enumerate(shop.rows):
        row["author"] = f"author {number}"
    shop.rows[1]["image_sha256"] = None
    catalogue = load_catalogue(shop.write())
    assert catalogue.items["author"].to_list() == ["author 0", "author 2"]
