"""Windows of the users' sequences."""

from __future__ import annotations

import numpy as np
import pytest

from pigeon_rec.training.artwork import TrainingArtwork, load_artwork
from pigeon_rec.training.windows import concepts_of, load_windows
from tests.training.tiny import bundled


def test_histories_contain_the_targets_style(artwork: TrainingArtwork) -> None:
    windows = load_windows(artwork, "train")
    assert len(windows) >= 10
    same = artwork.style[windows.history] == artwork.style[windows.target][:, None]
    assert (same.sum(1) >= 2).all()


@pytest.mark.parametrize("split", ["train", "valid"])
def test_rows_match_the_item_ids_of_the_sequences(artwork: TrainingArtwork, split: str) -> None:
    windows = load_windows(artwork, split)
    items = np.array(artwork.rows["item_id"].to_list())
    assert set(windows.sequences["split"]) == {split}
    named = np.array(windows.sequences["history_ids"].to_list())
    assert np.array_equal(items[windows.history], named)
    assert np.array_equal(items[windows.target], windows.sequences["target_id"].to_numpy())


def test_splits_share_no_window(artwork: TrainingArtwork) -> None:
    keys = [
        set(load_windows(artwork, split).sequences.select("user_id", "position").rows())
        for split in ("train", "valid")
    ]
    assert not keys[0] & keys[1]


def test_the_concepts_of_a_few_users_give_both_splits() -> None:
    few, more = concepts_of(bundled(), 2), concepts_of(bundled(), 4)
    assert few < more
    small = load_artwork(bundled(), 64, more)
    assert set(small.concepts) <= more
    assert len(small) < 1500
    assert len(load_windows(small, "train")) > 20
    assert len(load_windows(small, "valid")) > 2
