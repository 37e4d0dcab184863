"""Recommendations for the night: a RecBole general recommender's top-K items for every user.

The model is trained on all interactions with RecBole's own configuration, data set and trainer,
without validation, for a fixed number of epochs. No checkpoint is written or read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import ModelType, get_trainer, init_seed

from pigeon_rec.config import RecommenderConfig
from pigeon_rec.data.recommendations import RECOMMENDATION_SCHEMA
from pigeon_rec.errors import ConfigError, InteractionError, TrainingError
from pigeon_rec.recbole_plugin.base_models import recbole_model_class, score_all_items
from pigeon_rec.recbole_plugin.sandbox import sandbox

__all__ = ["best_columns", "export_top_k", "tokens_of", "top_k_rows"]

EpochHook: TypeAlias = Callable[[int, int], None]
Scores: TypeAlias = npt.NDArray[np.float32]
Codes: TypeAlias = npt.NDArray[np.int64]

_DATASET = "interactions"
_CELLS = 1 << 24  # scores held at once: 64 MB


@dataclass(frozen=True)
class _Encoded:
    """Interactions as integers; the code of an id is its position in sorted order."""

    users: pl.Series
    items: pl.Series
    rows: pl.DataFrame  # user i64, item i64, seconds f64


def export_top_k(
    interactions: pl.DataFrame,
    config: RecommenderConfig,
    *,
    seed: int,
    work_dir: Path,
    exclude_seen: bool = True,
    on_epoch: EpochHook | None = None,
) -> pl.DataFrame:
    """Trains `config.model` with RecBole and returns each user's top-K items.

    Runs on one CPU thread; the same interactions, settings and seed give the same result. Covers
    the users and items that have an interaction, but not users who have interacted with every item.

    Args:
        interactions: Columns `user_id, item_id, timestamp`, in any order.
        config: Model, its size and training, and the number of items per user.
        seed: Seed of RecBole's random generators.
        work_dir: Folder for RecBole's temporary files.
        exclude_seen: Leave out the items that a user has interacted with.
        on_epoch: Called with the number of finished epochs and their total.

    Returns:
        `user_id, item_id, score f32, rank i32`, by user and rank. Rank 1 is best; ties are broken
        by item id.

    Raises:
        ConfigError: `config.model` is not a general model of RecBole.
        InteractionError: There are no interactions, or every user has interacted with every item.
        TrainingError: RecBole failed; its own error is the cause.
    """
    model_class = _general_model(config.model)
    if interactions.is_empty():
        raise InteractionError(
            "there are no interactions to train the recommender on",
            remedy="Check the interactions file and the logical date",
        )
    encoded = _encode(_of_users_with_unseen_items(interactions))
    with sandbox(work_dir) as folder:
        _write_atomic_file(encoded.rows, folder)
        try:
            model, dataset = _train(model_class, config, seed, on_epoch)
            parts = [
                _top_k(scores, first, encoded, config.top_k, exclude_seen=exclude_seen)
                for first, scores in _score_batches(model, dataset, encoded)
            ]
        except OSError:  # a full disk is no fault of the recommender
            raise
        except Exception as error:
            raise TrainingError(
                f"RecBole's {config.model} failed: {type(error).__name__}: {error}",
                location=f"recommender.model = {config.model!r}",
                remedy="Try other recommender settings, or the default model BPR",
            ) from error
    return pl.concat(parts)


def _general_model(name: str) -> type[Any]:
    """Returns RecBole's model class of that name.

    Raises:
        ConfigError: There is none, or it is not a general model.
    """
    location = "recommender.model"
    model = recbole_model_class(name, location=location)
    if model.type not in (ModelType.GENERAL, ModelType.TRADITIONAL):
        raise ConfigError(
            f"{name} is a {model.type.name.lower()} model, and recommendations need a general one",
            location=location,
            remedy="Use a general model such as BPR, LightGCN or ItemKNN",
        )
    return model


def _of_users_with_unseen_items(interactions: pl.DataFrame) -> pl.DataFrame:
    """Leaves out users who have seen every item: RecBole has no negative to draw for them.

    Raises:
        InteractionError: No user is left.
    """
    rest = interactions
    while not rest.is_empty():
        items = rest["item_id"].n_unique()
        seen = pl.col("item_id").n_unique().over("user_id")
        kept = rest.filter(seen < items)
        if kept.height == rest.height:
            return rest
        rest = kept  # an item that only those users had is gone too
    raise InteractionError(
        "every user has interacted with every item, so there is nothing to recommend",
        remedy="Give interactions with more items, or recommendations of your own",
    )


def _encode(interactions: pl.DataFrame) -> _Encoded:
    users = interactions["user_id"].unique().sort()
    items = interactions["item_id"].unique().sort()
    rows = interactions.select(
        pl.col("user_id").replace_strict(users, pl.int_range(len(users), eager=True)).alias("user"),
        pl.col("item_id").replace_strict(items, pl.int_range(len(items), eager=True)).alias("item"),
        (pl.col("timestamp").dt.epoch("us") / 1e6).alias("seconds"),
    )
    # Sorted, because RecBole numbers users and items by first occurrence, and results depend on it.
    return _Encoded(users, items, rows.sort("user", "seconds", "item"))


def _write_atomic_file(rows: pl.DataFrame, folder: Path) -> None:
    """Writes RecBole's atomic file, with codes as tokens: ids may contain tabs or read as NA."""
    (folder / _DATASET).mkdir()
    named = {"user": "user_id:token", "item": "item_id:token", "seconds": "timestamp:float"}
    rows.rename(named).write_csv(folder / _DATASET / f"{_DATASET}.inter", separator="\t")


