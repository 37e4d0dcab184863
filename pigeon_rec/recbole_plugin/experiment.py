"""What pictures add to ranking: base, base + item visuals, base + personalised visuals.

Every user's newest interaction is the test, the one before it the validation. A base model is
trained once per seed by RecBole alone, stopped where *its own* validation NDCG is best, and is then
ranked three times over the same parameters: by itself, with the pictures that everybody sees, and
with those that a night has drawn for the user from what is older than the test. So the base has
every advantage, and whatever the rows differ by comes from the pictures. Their weight is the
smallest of `WEIGHTS`, 0 among them, whose validation NDCG@10 is the best or within its error.

Each result is a file of one rank per user; what is there is not computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.trainer import Trainer
from recbole.utils import get_trainer, init_seed

from pigeon_rec.recbole_plugin._sandbox import dok_matrix_update, sandbox
from pigeon_rec.recbole_plugin.base_models import base_model_class
from pigeon_rec.recbole_plugin.checkpoints import read_checkpoint
from pigeon_rec.recbole_plugin.recommender import PigeonRecommender

__all__ = [
    "BASES",
    "RANK_SCHEMA",
    "WEIGHTS",
    "Experiment",
    "largest_difference",
    "rank_base",
    "rank_visual",
    "recommended",
    "smallest_of_the_best",
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
}
"""Settings of each base for one CPU core: small, with negative sampling."""

WEIGHTS: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0, 8.0)
"""Weights of the affinity that are tried on the validation items."""

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
    """Where the experiment reads and writes.

    Attributes:
        folder: Of its results and checkpoints.
        data_path: Folder of data sets in RecBole's atomic files.
        dataset: Name of the data set.
        overrides: RecBole settings that replace the experiment's, per base.
    """

    folder: Path
    data_path: Path
    dataset: str
    overrides: Mapping[str, Mapping[str, Any]]

    def settings(self, base: str, seed: int, **ours: Any) -> dict[str, Any]:
        """RecBole's `config_dict` of one run."""
        return {
            **_SHARED,
            **BASES.get(base, {}),
            **self.overrides.get(base, {}),
            "data_path": str(self.data_path.resolve()),
            "checkpoint_dir": str((self.folder / "checkpoints").resolve()),
            "seed": seed,
            "pigeon_base_model": base,
            **ours,
        }

    def checkpoint(self, base: str, seed: int) -> Path:
        """File of the trained base."""
        return self.folder / "checkpoints" / f"{self.dataset}-{base}-{seed}.pth"

    def ranks(self, base: str, seed: int, variant: str) -> Path:
        """File of the ranks of one variant."""
        return self.folder / "ranks" / f"{self.dataset}-{base}-{seed}-{variant}.parquet"


def rank_base(
    experiment: Experiment, base: str, seed: int, on_epoch: Callable[[int, int], None] | None = None
) -> pl.DataFrame:
    """Trains the base by itself and ranks every user's test item; `RANK_SCHEMA`."""
    path = experiment.ranks(base, seed, "base")
    if path.is_file() and experiment.checkpoint(base, seed).is_file():
        return pl.read_parquet(path)
    with sandbox(experiment.folder / "work"):
        config, dataset, (train, valid, test) = _data(
            experiment.settings(base, seed, pigeon_visual_weight=0.0), experiment.dataset
        )
        model = PigeonRecommender(config, train.dataset)
        trainer = _trainer(config, model, experiment.checkpoint(base, seed))
        trainer.fit(
            train,
            valid,
            verbose=False,
            callback_fn=lambda epoch, _: on_epoch and on_epoch(epoch + 1, trainer.epochs),
        )
        trainer.tensorboard.close()
        state = read_checkpoint(trainer.saved_model_file)
        model.load_state_dict(state["state_dict"])
        model.load_other_parameter(state["other_parameter"])
        ranks = _ranks(trainer, model, dataset, test)
    return _written(ranks, path)


def rank_visual(
    experiment: Experiment, base: str, seed: int, variant: str, **ours: Any
) -> pl.DataFrame:
    """Ranks with pictures over the parameters that `rank_base` trained; `RANK_SCHEMA`.

    Args:
        experiment: Where to read and write.
        base: Name of the base.
        seed: Of its training.
        variant: Names the file of ranks.
        ours: `pigeon_*` settings of the variant.
    """
    path = experiment.ranks(base, seed, variant)
    if path.is_file():
        return pl.read_parquet(path)
    with sandbox(experiment.folder / "work"):
        model, trainer, dataset, valid, test = _trained(experiment, base, seed, ours)
        if "pigeon_visual_weight" not in ours:
            _choose_weight(model, trainer, dataset, valid)
        ranks = _ranks(trainer, model, dataset, test)
        trainer.tensorboard.close()
    return _written(ranks.with_columns(weight=pl.lit(model.weight())), path)


