"""Memory of the RecBole wrapper on a large catalogue: 1,000,000 items and 1,000 users.

A run of RecBole's own steps: the data set and the item vectors are read, BPR is trained for an
epoch, and every user's test item is ranked among all items. The figure is the peak of the whole
process, RecBole and the base included. It takes minutes, so `make bench` leaves it out:
`python -m benchmarks.recbole_memory`.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result import Bar, Figure, Result, stopwatch

__all__ = ["large_catalogue"]

_ITEMS, _USERS, _PER_USER, _DIM = 1_000_000, 1_000, 20, 128
_BAR = 4.0
_ROWS = 10_000  # vectors written at once
_SETTINGS: dict[str, Any] = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id"]},
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
    "pigeon_base_model": "BPR",
    "pigeon_visual_weight": 0.5,
    "epochs": 1,
    "eval_step": 0,
    "gpu_id": "",
    "show_progress": False,
    "state": "ERROR",
}


def large_catalogue(folder: Path, scale: float) -> Result:
    """Ranks all items for all users; `scale` multiplies users and items."""
    from pigeon_rec.recbole_plugin.sandbox import sandbox

    folder = folder.resolve()
    items, users = max(200, int(_ITEMS * scale)), max(20, int(_USERS * scale))
    _write(folder / "large", items, users)
    seconds: list[float] = []
    with sandbox(folder / "work"):
        for step in _steps(folder):
            with stopwatch(seconds):
                step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    names = ("data set read and split", "vectors read, base made", "base trained", "ranked")
    return Result(
        f"recbole: {items:,} items x {users:,} users, vectors of {_DIM} numbers",
        [
            *(Figure(name, taken, "s") for name, taken in zip(names, seconds, strict=True)),
            Figure("peak memory of the process", peak, "GB"),
        ],
        [Bar("peak memory in GB", peak, _BAR, at_least=False)],
    )


def _steps(folder: Path) -> Iterator[Any]:
    """The steps of a run, each to be called before the next is asked for."""
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.trainer import Trainer

    from pigeon_rec.recbole_plugin import PigeonRecommender

    made: dict[str, Any] = {}
    given = {**_SETTINGS, "data_path": str(folder)}
    config = Config(model=PigeonRecommender, dataset="large", config_dict=given)

    def read() -> None:
        made["train"], _, made["test"] = data_preparation(config, create_dataset(config))

    def build() -> None:
        made["trainer"] = Trainer(config, PigeonRecommender(config, made["train"].dataset))

    yield read
    yield build
    yield lambda: made["trainer"].fit(made["train"], None, verbose=False, saved=False)
    yield lambda: made["trainer"].evaluate(made["test"], load_best_model=False)
    made["trainer"].tensorboard.close()


def _write(home: Path, items: int, users: int) -> None:
    """Writes a data set with all items in its `.item` file, and random vectors."""
    home.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with (home / "large.inter").open("w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for user in range(users):
            chosen = rng.choice(items, _PER_USER, replace=False)
            file.writelines(f"u{user}\ti{item}\t{place}\n" for place, item in enumerate(chosen))
    with (home / "large.item").open("w", encoding="utf-8") as file:
        file.write("item_id:token\n")
        file.writelines(f"i{item}\n" for item in range(items))
    with (home / "large.visual").open("w", encoding="utf-8") as file:
        file.write("visual_item_id:token\tvisual_vector:float_seq\n")
        for first in range(0, items, _ROWS):
            rows = rng.normal(size=(min(_ROWS, items - first), _DIM)).tolist()
            file.writelines(
                f"i{first + place}\t{' '.join(f'{value:.4g}' for value in row)}\n"
                for place, row in enumerate(rows)
            )


def main() -> None:
    """Prints the result."""
    parser = argparse.ArgumentParser(description="Memory of the RecBole wrapper.")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data (default: 1)")
    scale = parser.parse_args().scale
    with tempfile.TemporaryDirectory() as folder:
        print(large_catalogue(Path(folder), scale).table())


if __name__ == "__main__":
    main()
