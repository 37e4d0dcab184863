"""Settings and data sets as RecBole's users have them, each of which used to fail or mislead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from recbole.config import Config
from recbole.data.interaction import Interaction
from recbole.model.general_recommender.neumf import NeuMF
from recbole.quick_start import run_recbole

from pigeon_rec.errors import ConfigError, ModelError
from pigeon_rec.recbole_plugin import PigeonRecommender, load_pigeon, run_pigeon_recbole
from pigeon_rec.recbole_plugin.checkpoints import SavedConfig, read_checkpoint
from pigeon_rec.recbole_plugin.histories import interactions_of
from pigeon_rec.recbole_plugin.todays_stack import dok_matrix_update
from tests.recbole_plugin.conftest import Build, Built
from tests.recbole_plugin.test_recommender import full_scores, trained
from tests.recbole_plugin.world import BASES, CONVENTIONS, N_ITEMS, settings

TRADITIONAL = ["ADMMSLIM", "AsymKNN", "EASE", "ItemKNN", "NCEPLRec", "Pop", "SLIMElastic"]


@pytest.mark.parametrize("base", TRADITIONAL)
def test_traditional_bases_run_with_checkpoints(base: str, looks: Path) -> None:
    given = settings(looks, base, pigeon_visual_weight=0)
    plain = {key: value for key, value in given.items() if not key.startswith("pigeon_")}
    own = run_recbole(model=base, dataset="looks", config_dict=plain, saved=False)
    ours = run_pigeon_recbole(base, "looks", config_dict=given)
    assert ours["test_result"] == own["test_result"]
    visual = run_pigeon_recbole(base, "looks", config_dict=settings(looks, base))
    assert visual["visuals"].value >= visual["visuals"].value_at_0


@pytest.mark.parametrize("base", ["SASRec", "GRU4Rec", "BERT4Rec"])
def test_sequential_bases_need_no_more_than_their_name(base: str, looks: Path) -> None:
    # As in the page on RecBole: cross-entropy, which is their default, takes no negative samples.
    given = {"data_path": str(looks), "pigeon_base_model": base}
    config = Config(model=PigeonRecommender, dataset="looks", config_dict=given)
    assert config["train_neg_sample_args"]["distribution"] == "none"
    assert config["loss_type"] == "CE"


def test_the_command_line_takes_a_sequential_base(pigeon: Any, looks: Path, tmp_path: Path) -> None:
    given = {**settings(looks, "BPR", epochs=1), "dataset": "looks"}
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(given), encoding="utf-8")
    found = pigeon("recbole", "run", "--config", config, "--base", "SASRec", "--json")
    assert found.code == 0, found.err
    summary = json.loads(found.out)
    assert summary["best_valid_score"] >= summary["valid_score_at_weight_0"]
    assert summary["visual_weight"] >= 0.0


def test_negative_samples_for_cross_entropy_are_refused(looks: Path) -> None:
    sampled = {"train_neg_sample_args": {"distribution": "uniform", "sample_num": 1}}
    given = settings(looks, "SASRec", **sampled, loss_type="CE")
    with pytest.raises(ConfigError, match=r"SASRec with loss_type CE .* takes no negative samples"):
        Config(model=PigeonRecommender, dataset="looks", config_dict=given)
    given = settings(looks, "SASRec", **sampled, loss_type="BPR")
    assert Config(model=PigeonRecommender, dataset="looks", config_dict=given)


@pytest.mark.parametrize("conventions", [{}, CONVENTIONS], ids=["found", "RecBole's settings"])
def test_all_columns_may_be_loaded(conventions: dict[str, Any], build: Build) -> None:
    built = build("BPR", **{**conventions, "load_col": None})
    assert bool(built.model.affinity.has_image[1:].all())


def benchmark_files(looks: Path) -> dict[str, Any]:
    """Writes the world as RecBole's benchmark files of sequences, with the target's timestamp."""
    header, *rows = (looks / "looks" / "looks.inter").read_text("utf-8").splitlines()
    assert header == "user_id:token\titem_id:token\ttimestamp:float"
    users: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        user, item, time = row.split("\t")
        users.setdefault(user, []).append((item, time))
    for name, end in (("train", -2), ("valid", -1), ("test", 0)):
        lines = ["user_id:token\titem_id_list:token_seq\titem_id:token\ttimestamp:float"]
        for user, visits in users.items():
            *before, (item, time) = visits[: len(visits) + end]
            lines.append(f"{user}\t{' '.join(old for old, _ in before)}\t{item}\t{time}")
        (looks / "looks" / f"looks.{name}.inter").write_text("\n".join(lines) + "\n", "utf-8")
    (looks / "looks" / "looks.inter").unlink()
    columns = ["user_id", "item_id_list", "item_id", "timestamp"]
    return {
        "benchmark_filename": ["train", "valid", "test"],
        "alias_of_item_id": ["item_id_list"],
        "load_col": {"inter": columns},
    }


def test_benchmark_files_of_sequences_with_a_timestamp(build: Build, looks: Path) -> None:
    built = trained(build, "SASRec", **benchmark_files(looks))
    assert 0.0 <= built.trainer.evaluate(built.test, load_best_model=False)["ndcg@10"] <= 1.0
    # All items of the sequences count as history, once and in their order.
    rows = interactions_of(built.train.dataset)
    assert rows.height == 24 * 7
    assert rows.select("user", "item").is_duplicated().any() is False
    user = built.dataset.field2id_token["user_id"][1]
    assert built.model.retrieve_history(user, "i01", 3).height == 3


@pytest.mark.parametrize("base", ["SASRec", "GRU4Rec"])
def test_a_sequence_alone_is_enough_to_predict(base: str, build: Build) -> None:
    built = build(base, pigeon_visual_weight=1.0)
    rows = next(iter(built.test))[0]
    model = built.model.eval()
    names = (model.ITEM_SEQ, model.ITEM_SEQ_LEN)
    alone = Interaction({name: rows[name] for name in names})
    with torch.no_grad():
        assert torch.equal(model.full_sort_predict(alone), model.full_sort_predict(rows))
        alone.update(Interaction({"item_id": rows["item_id"]}))
        assert torch.equal(model.predict(alone), model.predict(rows))


@pytest.mark.parametrize("converted", [False, True], ids=["features as written", "all files"])
def test_comma_separated_files_and_other_sequence_separators(
    converted: bool, build: Build, looks: Path
) -> None:
    expected = build("BPR").model.affinity.vectors
    suffixes = ["inter", "visual"] if converted else ["inter"]
    for suffix in suffixes:
        path = looks / "looks" / f"looks.{suffix}"
        text = path.read_text("utf-8").replace(" ", "|").replace("\t", ",")
        path.write_text(text, "utf-8")
    for more in ({}, CONVENTIONS) if converted else ({},):
        built = build("BPR", field_separator=",", seq_separator="|", **more)
        assert torch.equal(built.model.affinity.vectors, expected)


def test_ml_100k_takes_the_feature_file_of_the_users_own_folder(
    build: Build, tmp_path: Path
) -> None:
    folder = tmp_path / "dataset" / "ml-100k"
    folder.mkdir()
    rows = [f"{item}\t{item % 7} {item % 5} 1" for item in range(1, 1400)]
    text = "\n".join(["visual_item_id:token\tvisual_vector:float_seq", *rows]) + "\n"
    (folder / "ml-100k.visual").write_text(text, encoding="utf-8")
    built = build("BPR", dataset="ml-100k", pigeon_visual_weight=1.0)
    assert built.config["pigeon_features"] == str(folder / "ml-100k.visual")
    assert int(built.model.affinity.has_image.sum()) == 1399


def test_vectors_that_are_not_finite_do_not_reach_scores(build: Build, looks: Path) -> None:
    path = looks / "looks" / "looks.visual"
    header, *rows = path.read_text("utf-8").splitlines()
    broken = [row.split("\t")[0] + "\tnan 1 1 1 1 1 1 1" for row in rows[:9]]
    path.write_text("\n".join([header, *broken, *rows[9:]]) + "\n", "utf-8")
    sampled = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "uni20"}
    built = build("BPR", pigeon_visual_weight=1.0, eval_args=sampled)
    assert int(built.model.affinity.has_image.sum()) == N_ITEMS - 9
    with torch.no_grad():
        for batch in built.test:
            assert bool(torch.isfinite(built.model.predict(batch[0])).all())


def test_dynamic_negative_samples_are_drawn_by_the_base(build: Build) -> None:
    dynamic = {"distribution": "uniform", "sample_num": 1, "dynamic": True, "candidate_num": 5}
    own = trained(build, "BPR", wrapped=False, train_neg_sample_args=dynamic)
    for weight in (1.0, "learned"):
        more = {"train_neg_sample_args": dynamic, "pigeon_visual_weight": weight}
        state = trained(build, "BPR", **more).model.base.state_dict()
        assert all(torch.equal(state[name], value) for name, value in own.model.named_parameters())


def test_numpy_scalars_are_settings_and_can_be_saved(build: Build) -> None:
    # What tuners draw.
    built = build(
        "BPR",
        learning_rate=np.float32(0.01),
        embedding_size=np.int64(8),
        pigeon_visual_weight=np.float32(0.5),
        pigeon_neighbours=np.int64(7),
        shuffle=np.bool_(True),
        seed=np.int64(3),
    )
    assert built.model.settings.neighbours == 7
    built.trainer.fit(built.train, built.valid, verbose=False)
    again, _, _ = load_pigeon(built.trainer.saved_model_file)
    assert again.weight() == 0.5


def test_a_base_without_full_sort_holds_few_pairs(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = trained(build, "NeuMF", wrapped=False, eval_batch_size=2_000)
    expected = own.trainer.evaluate(own.test, load_best_model=False)
    alone = trained(build, "NeuMF", eval_batch_size=2_000, pigeon_visual_weight=0)
    sizes: list[int] = []
    predict = NeuMF.predict

    def counted(self: Any, interaction: Any) -> torch.Tensor:
        sizes.append(len(interaction))
        scores: torch.Tensor = predict(self, interaction)
        return scores

    monkeypatch.setattr(NeuMF, "predict", counted)
    assert alone.trainer.evaluate(alone.test, load_best_model=False) == expected
    scores = full_scores(alone)
    sizes.clear()
    alone.model.pairs = 100
    blocks = full_scores(alone)
    assert max(sizes) == 100
    torch.testing.assert_close(blocks, scores)
    visual = trained(build, "NeuMF", eval_batch_size=100)
    assert max(sizes) == 100
    assert 0.0 <= visual.trainer.evaluate(visual.test, load_best_model=False)["ndcg@10"] <= 1.0


def saved(build: Build, base: str, **more: Any) -> Built:
    built = build(base, **more)
    built.trainer.fit(built.train, built.valid, verbose=False)
    return built


def test_a_checkpoint_of_another_base_is_refused(build: Build) -> None:
    path = saved(build, "BPR").trainer.saved_model_file
    other = build("LightGCN")
    with pytest.raises(ModelError, match="of another base model: BPR, and this run has LightGCN"):
        other.trainer.resume_checkpoint(path)


def test_a_checkpoint_of_another_feature_file_is_refused(build: Build, looks: Path) -> None:
    built = saved(build, "BPR")
    features = looks / "looks" / "looks.visual"
    lines = features.read_text("utf-8").splitlines()
    features.write_text("\n".join([*lines[:-1], lines[-1].replace("0.", "0.1", 1)]) + "\n", "utf-8")
    with pytest.raises(
        ModelError, match=r"of another feature file: [0-9a-f]{64}, and this run has"
    ):
        load_pigeon(built.trainer.saved_model_file)
    with pytest.raises(ModelError, match="of another feature file"):
        build("BPR").trainer.resume_checkpoint(built.trainer.saved_model_file)
    features.write_text("\n".join(lines) + "\n", "utf-8")
    assert load_pigeon(built.trainer.saved_model_file)


def test_a_checkpoint_without_visuals_goes_with_any_feature_file(build: Build) -> None:
    path = saved(build, "BPR", pigeon_visual_weight=0).trainer.saved_model_file
    longer = build("BPR", epochs=3)
    longer.trainer.resume_checkpoint(path)
    longer.trainer.fit(longer.train, longer.valid, verbose=False)
    assert 2 in longer.trainer.train_loss_dict


def test_a_checkpoint_from_before_these_checks_is_read(build: Build) -> None:
    built = saved(build, "BPR", pigeon_visual_weight=1.5)
    path = built.trainer.saved_model_file
    state = read_checkpoint(path)
    del state["state_dict"]["_extra_state"]
    for key in ("pigeon_features", "pigeon_min_coverage"):
        del state["config"].final_config_dict[key]
    torch.save({**state, "config": SavedConfig(state["config"])}, path, pickle_protocol=2)
    again, _, _ = load_pigeon(path)
    assert again.affinity is not None
    assert torch.equal(again.affinity.vectors, built.model.affinity.vectors)
    assert again.weight() == 1.5


def test_pretrained_parts_may_be_checkpoints_of_the_wrapper(build: Build) -> None:
    size = {"mf_embedding_size": 8, "mlp_embedding_size": 8, "mlp_hidden_size": [8]}
    matrix = saved(build, "NeuMF", mlp_train=False, **size)
    layers = saved(build, "NeuMF", mf_train=False, **size)
    both = build(
        "NeuMF",
        use_pretrain=True,
        mf_pretrain_path=matrix.trainer.saved_model_file,
        mlp_pretrain_path=layers.trainer.saved_model_file,
        **size,
    )
    kept = torch.load(matrix.trainer.saved_model_file)["state_dict"]
    name = "base.user_mf_embedding.weight"
    assert torch.equal(both.model.base.user_mf_embedding.weight, kept[name])
    bpr = saved(build, "BPR", embedding_size=64).trainer.saved_model_file
    conv = build("ConvNCF", embedding_size=64, train_method="after_pretrain", pre_model_path=bpr)
    kept = torch.load(bpr)["state_dict"]["base.user_embedding.weight"]
    assert torch.equal(conv.model.base.user_embedding.weight, kept)


def test_pretrained_parts_of_plain_recbole_are_refused(build: Build) -> None:
    path = saved(build, "BPR", wrapped=False, embedding_size=64).trainer.saved_model_file
    with pytest.raises(ModelError, match=r"refuses the pretrained .*Pretrain .* with the wrapper"):
        build("ConvNCF", embedding_size=64, train_method="after_pretrain", pre_model_path=path)


@pytest.mark.parametrize("base", BASES)
def test_operations_are_counted_for_the_base_alone(
    base: str, looks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Any] = []
    module = "recbole.quick_start.quick_start"
    original = __import__(module, fromlist=["get_flops"]).get_flops

    def get_flops(model: Any, *args: Any, **kwargs: Any) -> Any:
        flops = original(model, *args, **kwargs)
        counted.append((type(model).__name__, flops))
        return flops

    monkeypatch.setattr(f"{module}.get_flops", get_flops)
    given = settings(looks, base, epochs=1)
    run_pigeon_recbole(base, "looks", config_dict=given)
    plain = {key: value for key, value in given.items() if not key.startswith("pigeon_")}
    with dok_matrix_update():
        run_recbole(model=base, dataset="looks", config_dict=plain, saved=False)
    assert counted == [("PigeonRecommender", counted[1][1]), (base, counted[1][1])]
