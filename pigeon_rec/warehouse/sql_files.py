"""Where the SQL of the product lies: `sql/` in a checkout, `pigeon_rec/_sql` once installed."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.errors import WarehouseError

__all__ = ["query_names", "sql_root", "sql_text"]


def sql_root() -> Path:
    """Folder of `migrations/`, `queries/` and the warehouse's own statements.

    Raises:
        WarehouseError: Neither the installed package nor a checkout has it.
    """
    package = Path(__file__).resolve().parent.parent
    places = (package / "_sql", package.parent / "sql")
    for place in places:
        if (place / "migrations").is_dir():
            return place
    raise WarehouseError(
        "the SQL files of pigeon_rec are missing",
        location=" and ".join(map(str, places)),
        remedy="Install the package again, or run from a complete checkout",
    )


def sql_text(name: str) -> str:
    """Text of one of our own SQL files.

    Args:
        name: Path below `sql_root()` without the ending, such as `publish/stored_assets`; always
            a constant of the code, never what a user typed.
    """
    return (sql_root() / f"{name}.sql").read_text(encoding="utf-8")


def query_names() -> list[str]:
    """Names of the saved queries in `queries/`, sorted."""
    return sorted(path.stem for path in (sql_root() / "queries").glob("*.sql"))
