"""Every general and sequential model of RecBole: equal to it to the bit, or refused by name.

Our version of RecBole's own model tests, with the wrapper in the place of the model.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.utils import get_model, get_trainer

from pigeon_rec.errors import ConfigError
from pigeon_rec.recbole_plugin import load_pigeon
from tests.recbole_plugin.conftest import Build, Built
from tests.recbole_plugin.world import N_ITEMS

PACKAGES = ("general_recommender", "sequential_recommender")
REFUSED = {
    *("CDAE", "DiffRec", "ENMF", "LDiffRec", "MacridVAE", "MultiDAE", "MultiVAE", "RaCT", "RecVAE"),
    *("NCL", "S3Rec", "DIEN", "GRU4RecKG", "KSR"),
}
"""Models that RecBole trains with parts looked up by the model's name."""

SAMPLED = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "uni5"}
SETTINGS: dict[str, dict[str, Any]] = {
    "ConvNCF": {"embedding_size": 64},
    "DGCF": {"train_batch_size": 16},
    # It predicts clicks; RecBole evaluates it with metrics of values.
    "DIN": {"metrics": ["AUC", "LogLoss"], "valid_metric": "AUC", "eval_args": SAMPLED},
    "FDSA": {"selected_features": ["class"]},
    "GRU4RecCPR": {"reranker_CAN_NUM": 10},
    "GRU4RecF": {"selected_features": ["class"]},
    "SASRec": {"loss_type": "CE"},  # its default, not that of `world.BASES`
    "SASRecCPR": {"reranker_CAN_NUM": 10},
    "SASRecF": {"selected_features": ["class"]},
}
"""What a model needs besides its defaults, in so small a world."""

_POPULAR = {"distribution": "popularity", "sample_num": 3, "alpha": 0.5}
_DYNAMIC = {"distribution": "uniform", "sample_num": 1, "dynamic": True, "candidate_num": 5}
_PAIRWISE = {"loss_type": "BPR", "train_neg_sample_args": {"distribution": "uniform"}}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("BPR", {"train_neg_sample_args": _POPULAR}),
    ("BPR", {"train_neg_sample_args": _DYNAMIC}),
    ("BPR", {"eval_args": {**SAMPLED, "mode": "pop5"}}),
    ("BPR", {"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "mode": "full"}}),
    ("BPR", {"eval_args": {"split": {"LS": "test_only"}, "order": "TO", "mode": "full"}}),
    ("BPR", {"metrics": ["GAUC"], "valid_metric": "GAUC"}),
    ("BPR", {"repeatable": True, "learner": "sgd", "clip_grad_norm": {"max_norm": 0.1}}),
    ("BPR", {"benchmark": True, "rm_dup_inter": "first", "shuffle": False}),
    ("FISM", {"split_to": 10, "alpha": 0.5}),
    ("GCMC", {"accum": "stack", "sparse_feature": False}),
    ("ItemKNN", {"knn_method": "user"}),
    ("LightGCN", {"require_pow": True, "eval_batch_size": 100}),
    ("NAIS", {"algorithm": "concat", "split_to": 10, "alpha": 0.5, "beta": 0.1}),
    ("NeuMF", {"mf_train": False, "eval_batch_size": 100}),
    ("NeuMF", {"mlp_train": False, "eval_batch_size": 50}),
    ("NeuMF", {"eval_args": SAMPLED, "metrics": ["AUC", "LogLoss"], "valid_metric": "LogLoss"}),
    ("SGL", {"type": "RW"}),
    ("SASRec", _PAIRWISE),
    ("GRU4Rec", _PAIRWISE),
    ("SASRec", {"transform": "reorder_itemseq", "beta": 0.6}),
    ("SRGNN", {"MAX_ITEM_LIST_LENGTH": 3}),
    ("GRU4Rec", {"eval_args": SAMPLED, "reproducibility": False}),
]
"""Other settings, each with what RecBole's trainers, loaders and samplers then do otherwise."""


def _models() -> list[str]:
    found = []
    # Importing some of them turns on autograd's anomaly detection, or warns.
    with torch.autograd.set_detect_anomaly(False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for package in PACKAGES:
            path = importlib.import_module(f"recbole.model.{package}").__path__
            for module in pkgutil.iter_modules(path):
                names = vars(importlib.import_module(f"recbole.model.{package}.{module.name}"))
                found += [name for name in names if name.lower() == module.name]
        return sorted({name for name in found if isinstance(get_model(name), type)})


MODELS = _models()


@pytest.fixture
def with_classes(looks: Path) -> Path:
    """The small world with item features, which some models need."""
    rows = [f"i{item:02d}\tc{item % 3} d{item % 2}" for item in range(N_ITEMS)]
    text = "\n".join(["item_id:token\tclass:token_seq", *rows]) + "\n"
    (looks / "looks" / "looks.item").write_text(text, encoding="utf-8")
    return looks


def one_epoch(build: Build, name: str, **more: Any) -> Built:
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "class"]}
    own = {"train_neg_sample_args": None} if not hasattr(get_model(name), "input_type") else {}
    saved = bool(more.pop("saved", False))
    given = {"epochs": 1, "load_col": columns, **own, **SETTINGS.get(name, {}), **more}
    built = build(name, **given)
    trainer = get_trainer(built.config["MODEL_TYPE"], built.config["model"])
    built = Built(**{**vars(built), "trainer": trainer(built.config, built.model)})
    built.trainer.fit(built.train, built.valid, verbose=False, saved=saved)
    return built


