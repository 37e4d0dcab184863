"""What the tests of importers on odd tables share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from pigeon_rec.columns import ItemColumns
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.import_items import ItemImport, import_items

__all__ = ["items", "items_import", "write"]


def items(table: Path, **columns: Any) -> pl.DataFrame:
    return load_catalogue(items_import(table, **columns).path).items


def items_import(table: Path, **columns: Any) -> ItemImport:
    return import_items(str(table), table.parent / "out", ItemColumns(**columns))


def write(folder: Path, content: str | bytes, name: str = "items.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