def _settings(config: RecommenderConfig, seed: int) -> dict[str, object]:
    return {
        "data_path": ".",
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "TIME_FIELD": "timestamp",
        "epochs": config.epochs,
        "embedding_size": config.embedding_size,
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "seed": seed,
        "reproducibility": True,
        "gpu_id": "",  # CPU: as fast for a small model, and reproducible everywhere
        "show_progress": False,
        # All rows are for training, but RecBole needs a complete split setting.
        "eval_args": {"split": {"RS": [1, 0, 0]}, "group_by": None, "order": "RO", "mode": "full"},
    }


def _train(
    model_class: type[Any], config: RecommenderConfig, seed: int, on_epoch: EpochHook | None
) -> tuple[torch.nn.Module, Any]:
    """Trains with RecBole's own steps, in its own order; returns the model and the data set."""
    settings = Config(model=config.model, dataset=_DATASET, config_dict=_settings(config, seed))
    init_seed(seed, settings["reproducibility"])
    dataset = create_dataset(settings)
    train_data, _, _ = data_preparation(settings, dataset)
    model = model_class(settings, train_data.dataset)
    trainer_class = get_trainer(settings["MODEL_TYPE"], settings["model"])
    trainer = _reporting(trainer_class, on_epoch)(settings, model)
    try:
        trainer.fit(train_data, valid_data=None, verbose=False, saved=False)
    finally:
        trainer.tensorboard.close()
    return model.eval(), dataset


def _reporting(trainer_class: type[Any], on_epoch: EpochHook | None) -> type[Any]:
    """Returns a trainer class that calls back after every epoch; RecBole's do after validation."""

    class ReportingTrainer(trainer_class):
        def _train_epoch(self, train_data: Any, epoch_idx: int, *args: Any, **kwargs: Any) -> Any:
            loss = super()._train_epoch(train_data, epoch_idx, *args, **kwargs)
            if on_epoch is not None:
                on_epoch(epoch_idx + 1, self.epochs)
            return loss

    return ReportingTrainer


def _score_batches(
    model: torch.nn.Module, dataset: Any, encoded: _Encoded
) -> Iterator[tuple[int, Scores]]:
    """Yields the first user code and scores float32 `[users, items]` in the order of codes."""
    users = _internal_ids(dataset, dataset.uid_field, len(encoded.users))
    items = _internal_ids(dataset, dataset.iid_field, len(encoded.items))
    step = max(1, _CELLS // dataset.item_num)
    for first in range(0, len(users), step):
        rows = Interaction({dataset.uid_field: users[first : first + step]})
        with torch.inference_mode():
            scores = score_all_items(model, rows, dataset.get_item_feature())
        by_code = scores[:, items].numpy().astype(np.float32)
        if np.isnan(by_code).any():
            raise FloatingPointError("scores are NaN")
        yield first, by_code


def _internal_ids(dataset: Any, field: str, count: int) -> torch.Tensor:
    """RecBole's internal id of each code, int64 `[count]`."""
    tokens = [str(code) for code in range(count)]
    return torch.as_tensor(dataset.token2id(field, tokens), dtype=torch.int64)


def _top_k(
    scores: Scores, first: int, encoded: _Encoded, k: int, *, exclude_seen: bool
) -> pl.DataFrame:
    """The top-K items of users `first, first + 1, ...`; overwrites the scores of seen items."""
    if exclude_seen:
        of_batch = encoded.rows.filter(pl.col("user").is_between(first, first + len(scores) - 1))
        scores[of_batch["user"].to_numpy() - first, of_batch["item"].to_numpy()] = -np.inf
    return top_k_rows(encoded.users.slice(first, len(scores)), encoded.items, scores, k)


def top_k_rows(user_ids: pl.Series, item_ids: pl.Series, scores: Scores, k: int) -> pl.DataFrame:
    """Returns the `k` best finite scores of each user as rows of `RECOMMENDATION_SCHEMA`.

    Args:
        user_ids: User of each row of `scores`.
        item_ids: Item of each column of `scores`; ties are broken by column.
        scores: float32 `[users, items]`.
        k: Items per user.
    """
    columns, best = best_columns(scores, k)
    n_users, width = columns.shape
    frame = pl.DataFrame(
        {
            "user_id": user_ids.gather(np.repeat(np.arange(n_users), width)),
            "item_id": item_ids.gather(columns.ravel()),
            "score": best.ravel(),
            "rank": np.tile(np.arange(1, width + 1), n_users),
        },
        schema_overrides=RECOMMENDATION_SCHEMA,
    )
    return frame.filter(pl.col("score").is_finite())


def tokens_of(dataset: Any, field: str, ids: npt.NDArray[np.int64]) -> pl.Series:
    """Returns the tokens of RecBole's internal ids of one field."""
    return pl.Series(dataset.id2token(field, ids), dtype=pl.String())


def best_columns(scores: Scores, k: int) -> tuple[Codes, Scores]:
    """Columns and values of each row's `k` best, best first; ties are broken by column."""
    k = min(k, scores.shape[1])
    last = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]  # the k-th best, [rows, 1]
    above, tied = scores > last, scores == last
    room = k - above.sum(axis=1, keepdims=True)
    chosen = above | (tied & (np.cumsum(tied, axis=1) <= room))
    columns = np.nonzero(chosen)[1].reshape(len(scores), k)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
