"""RecBole's full-sort evaluation with the visual affinity, compared with the base model alone.

2,000 users and 7,000 items with random interactions and vectors, whose values do not affect the
time. Base and wrapper share their parameters and RecBole's data, trainer and metrics, and are
evaluated in turns. The choice of the weight, done once per training, is measured separately, and so
is the first evaluation, which searches neighbourhoods and fills the cache of a general base.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result import Bar, Figure, Result, stopwatch, timed
from benchmarks.runner import main

__all__ = ["measure"]

_USERS, _ITEMS, _PER_USER, _DIM = 2000, 7000, 30, 128
_REPEATS = 3
_BAR = 1.3
_BASES: dict[str, dict[str, Any]] = {
    "BPR": {},
    "LightGCN": {},
    "SASRec": {"loss_type": "BPR"},
    "GRU4Rec": {"loss_type": "BPR"},
}
_SETTINGS: dict[str, Any] = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
    "gpu_id": "",
    "show_progress": False,
    "state": "ERROR",
}


def measure(folder: Path, scale: float) -> Result:
    """Evaluates the four bases; `scale` multiplies users and items."""
    from pigeon_rec.recbole_plugin.sandbox import sandbox

    folder = folder.resolve()
    users, items = max(40, int(_USERS * scale)), max(100, int(_ITEMS * scale))
    _write(folder, users, items)
    figures, bars = [], []
    with sandbox(folder / "work"):
        for base, settings in _BASES.items():
            alone, wrapped, once, first = _times(folder, base, settings)
            figures += [
                Figure(f"{base} alone", alone, "s"),
                Figure(f"{base} with visuals", wrapped, "s"),
                Figure(f"{base} with visuals, first time", first, "s"),
                Figure(f"{base}, once per training", once, "s", "choice of the weight"),
            ]
            bars.append(Bar(f"{base}: visuals / alone", wrapped / alone, _BAR, at_least=False))
    sys.stdout.flush()
    return Result(f"recbole: full sort of {users:,} users x {items:,} items", figures, bars)


def _times(folder: Path, base: str, settings: dict[str, Any]) -> tuple[float, float, float, float]:
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.trainer import Trainer

    from pigeon_rec.recbole_plugin import PigeonRecommender
    from pigeon_rec.recbole_plugin.validation import choose_weight

    given = {**_SETTINGS, **settings, "data_path": str(folder), "pigeon_base_model": base}
    config = Config(model=PigeonRecommender, dataset="random", config_dict=given)
    train, valid, test = data_preparation(config, create_dataset(config))
    model = PigeonRecommender(config, train.dataset).eval()
    model.visual_weight.fill_(0.5)  # random vectors would get weight 0, which skips the affinity
    trainers = [Trainer(config, part) for part in (model.base, model)]
    once: list[float] = []
    for trainer in trainers:
        trainer.eval_collector.data_collect(train)
        with stopwatch(once):
            trainer.evaluate(test, load_best_model=False)  # LightGCN caches its propagation
        trainer.tensorboard.close()
    with stopwatch(once):
        choose_weight(trainers[1], valid)
    model.visual_weight.fill_(0.5)
    alone, wrapped = timed(
        _REPEATS, *(lambda t=t: t.evaluate(test, load_best_model=False) for t in trainers)
    )
    return alone, wrapped, once[2], once[1]


def _write(folder: Path, users: int, items: int) -> None:
    """Writes a data set `random` in RecBole's atomic files, with every item interacted with."""
    rng = np.random.default_rng(0)
    home = folder / "random"
    home.mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    every = np.arange(items)
    for user in range(users):
        own = every[user::users]
        chosen = np.concatenate([own, rng.choice(items, _PER_USER, replace=False)])
        lines += [f"u{user}\ti{item}\t{place}" for place, item in enumerate(np.unique(chosen))]
    (home / "random.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = ["visual_item_id:token\tvisual_vector:float_seq"]
    vectors = rng.normal(size=(items, _DIM))
    rows += [f"i{i}\t" + " ".join(f"{x:.5g}" for x in row) for i, row in enumerate(vectors)]
    (home / "random.visual").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(measure)
