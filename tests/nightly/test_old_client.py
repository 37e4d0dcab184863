"""A DuckDB 1.4 client reads a serving snapshot, its views and macros included.

The client lies in a folder of its own, since a process can load one version only:
`make test-duckdb` installs it and runs this file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.warehouse import ask
from tests.conftest import ROOT
from tests.nightly.made_night import NIGHT, small_night, write_catalogue

CLIENT = ROOT / "build" / "duckdb-1.4"
VIEWS = (
    *("served_assets", "asset_quality_daily", "assets", "asset_scores", "rejections", "runs"),
    "generated_pictures",
)
PROGRAM = """
import json, sys, duckdb
assert duckdb.__version__.startswith("1.4"), duckdb.__version__
connection = duckdb.connect(sys.argv[1], read_only=True)
answers = [connection.execute(query).fetchall() for query in json.loads(sys.argv[2])]
print(json.dumps(answers, default=str))
"""

pytestmark = pytest.mark.skipif(
    not (CLIENT / "duckdb").is_dir(), reason="the client is not installed: run `make test-duckdb`"
)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    config = NightlyConfig(
        work_dir=folder / "var", catalogue=str(write_catalogue(folder / "catalogue"))
    )
    small_night().write(config)
    publish_night(config, NIGHT)
    return promote_night(config)


def answers_of(snapshot: Path, *queries: str) -> list[list[list[Any]]]:
    """What the old client answers, as JSON values."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(snapshot), json.dumps(queries)],
        env={**os.environ, "PYTHONPATH": str(CLIENT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    answers: list[list[list[Any]]] = json.loads(ended.stdout)
    return answers


@pytest.mark.parametrize(
    "query",
    [
        *(f"SELECT count(*) FROM {view}" for view in VIEWS),
        "SELECT user_id, item_id FROM served_assets ORDER BY ALL",
        "SELECT user_id, item_id, origin, octet_length(image) FROM asset_for('ada', 'flat/apple')",
        "SELECT origin FROM asset_for('nobody', 'flat/apple')",
        "SELECT item_id, origin FROM assets_for_user('ada') ORDER BY ALL",
        "SELECT count(*) FROM plan_explain('ada')",
        "SELECT * FROM is_generated('0')",
        "SELECT found.* FROM assets CROSS JOIN LATERAL is_generated(image_sha256) AS found "
        "ORDER BY ALL",
    ],
)
def test_it_answers_as_the_present_client(snapshot: Path, query: str) -> None:
    [old] = answers_of(snapshot, query)
    new = json.loads(json.dumps(ask(snapshot, query).rows(), default=str))
    assert old == new
    assert old
