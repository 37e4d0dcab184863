"""A case of the evaluation and a request of a night give the same picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pigeon_rec.config import GenerationConfig, QualityGateConfig
from pigeon_rec.data.dataset import load_dataset
from pigeon_rec.drawing import Request
from pigeon_rec.drawing.drawer import Drawer
from pigeon_rec.drawing.items import ItemTable
from pigeon_rec.evaluation.candidates import CandidateStore
from pigeon_rec.evaluation.choose import Chooser
from pigeon_rec.evaluation.methods import METHODS
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.scoring.scorer import load_scorer


@pytest.mark.slow
@pytest.mark.parametrize("min_text_score", [-1.0, 0.3, 2.0])
def test_a_case_and_a_request_with_the_same_key_give_the_same_bytes(
    tmp_path: Path, min_text_score: float
) -> None:
    generation = GenerationConfig(mask_ratios=(0.0, 0.2, 0.4), rendered=2, diffusion_steps=2)
    gate = QualityGateConfig(min_text_score=min_text_score)
    settings = EvaluationSettings(generation=generation, gate=gate, seed=3)
    drawer = Drawer.load("sticker-64", generation=generation, gate=gate)
    ids = drawer.catalogue.items["item_id"].to_list()
    cases = pl.DataFrame(
        {
            "case_id": ["ann/x", "bea/y"],
            "retrieved_ids": [ids[10:20], ids[4000:4010]],
            "noise_ids": [ids[:10]] * 2,
            "reference_id": [ids[5000], ids[300]],
        }
    )
    method = METHODS["full"]

    store = CandidateStore(
        settings, {"full": "sticker-64"}, load_scorer("sticker-64"), load_dataset(), tmp_path
    )
    table = ItemTable(
        drawer.catalogue,
        [*ids[:20], ids[300], *ids[4000:4010], ids[5000]],
        drawer.backbone.image_size,
        drawer.scorer,
    )
    chooser = Chooser(store, table, settings)
    store.write([c for case in cases.to_dicts() for c in method.candidates(case, generation, 3)])
    shortlist = chooser.shortlist(method, cases)
    store.render([candidate for own in shortlist for candidate in own])
    chosen = chooser.choose(method, cases, shortlist)

    requests = [
        Request(f"{case['case_id']}/3", method.history(case), case["reference_id"])
        for case in cases.to_dicts()
    ]
    drawn = drawer.draw(requests, drawer.items(requests))
    assert np.array_equal(chosen.images, np.stack([one.image for one in drawn]))
    assert chosen.rejected.tolist() == [one.choice.rejection is not None for one in drawn]
    assert chosen.rejected.all() == (min_text_score == 2.0)
