"""`pigeon-rec gate calibrate` on a small catalogue, with the bundled scorer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pigeon_rec.runtime.work_dir import gate_file
from tests.small_world import write_catalogue, write_interactions

Pigeon = Callable[..., Any]


def test_the_result_is_printed_and_kept(pigeon: Pigeon, tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path, 40)
    rows = write_interactions(tmp_path / "rows.parquet", {"u": ["i00"]})
    config, work_dir = tmp_path / "night.yaml", tmp_path / "var"
    config.write_text(f"catalogue: {catalogue}\ninteractions: {rows}\n", encoding="utf-8")
    arguments = ("gate", "calibrate", "--config", config, "--work-dir", work_dir)
    outcome = pigeon(*arguments, "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert found["pictures"] == 40
    assert found["used"] is True
    # Coloured squares named by numbers: no scorer of stickers can read that.
    assert 0.3 < found["auc"] < 0.7
    assert found["min_text_score"] == -1.0
    assert 0.0 < found["min_reference_likeness"] < 1.0
    assert len(found["warnings"]) == 1
    kept = gate_file(work_dir).read_bytes()
    text = pigeon(*arguments, "--quiet")
    assert (text.code, text.out) == (0, "")
    assert gate_file(work_dir).read_bytes() == kept
    assert "auc" in pigeon(*arguments).out
