"""A published dataset becomes a catalogue and interactions that a night can read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.import_published import FIRST_TIME, import_published
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.errors import CatalogueError
from tests.data.published_layout import save, write_movies, write_stickers


@pytest.fixture
def stickers(tmp_path: Path) -> Path:
    return write_stickers(tmp_path / "in")


def picture(stickers: Path, number: int) -> Path:
    (found,) = (stickers / "Images").rglob(f"{number:04}.png")
    return found


@pytest.mark.parametrize("write", [write_stickers, write_movies])
def test_everything_is_read_back_without_a_problem(tmp_path: Path, write: object) -> None:
    assert callable(write)
    out = tmp_path / "out"
    summary = import_published(write(tmp_path / "in"), out)
    assert (summary.items, summary.users, summary.interactions, summary.sequences) == (12, 2, 21, 9)
    assert summary.problems == ()
    catalogue = load_catalogue(out / "items.parquet")
    pixels, problems = catalogue.images(catalogue.item_ids)
    assert problems == []
    assert pixels.std(axis=(1, 2, 3)).min() > 0
    interactions, unknown = load_interactions(out / "interactions.parquet", catalogue)
    assert unknown == []
    assert interactions.height == 21


def test_stickers_have_emotion_theme_and_text(stickers: Path, tmp_path: Path) -> None:
    import_published(stickers, tmp_path / "out")
    items = pl.read_parquet(tmp_path / "out" / "items.parquet")
    first, second = items.head(2).to_dicts()
    assert (first["title"], first["emotion"], first["category"]) == ("hi!", *["happiness"] * 2)
    assert second["title"] == second["semantics"] == f"a sticker of {_title(second)}"
    assert first["theme"] == first["image_uri"].split("/")[1]


def _title(row: dict[str, str]) -> str:
    return row["semantics"].removeprefix("a sticker of ")


def test_movies_have_title_genres_and_a_text(tmp_path: Path) -> None:
    import_published(write_movies(tmp_path / "in"), tmp_path / "out")
    items = pl.read_parquet(tmp_path / "out" / "items.parquet")
    assert items["title"].str.ends_with("(1980)").to_list() == [True] + [False] * 11
    assert items["genres"].to_list() == ["", *["Action|Comedy"] * 11]
    assert items["category"].to_list() == ["", *["Action"] * 11]
    assert items["semantics"].str.starts_with("A film about").sum() == 11
    assert str(items["semantics"][-1]).startswith("All about")  # its own is missing: the intro


def test_order_becomes_time_and_an_item_counts_once(stickers: Path, tmp_path: Path) -> None:
    import_published(stickers, tmp_path / "out")
    frame = pl.read_parquet(tmp_path / "out" / "interactions.parquet")
    rows = frame.filter(pl.col("user_id") == "8").sort("timestamp")
    assert rows["item_id"].to_list() == [str(i) for i in (3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2)]
    assert rows["group_id"].to_list() == ["3"] * 7 + ["4"] * 5
    assert rows["timestamp"].first() == FIRST_TIME
    assert rows["timestamp"].diff().drop_nulls().dt.total_minutes().unique().to_list() == [1]


def test_sequences_keep_the_authors_split(stickers: Path, tmp_path: Path) -> None:
    import_published(stickers, tmp_path / "out")
    frame = pl.read_parquet(tmp_path / "out" / "sequences.parquet")
    assert dict(frame["split"].value_counts().iter_rows()) == {"train": 7, "valid": 1, "test": 1}
    (test,) = frame.filter(pl.col("split") == "test").to_dicts()
    assert test["history_ids"] == ["9", "10", "11", "0", "1"]
    assert (test["target_id"], test["user_id"], test["group_id"]) == ("2", "8", "4")


def test_an_unusable_picture_is_reported_and_left_out(stickers: Path, tmp_path: Path) -> None:
    picture(stickers, 2).write_bytes(b"no picture")
    picture(stickers, 5).unlink()
    summary = import_published(stickers, tmp_path / "out")
    assert summary.items == 10
    kinds = {(p.kind, p.subject) for p in summary.problems}
    assert {("image_corrupt", "2"), ("image_missing", "5"), ("unknown_item", "2")} <= kinds
    frame = pl.read_parquet(tmp_path / "out" / "sequences.parquet")
    named = set(frame["history_ids"].explode()) | set(frame["target_id"])
    assert named.isdisjoint({"2", "5"})
    interactions = pl.read_parquet(tmp_path / "out" / "interactions.parquet")
    assert interactions["item_id"].is_in(["2", "5"]).sum() == 0
    assert summary.interactions == 21 - 4


def test_missing_texts_of_pandas_become_empty(stickers: Path, tmp_path: Path) -> None:
    folder, none = stickers / "processed_seq", float("nan")
    facts = {i: {"emo": "Neutral", "text": none} for i in range(12)}
    save(folder, "mapped_anno_dict", facts)
    texts = np.load(folder / "sticker_semantics.npy").tolist()
    save(folder, "sticker_semantics", np.array([*texts[:-1], none], dtype=object))
    import_published(stickers, tmp_path / "out")
    items = pl.read_parquet(tmp_path / "out" / "items.parquet")
    assert items["title"].to_list() == items["semantics"].to_list() == [*texts[:-1], ""]


def test_nothing_usable_is_an_error(stickers: Path, tmp_path: Path) -> None:
    for file in (stickers / "Images").rglob("*.png"):
        file.unlink()
    with pytest.raises(CatalogueError, match=r"no item has a usable.*\[0\].*no such image"):
        import_published(stickers, tmp_path / "out")


def test_an_unwritable_folder_is_an_error(stickers: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(CatalogueError, match=r"cannot write there: .*out"):
        import_published(stickers, tmp_path / "out")


def test_a_picture_of_too_many_pixels_is_never_decoded(stickers: Path, tmp_path: Path) -> None:
    Image.new("1", (5000, 5000)).save(picture(stickers, 0))
    summary = import_published(stickers, tmp_path / "out")
    assert next(p.kind for p in summary.problems if p.subject == "0") == "image_too_large"


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "a/../../secret.png", "a\0b.png"])
def test_a_path_out_of_the_folder_refuses_the_dataset(
    stickers: Path, tmp_path: Path, path: str
) -> None:
    (stickers / "secret.png").write_bytes(b"secret")
    folder = stickers / "processed_seq"
    paths = np.load(folder / "all_image_paths.npy").tolist()
    save(folder, "all_image_paths", np.array([*paths[:4], path, *paths[5:]], dtype=object))
    with pytest.raises(CatalogueError, match=r"refused.*all_image_paths\.npy\[4\]"):
        import_published(stickers, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_out_of_the_folder_refuses_the_dataset(stickers: Path, tmp_path: Path) -> None:
    inside, outside = picture(stickers, 3), tmp_path / "outside.png"
    inside.rename(outside)
    inside.symlink_to(outside)
    with pytest.raises(CatalogueError, match=r"refused.*all_image_paths\.npy\[3\]"):
        import_published(stickers, tmp_path / "out")


def test_importing_again_gives_the_same_files(stickers: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = import_published(stickers, out)
    before = {p.name: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert import_published(stickers, out) == first
    assert {p.name: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_pictures_are_copied_where_links_cannot_be_made(
    stickers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", no_links)
    import_published(stickers, tmp_path / "out", stickers / "Images")
    catalogue = load_catalogue(tmp_path / "out" / "items.parquet")
    assert catalogue.images(catalogue.item_ids)[1] == []


def test_progress_is_reported(stickers: Path, tmp_path: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    import_published(stickers, tmp_path / "out", progress=lambda *r: reports.append(r))
    assert reports == [("item images", 12, 12)]
