"""Recommendations from real RecBole runs on a small data set with two tastes."""

from __future__ import annotations

import datetime as dt
import logging
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pigeon_rec.config import RecommenderConfig
from pigeon_rec.data.recommendations import RECOMMENDATION_SCHEMA
from pigeon_rec.errors import ConfigError, InteractionError, TrainingError
from pigeon_rec.recbole_plugin.top_k import best_columns, export_top_k

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
# Ids that a text file may not preserve: a missing value, a tab, a number.
ODD = {"u00": "NA", "u01": "tab\there", "u02": "7"}


def two_tastes(n_users: int = 24, n_items: int = 30) -> pl.DataFrame:
    """Even users interact with even items, odd users with odd items."""
    rng = np.random.default_rng(5)
    rows = []
    for user in range(n_users):
        items = rng.choice(np.arange(user % 2, n_items, 2), 10, replace=False)
        name = ODD.get(f"u{user:02d}", f"u{user:02d}")
        rows += [(name, f"i{item:02d}", START + dt.timedelta(hours=int(item))) for item in items]
    return pl.DataFrame(
        rows,
        schema={
            "user_id": pl.String(),
            "item_id": pl.String(),
            "timestamp": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )


def small(model: str = "BPR", **settings: int | float) -> RecommenderConfig:
    defaults = {"epochs": 25, "embedding_size": 8, "learning_rate": 0.05, "top_k": 4}
    return RecommenderConfig.model_validate({"model": model, **defaults, **settings})


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., pl.DataFrame]:
    def run(
        config: RecommenderConfig | None = None, seed: int = 3, **kwargs: object
    ) -> pl.DataFrame:
        given_rows = kwargs.pop("interactions", None)
        rows = given_rows if isinstance(given_rows, pl.DataFrame) else two_tastes()
        return export_top_k(
            rows,
            config or small(),
            seed=seed,
            work_dir=tmp_path / "recbole",
            **kwargs,  # type: ignore[arg-type]
        )

    return run


def test_users_get_unseen_items_of_their_taste(train: Callable[..., pl.DataFrame]) -> None:
    seen = two_tastes()
    top = train()
    assert top.schema == RECOMMENDATION_SCHEMA
    assert top.join(seen, on=["user_id", "item_id"], how="semi").is_empty()
    assert set(top["user_id"]) == set(seen["user_id"])
    assert (
        top.group_by("user_id").agg(pl.col("rank").sort())["rank"].to_list() == [[1, 2, 3, 4]] * 24
    )
    assert top.equals(top.sort("user_id", "rank"))
    parity = seen.group_by("user_id").agg(
        pl.col("item_id").str.slice(1).cast(pl.Int32()).mod(2).first()
    )
    parity = parity.rename({"item_id": "taste"})
    suits = top.join(parity, on="user_id").select(
        pl.col("item_id").str.slice(1).cast(pl.Int32()).mod(2) == pl.col("taste")
    )
    assert suits.to_series().mean() > 0.9  # type: ignore[operator]


def test_users_who_have_seen_everything_get_nothing(train: Callable[..., pl.DataFrame]) -> None:
    seen = two_tastes()
    every = (
        seen.select("item_id", "timestamp")
        .unique("item_id")
        .select(pl.lit("all").alias("user_id"), "item_id", "timestamp")
    )
    # Only `all` knows `rare`, so `most` has seen everything once `all` is left out.
    rare = every.head(1).with_columns(item_id=pl.lit("rare"))
    most = every.with_columns(user_id=pl.lit("most"))
    top = train(interactions=pl.concat([seen, every, rare, most]))
    assert set(top["user_id"]) == set(seen["user_id"])
    assert top.equals(train())
    with pytest.raises(InteractionError, match="every user has interacted with every item"):
        train(interactions=pl.concat([every, most]))


def test_scores_fall_with_rank(train: Callable[..., pl.DataFrame]) -> None:
    falls = train().select(pl.col("score").diff().over("user_id")).to_series().drop_nulls()
    assert (falls <= 0).all()


def test_the_result_depends_on_the_seed_but_not_on_the_order_of_rows(
    train: Callable[..., pl.DataFrame],
) -> None:
    one = train()
    shuffled = two_tastes().sample(fraction=1.0, shuffle=True, seed=1)
    assert one.equals(train(interactions=shuffled))
    assert not one.equals(train(seed=4))


