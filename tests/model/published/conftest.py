"""Folders in the published layout, written once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pigeon_rec.model.published.load import load_published
from pigeon_rec.model.published.pipeline import PublishedPipeline
from tests.model.published.layout import write_layout


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As published, high resolution; read only."""
    return write_layout(tmp_path_factory.mktemp("published") / "lavit")


@pytest.fixture(scope="session")
def low_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As published, low resolution; read only."""
    return write_layout(tmp_path_factory.mktemp("published") / "lavit", "lowres")


@pytest.fixture
def copied(layout: Path, tmp_path: Path) -> Path:
    """A copy that tests may damage."""
    return Path(shutil.copytree(layout, tmp_path / "copy"))


@pytest.fixture(scope="session")
def published(layout: Path) -> PublishedPipeline:
    """The high-resolution layout, loaded; shared."""
    return load_published(layout, batch_size=2)
