from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pigeon_rec.columns import ImagesConfig, ItemColumns
from pigeon_rec.data._images import read_file
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.import_items import ItemImport, import_items
from pigeon_rec.errors import CatalogueError
from tests.data.pictures import save_picture, save_shop


def do_import(source: Path, images: ImagesConfig | None = None, **columns: Any) -> ItemImport:
    return import_items(str(source), source.parent / "data", ItemColumns(**columns), images)


def items_of(result: ItemImport) -> pl.DataFrame:
    return load_catalogue(result.path).items


def problems_of(result: ItemImport) -> dict[str, str]:
    """Kind of the problem by item id."""
    return dict(pl.read_parquet(result.refused).select("subject", "kind").iter_rows())


def test_a_table_with_whole_numbers_as_ids_and_mixed_pictures(tmp_path: Path) -> None:
    result = do_import(save_shop(tmp_path), keep=("brand",))
    assert result.columns == {"id": "sku", "title": "name", "image": "photo"}
    catalogue = load_catalogue(result.path)
    assert catalogue.item_ids == [str(number) for number in range(12)]
    first = catalogue.items.row(0, named=True)
    assert (first["title"], first["semantics"], first["brand"]) == ("Ball 0", "Ball 0", "brand 0")
    pictures, problems = catalogue.images(catalogue.item_ids, size=16)
    assert problems == []
    assert len(np.unique(pictures[:, 8, 8], axis=0)) == 12


def test_a_folder_of_pictures_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    save_picture(folder / "red-apple.png")
    save_picture(folder / "boats" / "sail_boat.JPG", "blue")
    save_picture(folder / ".hidden" / "no.png")
    (folder / "readme.txt").write_text("no picture", encoding="utf-8")
    rows = items_of(do_import(folder)).sort("item_id")
    assert rows.select("item_id", "title", "category").rows() == [
        ("red-apple", "red apple", ""),
        ("sail_boat", "sail boat", "boats"),
    ]


def test_pictures_may_be_named_by_the_ids(tmp_path: Path) -> None:
    for name in ("1.png", "deep/2.jpg"):
        save_picture(tmp_path / "posters" / name)
    table = tmp_path / "films.csv"
    table.write_text("movie_id,title\n1.0,One\n2,Two\n3,Three\n", encoding="utf-8")
    result = do_import(table, ImagesConfig(folder=tmp_path / "posters"))
    assert items_of(result)["image_uri"].to_list() == ["1.png", "deep/2.jpg"]
    assert problems_of(result) == {"3": "image_missing"}
    with pytest.raises(CatalogueError, match="no column holds the image"):
        do_import(table)


def test_pictures_inside_the_table_become_files(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (20, 20), "green").save(stream, "PNG")
    data = stream.getvalue()
    pictures = [{"bytes": data, "path": "a"}, {"bytes": b"broken", "path": "b"}]
    frame = pl.DataFrame({"id": [1, 2], "name": ["a", "b"], "image": pictures})
    frame.write_parquet(tmp_path / "hub.parquet")
    result = do_import(tmp_path / "hub.parquet")
    catalogue = load_catalogue(result.path)
    assert catalogue.images(["1"], size=4)[0][0, 0, 0].tolist() == [0, 128, 0]
    assert problems_of(result) == {"2": "image_corrupt"}
    frame.with_columns(image=pl.Series([data, None])).write_parquet(tmp_path / "blob.parquet")
    assert problems_of(do_import(tmp_path / "blob.parquet")) == {"2": "image_missing"}


def _sideways(path: Path) -> None:
    """A photo that lies on its side: its left half is up when it is shown."""
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif, quality=95)


def _animated(path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, lossless=True)


def _grey_16(path: Path) -> None:
    Image.fromarray(np.full((20, 20), 0x8000, dtype=np.uint16)).save(path)