def test_seen_items_can_be_included(train: Callable[..., pl.DataFrame]) -> None:
    seen = two_tastes()
    top = train(exclude_seen=False)
    assert top.join(seen, on=["user_id", "item_id"], how="semi").height > top.height // 2


def test_a_user_with_two_unseen_items_gets_two(train: Callable[..., pl.DataFrame]) -> None:
    rows = two_tastes()
    items = rows["item_id"].unique().sort()
    greedy = pl.DataFrame({"user_id": ["greedy"] * 28, "item_id": items[:28]}).with_columns(
        pl.lit(START).alias("timestamp").cast(pl.Datetime("us", "UTC"))
    )
    top = train(interactions=pl.concat([rows, greedy]))
    assert sorted(top.filter(pl.col("user_id") == "greedy")["item_id"]) == items[28:].to_list()


@pytest.mark.parametrize("model", ["LightGCN", "NeuMF", "Pop", "ItemKNN", "MultiVAE"])
def test_other_general_models_run(model: str, train: Callable[..., pl.DataFrame]) -> None:
    top = train(small(model, epochs=2))
    assert top["user_id"].n_unique() == 24
    assert top["rank"].max() == 4
    assert top["score"].is_finite().all()


def test_epochs_are_reported(train: Callable[..., pl.DataFrame]) -> None:
    epochs: list[tuple[int, int]] = []
    train(small(epochs=3), on_epoch=lambda done, total: epochs.append((done, total)))
    assert epochs == [(1, 3), (2, 3), (3, 3)]


def process_state() -> list[object]:
    """Process state that RecBole changes, besides the current folder and the environment."""
    numpy_words = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    return [
        random.getstate(),
        numpy_words,
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.is_anomaly_enabled(),
        set(vars(np)),
        logging.getLogger().level,
    ]


def test_process_state_and_files_are_restored(
    train: Callable[..., pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prog", "--epochs=1", "--embedding_size=1"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    before = process_state()
    epochs: list[int] = []
    train(small(epochs=2), on_epoch=lambda _, total: epochs.append(total))
    assert epochs == [2, 2]  # the command line of the host program was not read
    assert process_state() == before
    assert Path.cwd() == tmp_path
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["recbole"]


def test_no_pickle_is_ever_loaded(
    train: Callable[..., pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The file that RecBole would load as a data set, in the folder where it looks.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "interactions-Dataset.pth").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")

    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("a pickle was loaded")

    monkeypatch.setattr("recbole.data.utils.pickle.load", refuse)
    monkeypatch.setattr("torch.load", refuse)
    assert train(small(epochs=1)).height == 24 * 4


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("LihgtGCN", r"no model 'LihgtGCN' \[recommender.model\]. Did you mean RecBole's LightGCN"),
        ("bpr", "no model 'bpr'.*Did you mean RecBole's BPR"),
        ("os.path", "no model 'os.path'"),
        ("", "no model ''"),
        ("SASRec", "SASRec is a sequential model"),
        ("FM", "FM is a context model"),
    ],
)
def test_models_that_cannot_recommend_are_refused(
    model: str, message: str, train: Callable[..., pl.DataFrame]
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(small(model))


def test_looking_up_a_model_does_not_change_autograd(
    train: Callable[..., pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    # SINE's module turns anomaly detection on when it is imported: import it again.
    for name in [name for name in sys.modules if name.startswith("recbole.model.sequential_")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match="SASRec is a sequential model"):
        train(small("SASRec"))
    assert "recbole.model.sequential_recommender.sine" in sys.modules
    assert not torch.is_anomaly_enabled()


def test_errors_of_recbole_name_the_model(train: Callable[..., pl.DataFrame]) -> None:
    diverging = small(learning_rate=1e38)
    with pytest.raises(TrainingError, match=r"RecBole's BPR failed.*recommender.model = 'BPR'"):
        train(diverging)


def test_no_interactions_are_an_error(train: Callable[..., pl.DataFrame]) -> None:
    with pytest.raises(InteractionError, match="no interactions"):
        train(interactions=two_tastes().clear())


@given(
    scores=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]),
    ),
    k=st.integers(1, 9),
)
def test_top_k_equals_a_stable_sort(
    scores: np.ndarray[tuple[int, ...], np.dtype[np.float32]], k: int
) -> None:
    columns, values = best_columns(scores, k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert np.array_equal(columns, expected)
    assert np.array_equal(values, np.take_along_axis(scores, expected, axis=1))
