"""A small RecBole data set whose users choose by look: each prefers one of four image clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "BASES",
    "CONVENTIONS",
    "LOOKS",
    "N_ITEMS",
    "N_USERS",
    "settings",
    "vector_of",
    "write_world",
]

N_USERS, N_ITEMS, LOOKS, LENGTH = 24, 40, 4, 9
BASES: dict[str, dict[str, Any]] = {
    "BPR": {},
    "LightGCN": {},
    "SASRec": {"loss_type": "BPR", "hidden_size": 16, "inner_size": 16, "n_layers": 1},
    "GRU4Rec": {"train_neg_sample_args": None, "hidden_size": 16},  # full cross-entropy
}
"""The four bases, with settings for a small world."""

CONVENTIONS: dict[str, Any] = {
    "additional_feat_suffix": ["visual"],
    "alias_of_item_id": ["visual_item_id"],
    "preload_weight": {"visual_item_id": "visual_vector"},
    "load_col": {
        "inter": ["user_id", "item_id", "timestamp"],
        "visual": ["visual_item_id", "visual_vector"],
    },
}
"""RecBole's settings that load the item vectors."""


def vector_of(item: int) -> npt.NDArray[np.float64]:
    """A unit vector near the centre of the item's cluster."""
    rng = np.random.default_rng(item)
    vector = np.eye(8)[item % LOOKS] + rng.normal(0.0, 0.15, 8)
    unit: npt.NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit


def write_world(folder: Path, *, name: str = "looks", visual: bool = True) -> Path:
    """Writes `<folder>/<name>/<name>.inter` and optionally `.visual`; returns `folder`."""
    home = folder / name
    home.mkdir(parents=True)
    rng = np.random.default_rng(11)
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user in range(N_USERS):
        liked = np.arange(user % LOOKS, N_ITEMS, LOOKS)
        for place, item in enumerate(rng.permutation(liked)[:LENGTH]):
            lines.append(f"u{user:02d}\ti{item:02d}\t{86400 * (place + 1) + user}")
    (home / f"{name}.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if visual:
        rows = ["visual_item_id:token\tvisual_vector:float_seq"]
        rows += [
            f"i{item:02d}\t" + " ".join(f"{value:.6g}" for value in vector_of(item))
            for item in range(N_ITEMS)
        ]
        (home / f"{name}.visual").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def settings(folder: Path, base: Any, **more: Any) -> dict[str, Any]:
    """RecBole's `config_dict` for a quick run on the CPU."""
    return {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
        "gpu_id": "",
        "epochs": 2,
        "embedding_size": 16,
        "MAX_ITEM_LIST_LENGTH": 10,
        "show_progress": False,
        "state": "ERROR",
        "seed": 7,
        "pigeon_base_model": base,
        "pigeon_neighbours": 12,
        **BASES.get(base, {}),
        **more,
    }