def scores_of(built: Built, model: Any, data: Any) -> torch.Tensor:
    """Scores as RecBole's trainer takes them for its metrics."""
    trainer = built.trainer
    trainer.model = model.eval()
    trainer.tot_item_num = data._dataset.item_num
    trainer.item_tensor = data._dataset.get_item_feature()
    full = isinstance(data, FullSortEvalDataLoader)
    score = trainer._full_sort_batch_eval if full else trainer._neg_sample_batch_eval
    with torch.no_grad():
        return torch.cat([score(batch)[1] for batch in data])


def test_the_refused_models_are_recboles() -> None:
    assert set(MODELS) >= REFUSED
    assert len(MODELS) > 60


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_models_are_refused_before_any_work(name: str, build: Build) -> None:
    with pytest.raises(ConfigError, match=rf"RecBole trains {name} with .* found by the model's"):
        build(name)


@pytest.mark.slow  # a minute in all
@pytest.mark.parametrize("pictures", [False, True], ids=["no pictures", "weight 0"])
@pytest.mark.parametrize("name", [name for name in MODELS if name not in REFUSED])
def test_a_base_is_recboles_model_to_the_bit(
    name: str, pictures: bool, build: Build, with_classes: Path
) -> None:
    if not pictures:
        (with_classes / "looks" / "looks.visual").unlink()
    compare(build, name, {}, {"pigeon_visual_weight": 0} if pictures else {})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "more"), VARIANTS, ids=str)
def test_a_base_is_recboles_model_under_other_settings(
    name: str, more: dict[str, Any], build: Build, with_classes: Path
) -> None:
    compare(build, name, more, {"pigeon_visual_weight": 0})


def compare(build: Build, name: str, more: dict[str, Any], ours_only: dict[str, Any]) -> None:
    """Trains the model alone and in the wrapper, and compares losses, metrics and scores."""
    plain = one_epoch(build, name, wrapped=False, **more)
    expected = plain.trainer.evaluate(plain.test, load_best_model=False)
    scores = scores_of(plain, plain.model, plain.test)

    ours = one_epoch(build, name, **more, **ours_only)
    assert ours.trainer.train_loss_dict == plain.trainer.train_loss_dict
    assert ours.trainer.evaluate(ours.test, load_best_model=False) == expected
    assert torch.equal(scores_of(ours, ours.model, ours.test), scores)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name not in REFUSED])
def test_a_base_takes_visuals_and_its_checkpoint_is_read_back(
    name: str, build: Build, with_classes: Path
) -> None:
    built = one_epoch(build, name, saved=True)
    assert built.model.weight() >= 0.0
    built.model.visual_weight.fill_(0.5)
    assert built.trainer.evaluate(built.test)  # loads the checkpoint with RecBole's own loader
    weight = built.model.weight()
    model, _, loaders = load_pigeon(built.trainer.saved_model_file)
    assert model.weight() == weight
    if name == "Random":
        return  # it scores anew each time
    for data, other in zip((built.valid, built.test), loaders[1:], strict=True):
        if not isinstance(data, FullSortEvalDataLoader):
            continue  # samples anew
        found = scores_of(built, model, other)
        torch.testing.assert_close(found, scores_of(built, built.model, data))
