"""The learned weight: chosen on validation data, and never worse there than the base alone."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.errors import ConfigError
from pigeon_rec.recbole_plugin import run_pigeon_recbole
from pigeon_rec.recbole_plugin.checkpoints import read_checkpoint
from pigeon_rec.recbole_plugin.validation import (
    RATIOS,
    WeightChoice,
    choices,
    choose_weight,
    smallest_good,
)
from tests.recbole_plugin.conftest import Build, Built
from tests.recbole_plugin.test_recommender import full_scores
from tests.recbole_plugin.world import BASES, N_ITEMS
from tests.recbole_plugin.world import settings as run_settings

# Bases whose scores differ in scale by orders of magnitude.
SCALES = ["EASE", "BPR", "ItemKNN", "SASRec"]
METRIC = {"valid_metric": "NDCG@10", "metric_decimal_place": 8}


def chosen(build: Build, base: str, **more: Any) -> tuple[Built, WeightChoice]:
    built = build(base, **METRIC, **more)
    with choices() as made:
        built.trainer.fit(built.train, built.valid, verbose=False, saved=False)
    return built, made[-1]


def metric_at(built: Built, weight: float) -> float:
    built.model.visual_weight.fill_(weight)
    result = built.trainer.evaluate(built.valid, load_best_model=False)
    return float(result["ndcg@10"])


def random_looks(looks: Path) -> None:
    path = looks / "looks" / "looks.visual"
    generator = torch.Generator().manual_seed(1)
    rows = [
        f"i{item:02d}\t" + " ".join(f"{x:.4f}" for x in torch.randn(8, generator=generator))
        for item in range(N_ITEMS)
    ]
    path.write_text("\n".join([path.read_text().splitlines()[0], *rows]) + "\n")


@pytest.mark.parametrize("base", SCALES)
def test_the_weight_is_that_of_recboles_own_validation(base: str, build: Build) -> None:
    built, choice = chosen(build, base)
    assert float(built.model.visual_weight) == pytest.approx(choice.weight)
    unit = choice.weight / choice.ratio if choice.ratio else 0.0
    values = [metric_at(built, ratio * unit) for ratio in RATIOS]
    assert choice.value_at_0 == pytest.approx(values[0])
    assert choice.value == pytest.approx(values[RATIOS.index(choice.ratio)])
    assert choice.value >= choice.value_at_0


@pytest.mark.parametrize("base", ["EASE", "BPR"])
def test_users_who_choose_by_looks_get_a_weight_that_helps(base: str, build: Build) -> None:
    built, choice = chosen(build, base, epochs=1)
    assert choice.ratio > 0.0
    assert choice.value > choice.value_at_0
    test = built.trainer.evaluate(built.test, load_best_model=False)["ndcg@10"]
    built.model.visual_weight.zero_()
    assert test >= built.trainer.evaluate(built.test, load_best_model=False)["ndcg@10"]


@pytest.mark.parametrize("base", SCALES)
def test_vectors_that_say_nothing_do_not_harm_on_validation(
    base: str, build: Build, looks: Path
) -> None:
    random_looks(looks)
    _, choice = chosen(build, base)
    assert choice.value >= choice.value_at_0
    assert choice.ratio <= 0.5


def test_the_ratio_is_one_of_spreads(build: Build) -> None:
    built = build("BPR", pigeon_visual_weight=1.0, **METRIC)
    built.model.learns_weight = True
    with torch.no_grad():  # a base that knows nothing, of a tiny scale
        for parameter in built.model.base.parameters():
            parameter.mul_(1e-3)
        choice = choose_weight(built.trainer, built.valid)
        scores = full_scores(built)
        base = built.model.base.full_sort_predict(next(iter(built.test))[0]).view(scores.shape)
    visual = (scores - base)[:, 1:].std(dim=1).median()
    assert float(visual / base[:, 1:].std(dim=1).median()) == pytest.approx(choice.ratio, rel=0.1)


@pytest.mark.parametrize("base", BASES)
def test_training_and_stopping_are_those_of_the_base_alone(
    base: str, build: Build, looks: Path
) -> None:
    more = {**METRIC, "epochs": 6, "stopping_step": 1, "learning_rate": 0.05}
    plain = build(base, wrapped=False, **more)
    score, _ = plain.trainer.fit(plain.train, plain.valid, verbose=False, saved=False)
    built = build(base, **more)
    built.trainer.fit(built.train, built.valid, verbose=False)
    assert built.trainer.best_valid_score == score
    assert built.trainer.train_loss_dict == plain.trainer.train_loss_dict
    own = plain.model.state_dict()
    state = built.model.base.state_dict()
    assert all(torch.equal(own[name], state[name]) for name in own)


def test_the_checkpoint_of_the_best_epoch_has_its_own_weight(build: Build) -> None:
    built = build("BPR", **METRIC, epochs=5, learning_rate=0.05)
    with choices() as made:
        score, result = built.trainer.fit(built.train, built.valid, verbose=False)
    state = read_checkpoint(built.trainer.saved_model_file)
    assert float(state["state_dict"]["visual_weight"]) == pytest.approx(made[0].weight)
    assert (score, result) == (made[0].value, made[0].result)
    found = built.trainer.evaluate(built.valid)  # the best epoch, as RecBole's default is
    assert found["ndcg@10"] == pytest.approx(made[0].value)


def test_the_choice_is_logged(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        _, choice = chosen(build, "BPR")
    expected = f"Visuals: {choice}"
    assert expected in [record.getMessage() for record in caplog.records]
    assert f"{choice.weight:.4g}" in expected
    assert f"ndcg@10 {choice.value:.4f}, {choice.value_at_0:.4f} at weight 0" in expected


def test_without_validation_data_the_weight_is_0(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    built = build("BPR")
    with caplog.at_level(logging.WARNING):
        built.trainer.fit(built.train, None, verbose=False, saved=False)
    assert built.model.weight() == 0.0
    assert "without validation data the weight of the visuals is 0" in caplog.text


def test_a_fixed_weight_is_kept(build: Build) -> None:
    built = build("BPR", pigeon_visual_weight=0.25)
    with choices() as made:
        built.trainer.fit(built.train, built.valid, verbose=False, saved=False)
    assert made == []
    assert built.model.weight() == 0.25


@pytest.mark.parametrize(
    ("mode", "metrics", "metric"),
    [
        ("uni20", ["NDCG", "MRR"], "MRR@10"),
        ("pop20", ["Recall"], "Recall@10"),
        ("full", ["GAUC"], "GAUC"),
    ],
)
def test_any_metric_and_mode_of_recbole_can_validate(
    mode: str, metrics: list[str], metric: str, build: Build
) -> None:
    split = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": mode}
    built = build("BPR", eval_args=split, metrics=metrics, valid_metric=metric)
    with choices() as made:
        built.trainer.fit(built.train, built.valid, verbose=False, saved=False)
    gain = made[0].value - made[0].value_at_0
    assert gain >= 0 if built.config["valid_metric_bigger"] else gain <= 0


def test_the_choice_draws_no_random_numbers(build: Build) -> None:
    split = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "uni20"}
    results = []
    for weight in (0.0, "learned"):
        built = build("BPR", eval_args=split, pigeon_visual_weight=weight)
        built.trainer.fit(built.train, built.valid, verbose=False, saved=False)
        built.model.visual_weight.zero_()
        results.append(built.trainer.evaluate(built.test, load_best_model=False))
    assert results[0] == results[1]  # on the same sampled negatives


def test_several_processes_cannot_learn_a_weight(build: Build) -> None:
    built = build("BPR")
    built.config["single_spec"] = False
    with pytest.raises(ConfigError, match="cannot be learned in a run of several processes"):
        built.trainer.fit(built.train, built.valid)


def test_the_quick_start_reports_the_choice(looks: Path) -> None:
    given = run_settings(looks, "BPR", **METRIC)
    result = run_pigeon_recbole("BPR", "looks", config_dict=given)
    choice = result["visuals"]
    assert choice.value == result["best_valid_score"] >= choice.value_at_0
    fixed = run_pigeon_recbole("BPR", "looks", config_dict={**given, "pigeon_visual_weight": 1})
    assert fixed["visuals"] is None


def test_the_smallest_weight_within_one_standard_error_is_chosen() -> None:
    groups = np.random.default_rng(0).normal(size=400)
    noise = np.random.default_rng(1).normal(size=400)
    # Clearly worse, then two that are nearly equal, of which the second is best by chance.
    alike = np.stack([groups - 1.0, groups, groups + 1e-3 * np.sign(noise) + 1e-5, groups - 0.5])
    assert smallest_good(alike.mean(axis=1), alike) == 1
    # A small gain, but in every group.
    steady = np.stack([groups, groups, groups + 1e-3])
    assert smallest_good(steady.mean(axis=1), steady) == 2
    assert smallest_good(np.zeros(1), np.zeros((1, 3))) == 0


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 30))
def test_a_chosen_weight_is_never_worse_than_0(seed: int, weights: int, groups: int) -> None:
    values = np.random.default_rng(seed).normal(size=(weights, groups)).round(1)
    overall = values.mean(axis=1)
    place = smallest_good(overall, values)
    assert overall[place] >= overall[0]
    if groups == 1:
        assert overall[place] == overall.max()
