"""Fixtures of the model's tests: tiny seeded parts, built once where nothing changes them."""

from __future__ import annotations

import pytest
import torch

from pigeon_rec.model.pipeline import PigeonPipeline
from tests.model.tiny import tiny_pipeline


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pipeline() -> PigeonPipeline:
    """Shared: tests that change a part build their own."""
    return tiny_pipeline()
