"""Fixtures of the training tests: every recipe run once, for three steps each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training import recipes
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.bundle import bundle
from pigeon_rec.training.pairs import make_pairs
from pigeon_rec.training.text import text_tokenizer
from tests.training.tiny import CONFIG, handful


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def artwork() -> TrainingArtwork:
    return handful()


@pytest.fixture(scope="session")
def trained(artwork: TrainingArtwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder after all recipes; read-only."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "load_artwork", handful)
        # The optional ones last: what the others train does not depend on them.
        for name in sorted(recipes.RECIPES, key=recipes.OPTIONAL.__contains__):
            if name == "align":
                make_pairs(CONFIG, folder)
            recipes.run_recipe(name, CONFIG, folder)
    return folder


@pytest.fixture(scope="session")
def text(artwork: TrainingArtwork, trained: Path) -> TextTokenizer:
    return text_tokenizer(trained, artwork, CONFIG)


@pytest.fixture(scope="session")
def model(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of `trained`; read-only."""
    return bundle(CONFIG, trained, tmp_path_factory.mktemp("model") / "tiny")
