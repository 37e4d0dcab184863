"""One Airflow with its servers, shared by all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scale.cluster import Cluster, missing_parts, start_cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Airflow with the CeleryExecutor; each test starts its own workers."""
    if missing := missing_parts():
        pytest.skip(f"not installed: {', '.join(missing)}; run `make scale-test`")
    with start_cluster(tmp_path_factory.mktemp("airflow")) as running:
        yield running
