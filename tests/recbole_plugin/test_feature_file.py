"""Feature files as users have them: other separators, broken rows, files of other data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pigeon_rec.errors import ConfigError, InteractionError
from pigeon_rec.recbole_plugin.feature_file import FeatureColumns, ItemVectors, read_item_vectors
from pigeon_rec.runtime.digests import file_sha256

COLUMNS = FeatureColumns("visual_item_id", "visual_vector")
HEADER = "visual_item_id:token\tvisual_vector:float_seq"
IDS = {"[PAD]": 0, "b": 1, "a": 2, "c": 3}


def read(
    path: Path, text: str, columns: FeatureColumns = COLUMNS, min_share: float = 0.1
) -> ItemVectors:
    path.write_text(text, encoding=columns.encoding)
    return read_item_vectors(path, columns, IDS, min_share=min_share)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.visual"


def test_rows_get_the_ids_of_the_data_set(path: Path) -> None:
    found = read(path, f"{HEADER}\na\t1 2\nb\t3 4.5\nother\t5 6\n")
    assert found.matrix.dtype == np.float32
    assert found.matrix.tolist() == [[0, 0], [3, 4.5], [1, 2], [0, 0]]
    coverage = found.coverage
    assert (coverage.items, coverage.with_vector, coverage.unknown) == (3, 2, 1)
    assert coverage.share == pytest.approx(2 / 3)
    assert found.sha256 == file_sha256(path)


def test_filtered_items_are_told_from_unknown_ones(path: Path) -> None:
    path.write_text(f"{HEADER}\na\t1 2\nold\t1 2\nother\t5 6\n", encoding="utf-8")
    found = read_item_vectors(path, COLUMNS, IDS, min_share=0.1, filtered={"a", "old"})
    assert (found.coverage.filtered, found.coverage.unknown) == (1, 1)
    assert str(found.coverage) == (
        "1 of 3 items have a vector, 1 rows of items that the data set does not have, "
        "1 rows of items that its filters removed"
    )


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("visual_item_id:token,visual_vector:float_seq\na,1 2\n", COLUMNS),
        (
            "visual_item_id:token,visual_vector:float_seq\na,1;2\n",
            FeatureColumns("visual_item_id", "visual_vector", ";", ","),
        ),
        (f"{HEADER}\na\t1;2\n", FeatureColumns("visual_item_id", "visual_vector", ";", ",")),
        # Written with spaces, beside a data set of another separator.
        (f"{HEADER}\na\t1 2\n", FeatureColumns("visual_item_id", "visual_vector", "|")),
        (f'{HEADER}\n"a"\t"1 2"\n', COLUMNS),
        ("more:float\tvisual_vector:float_seq\tvisual_item_id:token\n7\t1 2\ta\n", COLUMNS),
        (f"{HEADER}\r\na\t1 2\r\n\r\n", COLUMNS),
        (
            f"{HEADER}\na\t1 2\n".replace("visual_", "é_"),
            FeatureColumns("é_item_id", "é_vector", encoding="latin-1"),
        ),
    ],
)
def test_other_layouts_are_read(text: str, columns: FeatureColumns, path: Path) -> None:
    assert read(path, text, columns).matrix[2].tolist() == [1, 2]


def test_unusable_rows_are_counted_and_have_no_vector(path: Path) -> None:
    rows = ["a\t1 2", "b\tnan 1", "c\t1 inf", "c\t1 2 3", "c\tx y", "c", "c\t1e300 1", "a\t3 4"]
    found = read(path, "\n".join([HEADER, *rows]))
    assert found.matrix[1:].tolist() == [[0, 0], [3, 4], [0, 0]]
    coverage = found.coverage
    assert (coverage.not_finite, coverage.malformed, coverage.repeated) == (3, 3, 1)
    assert coverage.first_fault == "line 3, item b"
    assert str(coverage) == (
        "1 of 3 items have a vector, 3 rows not finite, 3 rows malformed, 1 rows repeated "
        "(first: line 3, item b)"
    )


def test_a_vector_of_zeros_is_no_vector(path: Path) -> None:
    assert read(path, f"{HEADER}\na\t0 0\nb\t1 0\n").coverage.with_vector == 1


def test_the_file_of_another_data_set_is_refused_with_the_share(path: Path) -> None:
    message = r"cover 33.3% of the data set's items \(1 of 3 items have a vector, 2 rows of items"
    with pytest.raises(InteractionError, match=message):
        read(path, f"{HEADER}\na\t1 2\nx\t1 2\ny\t1 2\n", min_share=0.5)
    with pytest.raises(InteractionError, match=r"cover 0.0% .* less than 0%"):
        read(path, f"{HEADER}\nx\t1 2\n", min_share=0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the header needs the fields visual_item_id:token and visual_vector:float_seq"),
        ("visual_item_id:token\tvector:float_seq\na\t1 2\n", r"received 'visual_item_id:token\\t"),
        ("a\t1 2\n", "d.visual, line 1.*pigeon-rec recbole features"),
    ],
)
def test_a_broken_header_is_named(text: str, message: str, path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read(path, text)


def test_a_file_that_is_not_text_is_named(path: Path) -> None:
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ConfigError, match="cannot read the item vectors"):
        read_item_vectors(path, COLUMNS, IDS, min_share=0.1)
    with pytest.raises(ConfigError, match="cannot read the item vectors"):
        read_item_vectors(path.with_suffix(".absent"), COLUMNS, IDS, min_share=0.1)
