from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.warehouse import open_warehouse


@pytest.fixture
def writer_path(tmp_path: Path) -> Path:
    return tmp_path / "warehouse" / "pigeon.duckdb"


@pytest.fixture
def serving(writer_path: Path) -> Path:
    return writer_path.with_name("serving.duckdb")


@pytest.fixture
def warehouse(writer_path: Path) -> Iterator[DuckDBPyConnection]:
    with open_warehouse(writer_path) as connection:
        yield connection
