"""The SQL files: `sql/` in a checkout, `pigeon_rec/_sql` once installed."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.errors import WarehouseError

__all__ = ["query_names", "sql_root", "sql_text"]


def sql_root() -> Path:
    """Returns the folder of `migrations/`, `queries/` and the other SQL files.

    Raises:
        WarehouseError: The folder is missing.
    """
    package = Path(__file__).resolve().parent.parent
    folders = (package / "_sql", package.parent / "sql")
    for folder in folders:
        if (folder / "migrations").is_dir():
            return folder
    raise WarehouseError(
        "the SQL files of pigeon_rec are missing",
        location=" and ".join(map(str, folders)),
        remedy="Install the package again, or run from a complete checkout",
    )


def sql_text(name: str) -> str:
    """Returns the text of one SQL file.

    Args:
        name: Path below `sql_root()` without suffix, such as `publish/stored_assets`. Must not
            come from a user.
    """
    return (sql_root() / f"{name}.sql").read_text(encoding="utf-8")


def query_names() -> list[str]:
    """Returns the names of the saved queries in `queries/`, sorted."""
    return sorted(path.stem for path in (sql_root() / "queries").glob("*.sql"))
