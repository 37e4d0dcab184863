"""What visuals add to ranking: base, base + item visuals, base + personalised visuals.

Leave-one-out split: each user's newest interaction is the test, the one before it the validation. A
base model is trained once per seed by RecBole alone, with early stopping on its own validation
NDCG, and evaluated three times with the same parameters: alone, with the item images, and with the
assets that a night made from interactions older than the test. All differences therefore come from
the visuals. Their weight is chosen as in any run of the wrapper, see `validation`.

Each result is a file with one rank per user; existing files are not recomputed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from recbole.config import Config
from recbole.trainer import Trainer
from recbole.utils import get_trainer

from pigeon_rec.data.recommendations import RECOMMENDATION_SCHEMA
from pigeon_rec.recbole_plugin.base_models import base_model_class
from pigeon_rec.recbole_plugin.checkpoints import read_checkpoint
from pigeon_rec.recbole_plugin.recommender import PigeonRecommender
from pigeon_rec.recbole_plugin.run import load_data
from pigeon_rec.recbole_plugin.sandbox import sandbox
from pigeon_rec.recbole_plugin.todays_stack import dok_matrix_update
from pigeon_rec.recbole_plugin.top_k import tokens_of, top_k_rows
from pigeon_rec.recbole_plugin.validation import choose_weight
from pigeon_rec.runtime.files import real_path, write_parquet

__all__ = [
    "BASES",
    "RANK_SCHEMA",
    "Experiment",
    "largest_difference",
    "rank_base",
    "rank_visual",
    "recommended",
]

RANK_SCHEMA: Final = pl.Schema({"user_id": pl.String(), "rank": pl.Int64()})
_SMALL_SEQUENCES: Final = {
    "loss_type": "BPR",
    "MAX_ITEM_LIST_LENGTH": 20,
    "hidden_size": 32,
    "learning_rate": 0.003,
    "epochs": 24,
    "eval_batch_size": 512,
}
BASES: Final[Mapping[str, Mapping[str, Any]]] = {
    "BPR": {"learning_rate": 0.003, "weight_decay": 1e-5, "epochs": 40},
    "LightGCN": {"learning_rate": 0.005, "epochs": 60},
    "SASRec": {
        **_SMALL_SEQUENCES,
        "inner_size": 64,
        "n_layers": 1,
        "hidden_dropout_prob": 0.2,
        "attn_dropout_prob": 0.2,
    },
    "GRU4Rec": {**_SMALL_SEQUENCES, "embedding_size": 32},
    "EASE": {"eval_step": 1},  # RecBole trains it for one epoch
    "VBPR": {
        "pigeon_base_model": "pigeon_rec.recbole_plugin.examples.vbpr:VBPR",
        "additional_feat_suffix": ["visual"],
        "alias_of_item_id": ["visual_item_id"],
        "preload_weight": {"visual_item_id": "visual_vector"},
        "load_col": {
            "inter": ["user_id", "item_id", "timestamp"],
            "visual": ["visual_item_id", "visual_vector"],
        },
        "learning_rate": 0.003,
        "embedding_size": 64,
        "visual_size": 32,
        "reg_weight": 1e-5,
        "epochs": 40,
    },
}
"""RecBole settings of each base: small enough for one CPU core, with negative sampling. VBPR is the
visual baseline, which gets the item vectors by RecBole's own settings."""

_WITHOUT_CHANCE: Final = frozenset({"EASE"})
"""Bases that are the same for every seed; they are trained and ranked once."""

_SHARED: Final[Mapping[str, Any]] = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "eval_args": {
        "split": {"LS": "valid_and_test"},
        "order": "TO",
        "group_by": "user",
        "mode": "full",
    },
    "metrics": ["Recall", "MRR", "NDCG"],
    "topk": [10],
    "valid_metric": "NDCG@10",
    "metric_decimal_place": 6,
    "eval_step": 3,
    "stopping_step": 2,
    "eval_batch_size": 1 << 22,
    "gpu_id": "",
    "show_progress": False,
    "state": "ERROR",
}


