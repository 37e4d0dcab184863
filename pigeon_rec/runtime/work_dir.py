"""Files of a work directory that several stages use."""

from __future__ import annotations

from pathlib import Path

__all__ = ["feedback_file", "gate_file", "serving_file", "warehouse_file"]


def feedback_file(work_dir: Path) -> Path:
    """Returns the DuckDB file of the exposures, which are no part of what readers open."""
    return work_dir / "warehouse" / "feedback.duckdb"


def gate_file(work_dir: Path) -> Path:
    """Returns the file of the quality gate's calibrations."""
    return work_dir / "gate.json"


def warehouse_file(work_dir: Path) -> Path:
    """Returns the DuckDB file that nights are published into; it also holds the model registry."""
    return work_dir / "warehouse" / "pigeon.duckdb"


def serving_file(work_dir: Path) -> Path:
    """Returns the link to the DuckDB snapshot that readers open."""
    return work_dir / "warehouse" / "serving.duckdb"
