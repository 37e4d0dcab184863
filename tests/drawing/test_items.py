"""The table of items that requests share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.drawing.tiny_drawer import REQUESTS, tiny_drawer


def test_every_item_is_read_tokenised_and_embedded_once(tmp_path: Path) -> None:
    drawer = tiny_drawer(tmp_path)
    items = drawer.items([*REQUESTS, *REQUESTS])
    assert items.images.shape == (6, 16, 16, 3)
    assert drawer.codes(items) is drawer.codes(items)
    assert np.array_equal(drawer.codes(items), drawer.pipeline.encode_images(items.images))
    assert np.array_equal(items.embeddings, drawer.scorer.encode_images(items.images))
    assert items.rows(["i05", "i00", "i05"]).tolist() == [5, 0, 5]
    assert items.broken == {}


def test_an_unusable_picture_is_reported_and_white(tmp_path: Path) -> None:
    drawer = tiny_drawer(tmp_path)
    (tmp_path / "images" / "i01.png").write_bytes(b"no picture")
    items = drawer.items(REQUESTS)
    assert list(items.broken) == ["i01"]
    assert (items.images[items.rows(["i01"])] == 255).all()


def test_a_withdrawn_item_is_a_fault_of_its_requests_only(tmp_path: Path) -> None:
    items = tiny_drawer(tmp_path).items([*REQUESTS, replace(REQUESTS[0], reference="gone")])
    assert items.broken == {"gone": "the item is not in the catalogue"}
    assert items.fault(replace(REQUESTS[0], reference="gone")) == (
        "gone: the item is not in the catalogue"
    )
    assert [items.fault(request) for request in REQUESTS] == [None] * len(REQUESTS)
    assert items.images.shape == (6, 16, 16, 3)
    assert items.rows(["i05", "i00"]).tolist() == [5, 0]