@dataclass(frozen=True)
class Experiment:
    """Paths and settings of an experiment.

    Attributes:
        folder: Folder of results and checkpoints.
        data_path: Folder of data sets in RecBole's atomic files.
        dataset: Name of the data set.
        overrides: RecBole settings per base that override the experiment's.
    """

    folder: Path
    data_path: Path
    dataset: str
    overrides: Mapping[str, Mapping[str, Any]]

    def settings(self, base: str, seed: int, **pigeon: Any) -> dict[str, Any]:
        """RecBole's `config_dict` of one run."""
        return {
            **_SHARED,
            "pigeon_base_model": base,
            **BASES.get(base, {}),
            **self.overrides.get(base, {}),
            "data_path": str(real_path(self.data_path)),
            "checkpoint_dir": str(real_path(self.folder / "checkpoints")),
            "seed": seed,
            **pigeon,
        }

    def checkpoint(self, base: str, seed: int) -> Path:
        """File of the trained base."""
        return self.folder / "checkpoints" / f"{self._run(base, seed)}.pth"

    def ranks(self, base: str, seed: int, variant: str) -> Path:
        """File of the ranks of one variant."""
        return self.folder / "ranks" / f"{self._run(base, seed)}-{variant}.parquet"

    def _run(self, base: str, seed: int) -> str:
        return f"{self.dataset}-{base}-{0 if base in _WITHOUT_CHANCE else seed}"


def rank_base(experiment: Experiment, base: str, seed: int) -> pl.DataFrame:
    """Trains the base alone and ranks every user's test item; returns rows of `RANK_SCHEMA`."""
    path = experiment.ranks(base, seed, "base")
    if path.is_file() and experiment.checkpoint(base, seed).is_file():
        return pl.read_parquet(path)
    with sandbox(experiment.folder / "work"):
        config, dataset, (train, valid, test) = _data(
            experiment.settings(base, seed, pigeon_visual_weight=0.0), experiment.dataset
        )
        model = PigeonRecommender(config, train.dataset)
        trainer = _trainer(config, model, experiment.checkpoint(base, seed))
        trainer.fit(train, valid, verbose=False)
        trainer.tensorboard.close()
        state = read_checkpoint(trainer.saved_model_file)
        model.load_state_dict(state["state_dict"])
        model.load_other_parameter(state["other_parameter"])
        ranks = _ranks(trainer, model, dataset, test)
    write_parquet(ranks, path)
    return ranks


def rank_visual(
    experiment: Experiment, base: str, seed: int, variant: str, **pigeon: Any
) -> pl.DataFrame:
    """Ranks with visuals, with the parameters that `rank_base` trained.

    `pigeon` holds the `pigeon_*` settings of the variant.

    Returns:
        Rows of `RANK_SCHEMA`, and the weight as a column `weight`.
    """
    path = experiment.ranks(base, seed, variant)
    if path.is_file():
        return pl.read_parquet(path)
    with sandbox(experiment.folder / "work"):
        model, trainer, dataset, valid, test = _trained(experiment, base, seed, pigeon)
        if "pigeon_visual_weight" not in pigeon:
            choose_weight(trainer, valid)
        ranks = _ranks(trainer, model, dataset, test)
        trainer.tensorboard.close()
    ranks = ranks.with_columns(weight=pl.lit(model.weight()))
    write_parquet(ranks, path)
    return ranks


