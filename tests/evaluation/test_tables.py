"""The Markdown table of the results."""

from __future__ import annotations

from pathlib import Path

import pytest

from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.tables import BEGIN, END, markdown_table, write_between


def test_a_table_goes_between_the_marks(tmp_path: Path) -> None:
    summary = {
        "model_version": "m-1",
        "settings": {"confidence": 0.95},
        "judges": {
            "pictures": 1178,
            "accuracy": [
                {"artwork": "real", "style": 0.95, "concept": 0.9},
                {"artwork": "autoencoder", "style": 0.925, "concept": 0.875},
            ],
        },
        "missing": {},
        "methods": {
            "full": {
                "label": "full model",
                "cases": 4,
                "metrics": {"style_hit": {"mean": 0.5, "low": 0.25, "high": 0.75, "cases": 4}},
            }
        },
    }
    readme = tmp_path / "README.md"
    readme.write_text(f"between `{BEGIN}` and\n`{END}`\n{BEGIN}\nold\n{END}\nafter\n")
    write_between(markdown_table(summary), readme)
    text = readme.read_text()
    assert "| full model | 4 | 50.0 (25.0–75.0) |" in text
    assert "old" not in text
    assert "| judge | as it is | the model's autoencoder |" in text
    assert "| style (1 of 8) | 95.0% | 92.5% |" in text
    assert text.startswith(f"between `{BEGIN}` and\n`{END}`\n{BEGIN}\nModel")
    assert text.endswith("\nafter\n")
    write_between(markdown_table(summary), readme)
    assert readme.read_text() == text
    readme.write_text("no marks")
    with pytest.raises(ConfigError, match="no marks"):
        write_between(markdown_table(summary), readme)
