"""Files of recommendations: ranked, checked row by row, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.data.recommendations import RECOMMENDATION_SCHEMA, load_recommendations
from pigeon_rec.errors import PlanError


def test_items_are_ranked_by_score_then_id(tmp_path: Path) -> None:
    path = tmp_path / "top.parquet"
    rows = [("u2", "b", 1), ("u1", "c", 2), ("u1", "b", 3), ("u1", "a", 2), ("u1", "a", 1)]
    pl.DataFrame(rows, ["user_id", "item_id", "score"], orient="row").write_parquet(path)
    recommendations, problems = load_recommendations(path)
    assert recommendations.schema == RECOMMENDATION_SCHEMA
    assert recommendations.select("user_id", "item_id", "rank").rows() == [
        ("u1", "b", 1),
        ("u1", "a", 2),
        ("u1", "c", 3),
        ("u2", "b", 1),
    ]
    assert [(p.kind, p.subject, p.location) for p in problems] == [
        ("duplicate_recommendation", "u1 / a", f"{path}, row 5")
    ]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"user_id": ["u"], "score": [1.0]}), "columns are missing: item_id"),
        (
            pl.DataFrame({"user_id": [1], "item_id": ["a"], "score": [1.0]}),
            "column user_id holds Int64, not strings",
        ),
        (
            pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "score": ["high"]}),
            "column score holds String, not numbers",
        ),
    ],
)
def test_a_file_with_wrong_columns_is_refused(
    tmp_path: Path, frame: pl.DataFrame, message: str
) -> None:
    frame.write_parquet(tmp_path / "top.parquet")
    with pytest.raises(PlanError, match=rf"{message}.*top\.parquet"):
        load_recommendations(tmp_path / "top.parquet")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"cannot read the recommendations.*none\.parquet"):
        load_recommendations(tmp_path / "none.parquet")