def recommended(
    experiment: Experiment, base: str, seed: int, k: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Recommendations of a base with item visuals, from interactions older than the test.

    Returns:
        `user_id, item_id, score f32, rank i32`, best first, without items already seen; and the
        test interactions, `user_id, item_id`.
    """
    with sandbox(experiment.folder / "work"):
        model, trainer, dataset, valid, test = _trained(experiment, base, seed, {})
        choose_weight(trainer, valid)
        parts = list(_scored(trainer, model, test))
        trainer.tensorboard.close()
    item_ids = tokens_of(dataset, dataset.iid_field, np.arange(dataset.item_num))
    top, held_out = [pl.DataFrame(schema=RECOMMENDATION_SCHEMA)], []
    for users, positives, scores in parts:
        user_ids = tokens_of(dataset, dataset.uid_field, users.numpy())
        top.append(top_k_rows(user_ids, item_ids, scores.numpy(), k))
        tests = tokens_of(dataset, dataset.iid_field, positives.numpy())
        held_out.append(pl.DataFrame({"user_id": user_ids, "item_id": tests}))
    return pl.concat(top), pl.concat(held_out)


def largest_difference(experiment: Experiment, base: str, seed: int) -> float:
    """Returns the largest absolute difference between the test scores of wrapper and base.

    Both are trained with the same seed, on a data set without item vectors: it must be exactly 0.
    """
    results = []
    for wrapped in (False, True):
        with sandbox(experiment.folder / "work"):
            settings = experiment.settings(base, seed)
            model_class = PigeonRecommender if wrapped else base_model_class(base)
            if not wrapped:
                settings = {k: v for k, v in settings.items() if not k.startswith("pigeon_")}
            config, _, (train, valid, test) = _data(settings, experiment.dataset, model_class)
            with dok_matrix_update():
                model = model_class(config, train.dataset)
            trainer = _trainer(config, model, experiment.folder / "unused")
            trainer.fit(train, valid, verbose=False, saved=False)
            trainer.tensorboard.close()
            results.append(torch.cat([scores for _, _, scores in _scored(trainer, model, test)]))
    base_scores, wrapper_scores = results
    finite = torch.isfinite(base_scores)
    if not torch.equal(finite, torch.isfinite(wrapper_scores)):
        return float("inf")
    return float((base_scores[finite] - wrapper_scores[finite]).abs().max())


def _data(
    settings: Mapping[str, Any], dataset_name: str, model_class: Any = PigeonRecommender
) -> tuple[Any, Any, Any]:
    config = Config(model=model_class, dataset=dataset_name, config_dict=dict(settings))
    return config, *load_data(config)


def _trainer(config: Any, model: Any, checkpoint: Path) -> Trainer:
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    trainer.saved_model_file = str(real_path(checkpoint))
    return trainer


def _trained(
    experiment: Experiment, base: str, seed: int, pigeon: Mapping[str, Any]
) -> tuple[PigeonRecommender, Trainer, Any, Any, Any]:
    """The wrapper with these settings around the trained base; call it inside the sandbox."""
    config, dataset, (train, valid, test) = _data(
        experiment.settings(base, seed, **pigeon), experiment.dataset
    )
    model = PigeonRecommender(config, train.dataset)
    state = read_checkpoint(experiment.checkpoint(base, seed))
    of_base = {k: v for k, v in state["state_dict"].items() if k.startswith("base.")}
    model.load_state_dict(of_base, strict=False)
    model.load_other_parameter(state["other_parameter"])
    trainer = _trainer(config, model, experiment.checkpoint(base, seed))
    return model, trainer, dataset, valid, test


@torch.no_grad()
def _scored(
    trainer: Any, model: Any, test: Any
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yields users, their test items and their scores `[users, n_items]` as RecBole ranks them."""
    model.eval()
    trainer.tot_item_num = test.dataset.item_num
    trainer.item_tensor = test.dataset.get_item_feature()
    for batch in test:
        interaction, scores, _, positives = trainer._full_sort_batch_eval(batch)
        yield interaction[test.dataset.uid_field], positives, scores


def _ranks(trainer: Any, model: Any, dataset: Any, test: Any) -> pl.DataFrame:
    """Rank of every user's one test item, from 1; half of the tied items count as better."""
    parts = [pl.DataFrame(schema=RANK_SCHEMA)]
    for users, positives, scores in _scored(trainer, model, test):
        own = scores.gather(1, positives.unsqueeze(-1))
        better = (scores > own).sum(1)
        tied = (scores == own).sum(1) - 1
        user_ids = tokens_of(dataset, dataset.uid_field, users.numpy())
        parts.append(pl.DataFrame({"user_id": user_ids, "rank": (better + tied // 2 + 1).numpy()}))
    return pl.concat(parts).sort("user_id")
