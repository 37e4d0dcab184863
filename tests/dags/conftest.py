"""Fixtures of the DAG tests: the DAG files as Airflow reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dags.few_users import write_first_users
from tests.docs.pages import blocks, text_of

HERE = Path(__file__).parent
NIGHT = "2026-06-01"
SMALL_NIGHT = """
interactions: {interactions}
threads: 1
recommender: {{epochs: 1, embedding_size: 8, top_k: 5}}
plan: {{max_assets: 12, max_assets_per_user: 2, shards: 3, users_per_part: 4}}
generation: {{mask_ratios: [0.3], diffusion_steps: 4}}
gate: {{min_text_score: -1.0}}
"""

RetryDecisions = Callable[..., dict[str, str]]


def last_json(output: str) -> Any:
    """Reads the JSON object on the last line, after Airflow's log."""
    return json.loads(output.rstrip().rsplit("\n", 1)[-1])


@pytest.fixture(scope="session")
def described(airflow: Any, repository: Path) -> dict[str, Any]:
    """Every DAG of the repository as Airflow reads it."""
    answer = airflow.run(str(HERE / "describe.py"), str(repository / "dags"))
    assert answer.returncode == 0, answer.stdout
    description: dict[str, Any] = last_json(answer.stdout)
    return description


@pytest.fixture(scope="session")
def retry_decisions(airflow: Any, repository: Path) -> RetryDecisions:
    """Decisions of the retry policy of a DAG file on exit statuses."""

    def ask(module: str, *statuses: str) -> dict[str, str]:
        policy = str(HERE / "policy.py")
        answer = airflow.run(policy, str(repository / "dags"), module, *statuses)
        assert answer.returncode == 0, answer.stdout
        decisions: dict[str, str] = last_json(answer.stdout)
        return decisions

    return ask


@pytest.fixture(scope="session")
def dags_with_consumers(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DAG folder with the nightly DAG and the DAGs that it triggers."""
    folder = tmp_path_factory.mktemp("dags")
    for file in (repository / "dags" / "pigeon_nightly.py", HERE / "consumers.py"):
        (folder / file.name).symlink_to(file)
    [example] = blocks(text_of("docs/operating.md"), "python")
    (folder / "refresh_shop.py").write_text(example, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def night(
    airflow: Any, dags_with_consumers: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A small night in two parts, run twice by Airflow: its work directory and both outputs."""
    folder = tmp_path_factory.mktemp("night")
    interactions = write_first_users(folder / "few.inter")
    config = folder / "night.yaml"
    config.write_text(SMALL_NIGHT.format(interactions=interactions), encoding="utf-8")
    pool = ("pools", "set", "pigeon_accelerator", "1", "pictures at the same time")
    assert airflow.run("-m", "airflow", *pool).returncode == 0
    known = {"AIRFLOW__CORE__DAGS_FOLDER": str(dags_with_consumers)}
    assert airflow.run("-m", "airflow", "dags", "reserialize", **known).returncode == 0
    outputs = []
    for _ in range(2):
        ended = airflow.run(
            *("-m", "airflow", "dags", "test", "pigeon_nightly", NIGHT),
            PIGEON_CONFIG=str(config),
            PIGEON_WORK_DIR=str(folder / "var"),
            **known,
        )
        assert ended.returncode == 0, ended.stdout[-8000:]
        outputs.append(ended.stdout)
    return folder / "var", outputs
