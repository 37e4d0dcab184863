"""RecBole on today's NumPy, pandas and SciPy, whichever are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation

from pigeon_rec.recbole_plugin import PigeonRecommender  # prepares RecBole
from pigeon_rec.recbole_plugin.todays_stack import numpy_1_names, prepare
from tests.recbole_plugin.conftest import Build
from tests.recbole_plugin.world import N_ITEMS, N_USERS, settings

NAMES = {"bool8", "complex_", "float_", "unicode_"}
NUMPY_2 = int(np.__version__[0]) >= 2


def present() -> set[str]:
    return NAMES & set(vars(np))


def test_numpys_names_are_there_only_while_recbole_needs_them(
    looks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = present()
    assert before == (set() if NUMPY_2 else NAMES - {"bool8"})
    with numpy_1_names():
        assert present() == NAMES
        assert vars(np)["float_"] is np.float64
    assert present() == before
    assert Config(model="BPR", dataset="looks", config_dict={"data_path": str(looks)})
    assert present() == before
    for name in before:  # as if this NumPy had removed them
        monkeypatch.delattr(np, name)
    with numpy_1_names():
        assert present() == NAMES
    assert present() == set()


def test_preparing_twice_changes_nothing() -> None:
    assert PigeonRecommender.__name__ == "PigeonRecommender"
    before = Config.compatibility_settings
    prepare()
    assert Config.compatibility_settings is before


@pytest.fixture
def gaps(looks: Path) -> Path:
    """The small world with features that have missing values and lists."""
    users = [f"u{user:02d}\t{'' if user % 3 else 30 + user}" for user in range(N_USERS)]
    rows = {"user": ["user_id:token\tage:float", *users]}
    items = [
        f"i{item:02d}\t{'' if item % 4 else f'c{item % 3} d'}\t{'' if item % 5 else '1 2 3'}"
        f"\t{'' if item % 2 else 'x'}"
        for item in range(N_ITEMS)
    ]
    header = "item_id:token\tclass:token_seq\tsizes:float_seq\tbrand:token"
    rows["item"] = [header, *items]
    for suffix, lines in rows.items():
        path = looks / "looks" / f"looks.{suffix}"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return looks


@pytest.mark.parametrize("normalised", [False, True])
def test_missing_values_are_filled(normalised: bool, gaps: Path) -> None:
    given = settings(gaps, "BPR", load_col=None, normalize_all=normalised)
    given = {key: value for key, value in given.items() if not key.startswith("pigeon_")}
    config = Config(model="BPR", dataset="looks", config_dict=given)
    dataset = create_dataset(config)
    data_preparation(config, dataset)
    users, items = dataset.get_user_feature(), dataset.get_item_feature()
    assert bool(torch.isfinite(users["age"]).all())
    known = [30.0 + user for user in range(N_USERS) if user % 3 == 0]
    if not normalised:
        mean = float(users["age"][dataset.token2id("user_id", "u01")])
        assert mean == pytest.approx(np.mean(known))
    brands = dataset.id2token("brand", items["brand"].numpy())
    by_token = dict(zip(dataset.field2id_token["item_id"], brands, strict=True))
    # An item without a brand has the padding.
    assert by_token["i00"] == "x"
    assert by_token["i01"] in {"[PAD]", "nan"}
    classes = dataset.field2id_token["class"][items["class"].numpy()]
    by_token = dict(zip(dataset.field2id_token["item_id"], classes.tolist(), strict=True))
    assert by_token["i04"] == ["c1", "d"]
    assert by_token["i05"] == ["[PAD]", "[PAD]"]
    sizes = items["sizes"][dataset.token2id("item_id", "i05")].tolist()
    assert sizes == ([0.0, 0.5, 1.0] if normalised else [1.0, 2.0, 3.0])


@pytest.mark.parametrize("base", ["SASRecF", "FDSA"])
def test_bases_with_lists_of_features_train(base: str, gaps: Path, build: Build) -> None:
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "class"]}
    more: dict[str, Any] = {"train_neg_sample_args": None, "selected_features": ["class"]}
    built = build(base, load_col=columns, **more)
    score, _ = built.trainer.fit(built.train, built.valid, verbose=False, saved=False)
    assert 0.0 <= score <= 1.0


def test_frames_of_others_are_pandas_own(gaps: Path, build: Build) -> None:
    build("BPR")
    frame = pd.DataFrame({"x": [[1], [1, 2]]})
    assert type(frame) is pd.DataFrame
    assert type(pd.read_csv(gaps / "looks" / "looks.inter", sep="\t")) is pd.DataFrame
