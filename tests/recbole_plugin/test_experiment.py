"""The experiment on a small world, and its statistics on known numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pigeon_rec.recbole_plugin.experiment import (
    Experiment,
    largest_difference,
    rank_base,
    rank_visual,
    recommended,
)
from pigeon_rec.recbole_plugin.report import Study, as_markdown, compare
from tests.recbole_plugin.world import LOOKS, N_USERS, write_world

SMALL = {"epochs": 4, "embedding_size": 8, "eval_step": 2, "pigeon_neighbours": 12}


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    data = write_world(tmp_path / "data")
    return Experiment(tmp_path / "out", data, "looks", {"BPR": SMALL})


def test_visuals_improve_the_rank_of_the_test_item(experiment: Experiment) -> None:
    base = rank_base(experiment, "BPR", 0)
    item = rank_visual(experiment, "BPR", 0, "item")
    assert base["user_id"].to_list() == item["user_id"].to_list()
    assert base.height == N_USERS
    assert item["weight"][0] > 0
    # Seen items are excluded: two of the ten items of a look remain, and the test is one of them.
    assert item["rank"].median() <= 3 < base["rank"].median()  # type: ignore[operator]


def test_weight_0_gives_the_ranks_of_the_trained_base(experiment: Experiment) -> None:
    base = rank_base(experiment, "BPR", 0)
    again = rank_visual(experiment, "BPR", 0, "none", pigeon_visual_weight=0.0)
    assert base["rank"].to_list() == again["rank"].to_list()


def test_finished_runs_are_not_repeated(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rank_base(experiment, "BPR", 0)
    monkeypatch.setattr("pigeon_rec.recbole_plugin.experiment.PigeonRecommender", None)
    assert rank_base(experiment, "BPR", 0).equals(first)
    with pytest.raises(TypeError):
        rank_base(experiment, "BPR", 1)


def test_recommendations_exclude_seen_items_but_not_the_test(experiment: Experiment) -> None:
    rank_base(experiment, "BPR", 0)
    top, test = recommended(experiment, "BPR", 0, 5)
    path = experiment.data_path / "looks" / "looks.inter"
    seen = pl.read_csv(path, separator="\t")
    seen = seen.rename({name: name.split(":")[0] for name in seen.columns})
    newest = seen.sort("timestamp").group_by("user_id").agg(pl.col("item_id").last())
    assert test.sort("user_id").equals(newest.sort("user_id"))
    older = seen.join(test, on=["user_id", "item_id"], how="anti")
    assert top.height == 5 * N_USERS
    assert top.join(older, on=["user_id", "item_id"], how="semi").is_empty()
    hits = top.filter(pl.col("rank") <= 2).join(test, on=["user_id", "item_id"], how="semi")
    assert hits.height > N_USERS // LOOKS


def test_without_item_vectors_wrapper_and_base_score_alike(experiment: Experiment) -> None:
    (experiment.data_path / "looks" / "looks.visual").unlink()
    assert largest_difference(experiment, "BPR", 0) == 0.0


def ranks(values: list[int], seed: int = 0) -> pl.DataFrame:
    users = [f"u{number}" for number in range(len(values))]
    return pl.DataFrame({"user_id": users, "rank": values, "seed": [seed] * len(values)})


def test_a_gain_for_every_user_is_significant() -> None:
    found = compare(
        pl.concat([ranks([4] * 50), ranks([5] * 50, 1)]),
        pl.concat([ranks([1] * 50), ranks([1] * 50, 1)]),
    )
    expected = 1.0 - (1 / np.log2(5) + 1 / np.log2(6)) / 2
    assert found.gain == pytest.approx(expected)
    assert found.low > 0
    assert found.p < 0.01
    assert found.seeds_above == 2


def test_gains_and_losses_that_cancel_are_not_significant() -> None:
    found = compare(ranks([1, 20] * 40), ranks([20, 1] * 40))
    assert found.gain == pytest.approx(0.0)
    assert found.low < 0 < found.high
    assert found.p > 0.5


def test_the_table_has_a_row_per_variant_with_results(tmp_path: Path) -> None:
    study = Study(tmp_path, ("BPR",), (0,))
    (tmp_path / "ranks").mkdir()
    (tmp_path / "ml-100k.json").write_text('{"BPR": 0.0}')
    ranks([2] * 10 + [11] * 10).write_parquet(study.stickers.ranks("BPR", 0, "base"))
    ranks([1] * 10 + [11] * 10).write_parquet(study.stickers.ranks("BPR", 0, "item"))
    lines = as_markdown(study).splitlines()
    assert lines[2] == "| BPR | base | 0.5000 | 0.3155 | 0.2500 |  |  |  |"
    assert lines[3].startswith("| BPR | + item visuals | 0.5000 | 0.5000 | 0.5000 | +0.1845 (")
    assert lines[3].endswith("| 1 of 1 |")
    assert not any("personalised" in line for line in lines)
    assert lines[-1] == "| BPR | 0 |"


def test_users_of_further_simulations_and_films_have_their_rows(tmp_path: Path) -> None:
    study = Study(tmp_path, ("BPR", "VBPR"), (0, 1), (7,), posters=True)
    (tmp_path / "ranks").mkdir()
    (tmp_path / "ml-100k.json").write_text('{"BPR": 0.0}')
    for seed in study.seeds:
        for world, rank in ((study.stickers, 1), (study.worlds[1], 3)):
            ranks([11] * 4).write_parquet(world.ranks("BPR", seed, "base"))
            ranks([rank] * 4).write_parquet(world.ranks("BPR", seed, "item"))
        ranks([2] * 4).write_parquet(study.stickers.ranks("BPR", seed, "personal"))
        ranks([1] * 6).write_parquet(study.films.ranks("VBPR", seed, "base"))
    assert [world.dataset for world in study.worlds] == ["stickers", "stickers-7"]
    rows = study.ranks("BPR", "item", study.worlds)
    assert rows is not None
    assert rows["user_id"].n_unique() == 8
    lines = as_markdown(study).splitlines()
    assert lines[3].startswith("| BPR | + item visuals | 1.0000 | 0.7500 | 0.6667 | +0.7500 (")
    # The night drew for the bundled users only.
    assert lines[4].startswith("| BPR | + personalised visuals and captions | 1.0000 | 0.6309 |")
    assert "| BPR | 0 |" in lines
    assert not any(line.startswith("| VBPR | 0") for line in lines)  # it needs vectors
    assert lines[-1] == "| VBPR | base | 1.0000 | 1.0000 | 1.0000 |  |  |  |"


def test_vbpr_is_ranked_as_a_base(experiment: Experiment) -> None:
    small = {"epochs": 3, "embedding_size": 8, "visual_size": 4, "pigeon_neighbours": 12}
    vbpr = Experiment(experiment.folder, experiment.data_path, "looks", {"VBPR": small})
    base = rank_base(vbpr, "VBPR", 0)
    item = rank_visual(vbpr, "VBPR", 0, "item")
    assert base.height == item.height == N_USERS


def test_ease_is_ranked_as_a_base(experiment: Experiment) -> None:
    base = rank_base(experiment, "EASE", 0)
    item = rank_visual(experiment, "EASE", 0, "item")
    assert base.height == item.height == N_USERS


def test_a_base_without_chance_is_trained_for_all_seeds_at_once(
    experiment: Experiment, tmp_path: Path
) -> None:
    base = rank_base(experiment, "EASE", 0)
    fresh = Experiment(tmp_path, experiment.data_path, experiment.dataset, experiment.overrides)
    assert rank_base(fresh, "EASE", 7).equals(base)  # trained anew, with another seed
    assert experiment.ranks("EASE", 7, "item") == experiment.ranks("EASE", 0, "item")
    assert experiment.checkpoint("BPR", 7) != experiment.checkpoint("BPR", 0)
