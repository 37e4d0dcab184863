"""A MovieLens of five films and two users in both forms."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_atomic", "write_csv"]

MOVIES = """movieId,title,genres
1,Toy Story (1995),Adventure|Animation|Children
2,"Matrix, The (1999)",Action|Sci-Fi
3,"American President, The (1995)",Comedy|Drama|Romance
4,Untitled,(no genres listed)
5,"2001: A Space Odyssey (1968) ",Sci-Fi
"""
RATINGS = """userId,movieId,rating,timestamp
7,1,5.0,1000000000
7,2,3.5,1000000100
7,3,4.0,1000000200
8,5,4.5,999999999
8,4,4.0,1000000300
"""
LINKS = """movieId,imdbId,tmdbId
1,0114709,862
2,0133093,603
3,0112346,
"""
ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tToy Story\t1995\tAnimation Children's Comedy\n"
    "2\tMatrix, The\t1999\tAction Sci-Fi\n"
    "3\tNobody Knows\tunknown\tunknown\n"
)
INTER = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "7\t1\t5\t1000000000\n"
    "8\t2\t2\t1000000100\n"
)


def write_csv(folder: Path, **changes: str) -> Path:
    """`movies.csv`, `ratings.csv`, `links.csv`; `movies=...` replaces a file's text."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"movies": MOVIES, "ratings": RATINGS, "links": LINKS} | changes
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def write_atomic(folder: Path, **changes: str) -> Path:
    """`ml.item` and `ml.inter`; `item=...` replaces a file's text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ({"item": ITEM, "inter": INTER} | changes).items():
        (folder / f"ml.{name}").write_text(text, encoding="utf-8")
    return folder
