"""Films with posters become a catalogue that a night can read; the others are reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pigeon_rec.data import _images
from pigeon_rec.data.aspect import Aspect
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.import_movies import MovieImport, import_movies, poster_names, read_semantics
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.movielens import MovieLens, read_movielens
from pigeon_rec.demo.posters import make_posters
from pigeon_rec.errors import CatalogueError, ConfigError, InteractionError
from tests.data.films import MOVIES, write_atomic, write_csv


@pytest.fixture
def data(tmp_path: Path) -> MovieLens:
    return read_movielens(write_csv(tmp_path / "ml"))


def posters(folder: Path, *names: str) -> Path:
    """Real pictures of 40x60 in one colour each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (40, 60), (10 * number, 200, 90)).save(folder / name)
    return folder


def reasons(imported: MovieImport) -> dict[str, str]:
    """Film -> why it was left out."""
    return dict(pl.read_parquet(imported.items.refused).select("subject", "kind").iter_rows())


def items(imported: MovieImport) -> pl.DataFrame:
    return pl.read_parquet(imported.items.path)


def test_the_catalogue_and_its_pictures_are_read_by_a_night(
    data: MovieLens, tmp_path: Path
) -> None:
    folder = posters(tmp_path / "posters", "1.jpg", "3.PNG", "5.webp", "99.jpg")
    imported = import_movies(data, folder, tmp_path / "out")
    catalogue = load_catalogue(imported.items.path, Aspect(2, 3))
    assert catalogue.item_ids == ["1", "3", "5"]
    pixels, problems = catalogue.images(catalogue.item_ids)
    assert problems == []
    middles = pixels[:, 32, 32].astype(int)
    assert np.abs(middles - [(0, 200, 90), (10, 200, 90), (20, 200, 90)]).max() <= 3  # JPEG, WebP
    row = catalogue.items.row(1, named=True)
    assert row["title"] == "The American President (1995)"
    assert row["genres"] == "Comedy, Drama, Romance"
    assert row["semantics"] == "comedy, drama, romance film of 1995"
    assert (row["category"], row["style"]) == ("Comedy", None)
    interactions, unknown = load_interactions(imported.interactions.path, catalogue)
    assert [(problem.kind, problem.subject) for problem in unknown] == [("unknown_item", "4")]
    assert interactions.select("user_id", "item_id").rows() == [("7", "1"), ("7", "3"), ("8", "5")]
    assert interactions["timestamp"][0].timestamp() == 1_000_000_000


def test_everything_is_counted(data: MovieLens, tmp_path: Path) -> None:
    folder = posters(tmp_path / "posters", "1.jpg", "2.jpg", "3.jpg")
    (folder / "4.png").write_bytes(b"no picture")
    imported = import_movies(data, folder, tmp_path / "out")
    assert (imported.items.rows, imported.items.items, imported.made) == (5, 3, 0)
    assert imported.items.problems == {"image_corrupt": 1, "image_missing": 1}
    refused = pl.read_parquet(imported.items.refused)
    assert refused.select("subject", "kind").rows() == [
        ("4", "image_corrupt"), ("5", "image_missing"),
    ]  # fmt: skip
    # 3.5 of film 2 is not liked.
    assert (imported.interactions.kept, imported.interactions.low_rated) == (4, 1)


def test_a_lower_rating_can_say_liked(data: MovieLens, tmp_path: Path) -> None:
    folder = posters(tmp_path / "posters", "1.jpg", "2.jpg")
    imported = import_movies(data, folder, tmp_path / "out", min_rating=3.0)
    assert (imported.interactions.kept, imported.interactions.low_rated) == (5, 0)


def test_ratings_may_be_missing(tmp_path: Path) -> None:
    bare = "user_id:token\titem_id:token\ttimestamp:float\n7\t1\t5\n"
    data = read_movielens(write_atomic(tmp_path / "ml", inter=bare))
    folder = posters(tmp_path / "posters", "1.jpg")
    assert import_movies(data, folder, tmp_path / "out").interactions.kept == 1
    with pytest.raises(InteractionError, match="no column holds ratings"):
        import_movies(data, folder, tmp_path / "out", min_rating=4.0)


