from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snapshot of a small promoted night of real files."""
    from pigeon_rec.config import NightlyConfig
    from pigeon_rec.nightly.publish import promote_night, publish_night
    from tests.nightly.made_night import NIGHT, MadeNight, Pair, write_catalogue

    folder = tmp_path_factory.mktemp("night")
    config = NightlyConfig(catalogue=str(write_catalogue(folder)), work_dir=folder / "var")
    MadeNight([Pair("u00001", "line/apple")]).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    return config.work_dir / "warehouse" / "serving.duckdb"
