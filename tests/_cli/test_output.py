from __future__ import annotations

import json

import pytest

from pigeon_rec._cli.output import as_table, print_error, print_json, print_summary
from pigeon_rec.errors import CatalogueError


def test_table_aligns_columns_by_their_widest_cell() -> None:
    table = as_table(["id", "score"], [["apple", 0.5], ["b", None]])
    assert table.split("\n") == ["id     score", "-----  ------", "apple  0.5000", "b"]


def test_table_of_no_rows_keeps_its_header() -> None:
    assert as_table(["id"], []) == "id\n--"


def test_table_cuts_long_cells_and_folds_lines() -> None:
    lines = as_table(["text"], [["x" * 100], ["a\nb"]]).split("\n")
    assert lines[2] == "x" * 59 + "…"
    assert lines[3] == "a b"


def test_json_is_one_line_of_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"title": "crème\nbrûlée"})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"title": "crème\nbrûlée"}


def test_summary_has_a_line_per_field(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary("plan 2026-06-01", {"planned": 3, "shards": [0, 1]})
    assert capsys.readouterr().out.split("\n") == [
        "plan 2026-06-01",
        "  planned  3",
        "  shards   [0, 1]",
        "",
    ]


def test_summary_shows_its_parts_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    parts = [{"shard": 0, "kept": 5}, {"shard": 3, "kept": 7}]
    print_summary("generate 2026-06-01", {"shards": parts})
    assert capsys.readouterr().out.split("\n") == [
        "generate 2026-06-01",
        "  shard  kept",
        "  -----  ----",
        "  0      5",
        "  3      7",
        "",
    ]


def test_error_text_has_what_location_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    error = CatalogueError(
        "two rows share an id", location="items.parquet, row 7", remedy="Drop one"
    )
    print_error(error, as_json=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: two rows share an id [items.parquet, row 7]. Drop one\n"
