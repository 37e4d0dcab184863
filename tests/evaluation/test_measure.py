"""Metrics of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.world import load_world
from pigeon_rec.evaluation.encoders import JudgeEncoder
from pigeon_rec.evaluation.judges import Judges
from pigeon_rec.evaluation.measure import LOWER_IS_BETTER, METRICS, MetricSuite
from pigeon_rec.evaluation.pretrained import ms_ssim

APPLE = {
    "case_id": "u/noto/red-apple",
    "history_ids": ["noto/dog-face", "noto/cat-face"],
    "random_ids": ["noto/dog-face", "twemoji/cat-face"],
    "reference_id": "twemoji/red-apple",
    "truth_id": "noto/red-apple",
    "concept": "red-apple",
    "style": "noto",
}


class Known:
    """Catalogue items with their pictures."""

    def __init__(self, item_ids: list[str], catalogue: Catalogue) -> None:
        self.item_ids = item_ids
        self.images, _ = catalogue.images(item_ids)

    def rows(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        return np.array([self.item_ids.index(item) for item in item_ids])


def test_real_pictures_hit_copy_or_miss_as_expected() -> None:
    """The truth hits both, the reference copies, and another concept misses the target."""
    judges, catalogue = Judges.load(), load_catalogue("bundled")
    case = pl.DataFrame([APPLE] * 3)
    items = [*APPLE["history_ids"], *APPLE["random_ids"], APPLE["reference_id"], APPLE["truth_id"]]
    encoders = {"jis": JudgeEncoder(judges)}
    known = Known([str(item) for item in items], catalogue)
    own = encoders["jis"](known.images)
    text = np.ones(own.shape[1], np.float32)
    texts = {"twemoji/red-apple": text}
    styles = {"twemoji/red-apple": "twemoji"}
    suite = MetricSuite(
        judges, encoders, {"ms_ssim": ms_ssim}, known, {"jis": own}, "jis", texts, styles
    )
    shown = ["noto/red-apple", "twemoji/red-apple", "noto/dog-face"]
    values = suite.measure(catalogue.images(shown, size=64)[0], case)
    assert {"style_hit", "jis", "hist_jis", "user_jis", "ms_ssim", "hist_ms_ssim"} <= {*values}
    assert {*values} <= {*METRICS}
    assert values["both_hit"].tolist() == [1.0, 0.0, 0.0]
    assert values["copies_reference"].tolist() == [0.0, 1.0, 0.0]
    assert values["lost_target"].tolist() == [0.0, 0.0, 1.0]
    assert values["collapse"].tolist() == [0.0, 1.0, 1.0]
    assert values["jis"][0] == pytest.approx(1.0, abs=1e-5)
    dog, cat, apple = (own[known.rows([item])[0]] for item in
                       ("noto/dog-face", "noto/cat-face", "noto/red-apple"))  # fmt: skip
    assert values["hist_jis"][0] == pytest.approx((apple @ dog + apple @ cat) / 2, abs=1e-5)


def test_every_item_used_here_exists_and_lower_metrics_are_metrics() -> None:
    assert {str(APPLE["truth_id"]), "twemoji/cat-face"} <= {
        *load_world("bundled").artwork()["item_id"]
    }
    assert {*METRICS} >= LOWER_IS_BETTER