def _huge(path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(path)


def _of_mode(mode: str, colour: Any) -> Any:
    return lambda path: Image.new(mode, (20, 20), colour).save(path)


RED, BLUE, GREY = [255, 0, 0], [0, 0, 255], [128, 128, 128]


@pytest.mark.parametrize(
    ("name", "save", "middle", "problem"),
    [
        ("sideways.jpg", _sideways, None, None),
        ("cmyk.jpg", _of_mode("CMYK", (0, 255, 255, 0)), RED, None),
        ("grey16.png", _grey_16, GREY, None),
        ("animated.webp", _animated, RED, None),
        ("palette.gif", _of_mode("P", 0), [0, 0, 0], None),
        ("alpha.png", _of_mode("RGBA", (255, 0, 0, 0)), [255, 255, 255], None),
        ("half.png", _of_mode("RGBA", (255, 0, 0, 128)), [255, 127, 127], None),
        ("huge.png", _huge, None, "image_too_large"),
        ("text.png", lambda path: path.write_text("no picture"), None, "image_corrupt"),
        ("empty.jpg", lambda path: path.write_bytes(b""), None, "image_corrupt"),
        ("loop.png", lambda path: path.symlink_to(path), None, "image_missing"),
        ("outside.png", lambda path: path.symlink_to("/etc/hostname"), None, "image_path"),
    ],
)
def test_every_kind_of_picture_is_right_or_told(
    tmp_path: Path, name: str, save: Any, middle: list[int] | None, problem: str | None
) -> None:
    save_picture(tmp_path / "pictures" / "good.png")
    save(tmp_path / "pictures" / name)
    table = tmp_path / "items.csv"
    table.write_text(f"id,image\ngood,good.png\nit,{name}\n", encoding="utf-8")
    result = do_import(table, ImagesConfig(folder=tmp_path / "pictures"))
    assert problems_of(result) == ({"it": problem} if problem else {})
    if problem is None:
        pixels = load_catalogue(result.path).images(["it"], size=20)[0][0]
        if middle is not None:
            assert np.abs(pixels[10, 10].astype(int) - middle).max() <= 2
        else:  # upright: blue above, red below, on a white square
            assert np.abs(pixels[3, 10].astype(int) - BLUE).max() < 40
            assert np.abs(pixels[16, 10].astype(int) - RED).max() < 40


def test_transparent_pictures_are_on_the_stated_background(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(folder / "glass.png")
    black = ImagesConfig(background="#102030")
    catalogue = load_catalogue(do_import(folder, black).path)
    assert catalogue.images(["glass"], size=8)[0][0, 4, 4].tolist() == [16, 32, 48]
    on_black = catalogue.image_hashes(["glass"])
    on_white = load_catalogue(do_import(folder).path).image_hashes(["glass"])
    assert on_black != on_white  # other pixels: other embeddings, other keys


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("", "image_missing"),
        ("None", "image_missing"),
        ("nan", "image_missing"),
        ("no.png", "image_missing"),
        ("../secret.png", "image_path"),
        ("/etc/hostname", "image_path"),
        ("https://example.org/a.png", "image_path"),
        ("s3://bucket/a.png", "image_path"),
    ],
)
def test_a_picture_that_may_not_or_cannot_be_read_is_told(
    tmp_path: Path, written: str, kind: str
) -> None:
    save_picture(tmp_path / "shop" / "good.png")
    save_picture(tmp_path / "secret.png")
    table = tmp_path / "shop" / "items.csv"
    table.write_text(f"id,image\na,good.png\nb,{written}\n", encoding="utf-8")
    assert problems_of(do_import(table)) == {"b": kind}


def test_absolute_paths_inside_the_folder_are_read(tmp_path: Path) -> None:
    picture = save_picture(tmp_path / "a.png")
    table = tmp_path / "items.csv"
    table.write_text(f"id,image\na,{picture}\nb,file://{picture}\n", encoding="utf-8")
    assert items_of(do_import(table))["image_uri"].to_list() == ["a.png", "a.png"]