def test_films_without_id_and_repeated_ones_are_left_out(tmp_path: Path) -> None:
    movies = MOVIES + "1,Toy Story (1995),Comedy\n,Nameless (1990),Drama\n"
    data = read_movielens(write_csv(tmp_path / "ml", movies=movies))
    imported = import_movies(data, posters(tmp_path / "posters", "1.jpg"), tmp_path / "out")
    assert imported.items.items == 1
    assert imported.items.problems["duplicate_item"] == imported.items.problems["bad_item"] == 1


@pytest.mark.parametrize(
    ("names", "files"),
    [("imdb", ("tt0114709.jpg", "133093.jpg")), ("tmdb", ("862.jpg", "603.jpg"))],
)
def test_posters_may_be_named_by_other_ids(
    data: MovieLens, tmp_path: Path, names: str, files: tuple[str, ...]
) -> None:
    folder = posters(tmp_path / "posters", *files)
    imported = import_movies(data, folder, tmp_path / "out", names=poster_names(names))
    assert items(imported)["item_id"].to_list() == ["1", "2"]
    assert items(imported)["image_uri"].to_list() == list(files)


def test_given_semantics_replace_the_made_up_ones(data: MovieLens, tmp_path: Path) -> None:
    semantics = pl.DataFrame({"item_id": ["2"], "semantics": ["a hacker wakes up"]})
    semantics.write_parquet(tmp_path / "about.parquet")
    imported = import_movies(
        data,
        posters(tmp_path / "posters", "1.jpg", "2.jpg"),
        tmp_path / "out",
        semantics=read_semantics(tmp_path / "about.parquet"),
    )
    assert items(imported)["semantics"].to_list() == [
        "adventure, animation, children film of 1995", "a hacker wakes up",
    ]  # fmt: skip


def test_semantics_of_another_form_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"item_id": [2], "semantics": ["a"]}).write_parquet(tmp_path / "about.parquet")
    with pytest.raises(CatalogueError, match="item_id is missing or does not hold strings"):
        read_semantics(tmp_path / "about.parquet")


def test_a_poster_that_leads_outside_is_refused(data: MovieLens, tmp_path: Path) -> None:
    folder = posters(tmp_path / "posters", "1.jpg")
    secret = posters(tmp_path / "elsewhere", "secret.jpg") / "secret.jpg"
    (folder / "3.jpg").symlink_to(secret)
    imported = import_movies(data, folder, tmp_path / "out")
    assert items(imported)["item_id"].to_list() == ["1"]
    assert reasons(imported)["3"] == "image_path"


def test_huge_posters_are_refused_before_decoding(
    data: MovieLens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = posters(tmp_path / "posters", "1.jpg")
    Image.new("RGB", (100, 150)).save(folder / "3.png")
    monkeypatch.setattr(_images, "MAX_PIXELS", 40 * 60)
    imported = import_movies(data, folder, tmp_path / "out")
    assert reasons(imported)["3"] == "image_too_large"


def test_importing_again_gives_the_same_files(data: MovieLens, tmp_path: Path) -> None:
    folder = posters(tmp_path / "posters", "1.jpg", "3.jpg")
    first = import_movies(data, folder, tmp_path / "out")
    before = [first.items.path.read_bytes(), first.interactions.path.read_bytes()]
    again = import_movies(data, folder, tmp_path / "out")
    assert again == first
    assert [again.items.path.read_bytes(), again.interactions.path.read_bytes()] == before
    assert not list((tmp_path / "out").glob(".*"))


def test_made_posters_are_named_as_such_in_the_catalogue(data: MovieLens, tmp_path: Path) -> None:
    folder = tmp_path / "posters"
    make_posters(data.films, folder, styles=("noir",))
    posters(folder, "1.png")
    imported = import_movies(data, folder, tmp_path / "out")
    assert imported.made == 4
    assert items(imported)["style"].to_list() == [None] + 4 * ["made-noir"]


def test_nothing_to_import_says_where_to_look(data: MovieLens, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="there is no folder of posters"):
        import_movies(data, tmp_path / "nowhere", tmp_path / "out")
    folder = posters(tmp_path / "posters", "other.jpg")
    with pytest.raises(
        CatalogueError, match=r"none of 5 films has a poster; .* item id 1 .*named by item id"
    ):
        import_movies(data, folder, tmp_path / "out")
    posters(folder, "2.jpg")
    with pytest.raises(InteractionError, match=r"none of 5 rows is usable; 5 have a lower rating"):
        import_movies(data, folder, tmp_path / "out", min_rating=6)


def test_other_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="item or imdb or tmdb, not by 'title'"):
        poster_names("title")