def recommended(
    experiment: Experiment, base: str, seed: int, k: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What a model with item visuals recommends before the test, and the test.

    Returns:
        `user_id, item_id, score f32, rank i32`, best first and nothing chosen before among them,
        and the test interactions, `user_id, item_id`.
    """
    with sandbox(experiment.folder / "work"):
        model, trainer, dataset, _, test = _trained(experiment, base, seed, {})
        parts = list(_scored(trainer, model, test))
        trainer.tensorboard.close()
    users = torch.cat([users for users, _, _ in parts])
    truth = torch.cat([items for _, items, _ in parts])
    best = [scores.topk(k) for _, _, scores in parts]
    top = pl.DataFrame(
        {
            "user_id": _tokens(dataset, dataset.uid_field, users.repeat_interleave(k)),
            "item_id": _tokens(
                dataset, dataset.iid_field, torch.cat([one.indices.flatten() for one in best])
            ),
            "score": torch.cat([one.values.flatten() for one in best]).numpy(),
            "rank": torch.arange(1, k + 1).repeat(len(users)).numpy(),
        }
    )
    held_out = pl.DataFrame(
        {
            "user_id": _tokens(dataset, dataset.uid_field, users),
            "item_id": _tokens(dataset, dataset.iid_field, truth),
        }
    )
    return top.cast({"score": pl.Float32(), "rank": pl.Int32()}), held_out


def largest_difference(experiment: Experiment, base: str, seed: int) -> float:
    """Between all test scores of RecBole's own model and of the wrapper, trained alike.

    For data sets without pictures, where the wrapper must be its base: 0 exactly.
    """
    found = []
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
            found.append(torch.cat([scores for _, _, scores in _scored(trainer, model, test)]))
    own, ours = found
    both = torch.isfinite(own)
    if not torch.equal(both, torch.isfinite(ours)):
        return float("inf")
    return float((own[both] - ours[both]).abs().max())


def _data(
    settings: Mapping[str, Any], dataset_name: str, model_class: Any = PigeonRecommender
) -> tuple[Any, Any, Any]:
    config = Config(model=model_class, dataset=dataset_name, config_dict=dict(settings))
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    loaders = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    return config, dataset, loaders


def _trainer(config: Any, model: Any, checkpoint: Path) -> Trainer:
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    trainer.saved_model_file = str(checkpoint.resolve())
    return trainer


def _trained(
    experiment: Experiment, base: str, seed: int, ours: Mapping[str, Any]
) -> tuple[PigeonRecommender, Trainer, Any, Any, Any]:
    """The wrapper with `ours` over the trained base; call inside the sandbox."""
    config, dataset, (train, valid, test) = _data(
        experiment.settings(base, seed, **ours), experiment.dataset
    )
    model = PigeonRecommender(config, train.dataset)
    state = read_checkpoint(experiment.checkpoint(base, seed))
    own = {k: v for k, v in state["state_dict"].items() if k != "visual_weight"}
    model.load_state_dict(own, strict=False)
    model.load_other_parameter(state["other_parameter"])
    trainer = _trainer(config, model, experiment.checkpoint(base, seed))
    return model, trainer, dataset, valid, test


def _choose_weight(model: PigeonRecommender, trainer: Any, dataset: Any, valid: Any) -> None:
    """Sets the weight by the validation items' NDCG@10."""
    found = []
    for weight in WEIGHTS:
        model.visual_weight.fill_(weight)
        rank = _ranks(trainer, model, dataset, valid)["rank"].to_numpy()
        found.append(np.where(rank <= 10, 1.0 / np.log2(rank + 1.0), 0.0))
    model.visual_weight.fill_(WEIGHTS[smallest_of_the_best(np.stack(found))])


def smallest_of_the_best(values: NDArray[np.float64]) -> int:
    """The first row that is no worse than the best one by more than chance would have it.

    The rule of one standard error (Breiman et al., Classification and Regression Trees, 1984,
    section 3.4.3), with the error of the paired difference: among weights that validation cannot
    tell apart, the smallest departs least from the base.

    Args:
        values: One row a weight, one column a user, `[weights, users]`.
    """
    behind = values[values.mean(axis=1).argmax()] - values
    error = behind.std(axis=1) / np.sqrt(values.shape[1])
    return int(np.argmax(behind.mean(axis=1) <= error))


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
    """Rank of every user's one test item, from 1; of equal scores half stand before it."""
    users, ranks = [], []
    for who, positives, scores in _scored(trainer, model, test):
        own = scores.gather(1, positives.unsqueeze(-1))
        above = (scores > own).sum(1)
        equal = (scores == own).sum(1) - 1
        users += _tokens(dataset, dataset.uid_field, who)
        ranks += (above + equal // 2 + 1).tolist()
    return pl.DataFrame({"user_id": users, "rank": ranks}, schema=RANK_SCHEMA).sort("user_id")


def _tokens(dataset: Any, field: str, ids: torch.Tensor) -> list[str]:
    return [str(token) for token in dataset.id2token(field, ids.numpy())]


def _written(ranks: pl.DataFrame, path: Path) -> pl.DataFrame:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    ranks.write_parquet(temporary)
    temporary.replace(path)
    return ranks
