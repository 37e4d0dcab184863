"""The wrapper around real RecBole models, trained by RecBole's own functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.utils import InputType, ModelType

from pigeon_rec.errors import RetrievalError
from tests.recbole_plugin.conftest import Build, Built
from tests.recbole_plugin.world import BASES, LOOKS, N_ITEMS, vector_of

SEQUENTIAL = {"SASRec", "GRU4Rec"}


def full_scores(built: Built) -> torch.Tensor:
    """Scores of all test rows and items, `[rows, n_items]`."""
    built.model.eval()
    with torch.no_grad():
        parts = [
            built.model.full_sort_predict(batch[0]).view(-1, built.dataset.item_num)
            for batch in built.test
        ]
    return torch.cat(parts)


def trained(build: Build, base: Any, **more: Any) -> Built:
    built = build(base, **more)
    built.trainer.fit(built.train, built.valid, verbose=False, saved=False)
    return built


@pytest.mark.parametrize("base", BASES)
def test_the_type_is_that_of_the_base(base: str, build: Build) -> None:
    built = build(base)
    sequential = base in SEQUENTIAL
    expected = ModelType.SEQUENTIAL if sequential else ModelType.GENERAL
    assert built.config["MODEL_TYPE"] == built.model.type == expected
    pointwise = base == "GRU4Rec"  # cross-entropy
    assert built.model.input_type == (InputType.POINTWISE if pointwise else InputType.PAIRWISE)
    assert built.config["model"] == "PigeonRecommender"


@pytest.mark.parametrize("base", BASES)
def test_weight_0_is_the_base_exactly(base: str, build: Build) -> None:
    own = full_scores(trained(build, base, wrapped=False))
    ours = full_scores(trained(build, base, pigeon_visual_weight=0))
    assert float((own - ours).abs().max()) == 0.0


@pytest.mark.parametrize("base", BASES)
def test_visuals_do_not_change_the_training_of_the_base(base: str, build: Build) -> None:
    alone = trained(build, base, pigeon_visual_weight=0.0).model.base.state_dict()
    wrapped = trained(build, base).model.base.state_dict()
    assert all(torch.equal(alone[name], wrapped[name]) for name in alone)


@pytest.mark.parametrize("base", BASES)
def test_without_item_vectors_it_is_the_base_exactly(base: str, build: Build, looks: Path) -> None:
    (looks / "looks" / "looks.visual").unlink()
    own = full_scores(trained(build, base, wrapped=False))
    built = trained(build, base)
    assert built.model.affinity is None
    assert float((own - full_scores(built)).abs().max()) == 0.0


@pytest.mark.parametrize("base", BASES)
def test_one_item_scores_as_in_the_full_sort(base: str, build: Build) -> None:
    built = trained(build, base, pigeon_visual_weight=1.5, pigeon_half_life=3)
    scores = full_scores(built)
    rows = next(iter(built.test))[0]
    items = torch.arange(len(rows)) % (built.dataset.item_num - 1) + 1
    one_each = Interaction({**rows.interaction, built.model.ITEM_ID: items})
    with torch.no_grad():
        predicted = built.model.predict(one_each)
    expected = scores[torch.arange(len(rows)), items]
    torch.testing.assert_close(predicted, expected, rtol=1e-4, atol=1e-4)


def test_visuals_rank_items_of_the_users_look_first(build: Build) -> None:
    built = build("BPR", pigeon_visual_weight=3.0)  # the base is untrained
    scores = full_scores(built)
    scores[:, 0] = -torch.inf
    users = torch.cat([batch[0]["user_id"] for batch in built.test])
    tokens = built.dataset.id2token("user_id", users)
    best = built.dataset.id2token("item_id", scores.argmax(1))
    own = [
        int(user[1:]) % LOOKS == int(item[1:]) % LOOKS
        for user, item in zip(tokens, best, strict=True)
    ]
    assert sum(own) == len(own)


def test_newer_interactions_count_more(build: Build) -> None:
    built = build("SASRec", pigeon_visual_weight=1.0, pigeon_half_life=1.0)
    tokens = built.dataset.field2token_id["item_id"]
    old, new = tokens["i00"], tokens["i01"]
    rows = Interaction(
        {
            "user_id": torch.tensor([1]),
            "item_id_list": torch.tensor([[old, new, 0]]),
            "item_length": torch.tensor([2]),
        }
    )
    affinity = built.model.affinity_to_all(rows)[0]
    assert affinity[tokens["i05"]] > affinity[tokens["i04"]] > affinity[tokens["i06"]]


def test_history_has_the_users_most_similar_items(build: Build) -> None:
    built = build("BPR")
    user = built.dataset.field2id_token["user_id"][1]
    own = {f"i{item:02d}" for item in range(int(user[1:]) % LOOKS, N_ITEMS, LOOKS)}
    found = built.model.retrieve_history(user, "i01", 3)
    assert found.columns == ["item_id", "score", "similarity"]
    assert found.height == 3
    assert set(found["item_id"]) <= own - {"i01"}
    assert found["score"].is_sorted(descending=True)
    for item, similarity in found.select("item_id", "similarity").iter_rows():
        expected = float(vector_of(int(item[1:])) @ vector_of(1))
        assert similarity == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("user", "item"), [("nobody", "i00"), ("u00", "nothing"), ("[PAD]", "i00")]
)
def test_the_history_of_an_unknown_user_or_item_is_an_error(
    user: str, item: str, build: Build
) -> None:
    with pytest.raises(RetrievalError, match="the data set has no"):
        build("BPR").model.retrieve_history(user, item)