def test_addresses_are_read_only_when_asked(tmp_path: Path) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe("/shop/a.png", save_picture(tmp_path / "a.png").read_bytes())
    table = tmp_path / "items.csv"
    table.write_text("id,image\na,memory://shop/a.png\nb,memory://shop/b.png\n", encoding="utf-8")
    with pytest.raises(CatalogueError, match="not read unless asked"):
        do_import(table)
    result = do_import(table, ImagesConfig(remote=True))
    assert problems_of(result) == {"b": "image_missing"}
    catalogue = load_catalogue(result.path)
    assert catalogue.images(["a"], size=4)[0][0, 1, 1].tolist() == RED
    files.rm("/shop/a.png")
    assert [problem.kind for problem in catalogue.images(["a"])[1]] == ["image_missing"]


def test_the_first_usable_row_of_an_id_counts(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png")
    table = tmp_path / "items.csv"
    table.write_text("id,name,image\n1,x,no.png\n1,y,a.png\n1.0,z,a.png\n,w,a.png\n", "utf-8")
    result = do_import(table)
    assert items_of(result)["title"].to_list() == ["y"]
    assert result.problems == {"image_missing": 1, "duplicate_item": 1, "bad_item": 1}


def test_ids_that_differ_by_leading_zeros_are_two_items(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png")
    table = tmp_path / "items.csv"
    table.write_text("id,image\n007,a.png\n7,a.png\n", encoding="utf-8")
    assert items_of(do_import(table))["item_id"].to_list() == ["007", "7"]


def test_an_unchanged_picture_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pictures"
    for name in ("a", "b"):
        save_picture(folder / f"{name}.png")
    do_import(folder)
    read: list[str] = []

    def counting(uri: str, *args: Any, **kwargs: Any) -> bytes:
        read.append(uri)
        return read_file(uri, *args, **kwargs)

    monkeypatch.setattr("pigeon_rec.data._picture_files.read_file", counting)
    save_picture(folder / "b.png", "blue", (9, 9))
    result = do_import(folder)
    assert read == ["b.png"]
    pixels = load_catalogue(result.path).images(["b"], size=3)[0]
    assert pixels[0, 1, 1].tolist() == BLUE


def test_catalogue_and_pictures_can_be_moved_together(tmp_path: Path) -> None:
    result = do_import(save_shop(tmp_path / "shop", 2))
    (tmp_path / "shop").rename(tmp_path / "moved")
    path = tmp_path / "moved" / result.path.relative_to(tmp_path / "shop")
    catalogue = load_catalogue(path)
    assert catalogue.images(catalogue.item_ids)[1] == []


def test_unreadable_lines_are_listed(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png")
    table = tmp_path / "items.csv"
    table.write_text("id,image\n1,a.png\n2,a.png,more\n", encoding="utf-8")
    result = do_import(table)
    (problem,) = result.first_problems
    assert (problem.kind, problem.location) == ("bad_item", f"{table}, line 3")


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("name,image\nx,a.png\n", {}, "no column holds the id"),
        ("id,image\n1,no.png\n", {}, "none of 1 items is usable; the first"),
        ("id,image\n1,a.png\n", {"title": "nope"}, "there is no column 'nope'"),
        ("id,image\n1,a.png\n", {"keep": ("nope",)}, "there is no column 'nope' to keep"),
    ],
)
def test_an_unusable_table_is_refused(
    tmp_path: Path, text: str, columns: dict[str, Any], message: str
) -> None:
    save_picture(tmp_path / "a.png")
    table = tmp_path / "items.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError, match=message):
        do_import(table, **columns)


def test_the_folder_of_the_pictures_is_named_where_it_is_another(tmp_path: Path) -> None:
    save_picture(tmp_path / "photos" / "a.png")
    (tmp_path / "items.csv").write_text("id,image\n1,a.png\n", encoding="utf-8")
    with pytest.raises(CatalogueError) as refused:
        do_import(tmp_path / "items.csv")
    assert f"there is a file 'a.png' in {tmp_path / 'photos'}" in str(refused.value.remedy)
