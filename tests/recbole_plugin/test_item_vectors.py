"""Item vectors never change which items there are, whatever RecBole's filters leave out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pigeon_rec.errors import ConfigError, InteractionError
from tests.recbole_plugin.conftest import Build
from tests.recbole_plugin.test_recommender import full_scores, trained
from tests.recbole_plugin.world import CONVENTIONS, N_ITEMS, write_world

FILTERS: dict[str, dict[str, Any]] = {
    "k-core": {"item_inter_num_interval": "[6,inf)", "user_inter_num_interval": "[3,inf)"},
    "values": {"val_interval": {"timestamp": "[0,259224]"}},
}


def without_the_file(looks: Path) -> str:
    """The name of the same data set without its feature file."""
    copy = write_world(looks, name="plain", visual=False)
    assert (copy / "plain" / "plain.inter").read_bytes() == (
        looks / "looks" / "looks.inter"
    ).read_bytes()
    return "plain"


@pytest.mark.parametrize("conventions", [{}, CONVENTIONS], ids=["found", "RecBole's settings"])
@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("base", ["BPR", "SASRec"])
def test_weight_0_with_filters_is_recbole_without_the_file(
    base: str, filters: str, conventions: dict[str, Any], build: Build, looks: Path
) -> None:
    plain = without_the_file(looks)
    own = trained(build, base, wrapped=False, dataset=plain, **FILTERS[filters])
    assert own.dataset.item_num < N_ITEMS
    ours = trained(build, base, pigeon_visual_weight=0, **FILTERS[filters], **conventions)
    assert ours.dataset.item_num == own.dataset.item_num
    assert torch.equal(full_scores(ours), full_scores(own))


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("base", ["BPR", "SASRec"])
def test_filtered_items_have_no_vector(base: str, filters: str, build: Build) -> None:
    built = build(base, pigeon_visual_weight=1.0, **FILTERS[filters])
    tokens = built.dataset.field2token_id["item_id"]
    interactions = {token for token in tokens if token != "[PAD]"}
    assert built.model.affinity.n_items == len(interactions) + 1 < N_ITEMS
    assert bool(built.model.affinity.has_image[1:].all())


def test_vectors_are_the_same_with_recboles_own_settings(build: Build) -> None:
    found = build("BPR", pigeon_visual_weight=1.0, **FILTERS["k-core"])
    loaded = build("BPR", pigeon_visual_weight=1.0, **FILTERS["k-core"], **CONVENTIONS)
    assert torch.equal(found.model.affinity.vectors, loaded.model.affinity.vectors)
    # A base that uses the vectors itself still gets RecBole's matrix.
    assert loaded.dataset.get_preload_weight("visual_item_id").shape == (
        found.dataset.item_num,
        found.model.affinity.vectors.shape[1],
    )


def test_the_file_of_another_data_set_is_refused(build: Build, looks: Path) -> None:
    path = looks / "looks" / "looks.visual"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    others = [f"movie{row}" for row in rows[3:]]
    path.write_text("\n".join([header, *rows[:3], *others]) + "\n", encoding="utf-8")
    with pytest.raises(InteractionError, match=r"cover 7.5% of the data set's items \(3 of 40"):
        build("BPR")
    few = build("BPR", pigeon_min_coverage=0.05)
    assert int(few.model.affinity.has_image.sum()) == 3
    assert build("BPR", pigeon_visual_weight=0).model.affinity is None


def test_recboles_normalisation_does_not_reach_the_vectors(build: Build) -> None:
    plain = build("BPR").model.affinity.vectors
    assert torch.equal(build("BPR", normalize_all=True).model.affinity.vectors, plain)


def test_the_file_may_be_anywhere(build: Build, looks: Path, tmp_path: Path) -> None:
    plain = without_the_file(looks)
    own = build("BPR").model.affinity.vectors
    path = looks / "looks" / "looks.visual"
    there = build("BPR", dataset=plain, pigeon_features=str(path))
    assert torch.equal(there.model.affinity.vectors, own)
    with pytest.raises(ConfigError, match=r"absent.visual\] does not exist.*pigeon_features"):
        build("BPR", pigeon_features=str(tmp_path / "absent.visual"))


def test_item_features_of_another_suffix_are_not_left_out_silently(
    build: Build, looks: Path
) -> None:
    path = looks / "looks" / "looks.visual"
    text = path.read_text(encoding="utf-8").replace("visual_", "pic_")
    path.with_suffix(".pics").write_text(text, encoding="utf-8")
    path.unlink()
    renamed = {
        "additional_feat_suffix": ["pics"],
        "alias_of_item_id": ["pic_item_id"],
        "preload_weight": {"pic_item_id": "pic_vector"},
        "load_col": {**CONVENTIONS["load_col"], "pics": ["pic_item_id", "pic_vector"]},
    }
    with pytest.raises(ConfigError, match=r"loads \[pics\].*Set pigeon_visual_suffix: pics"):
        build("BPR", **renamed)
    assert build("BPR", pigeon_visual_weight=0, **renamed).model.affinity is None
    named = {"pigeon_visual_suffix": "pics", "pigeon_visual_id_field": "pic_item_id"}
    assert build("BPR", **renamed, **named, pigeon_visual_field="pic_vector").model.affinity


@pytest.mark.parametrize(("broken", "refused"), [("i05\t1 2 x", True), ("i05", False), ("", False)])
def test_a_broken_file_is_named_where_recbole_reads_it(
    broken: str, refused: bool, build: Build, looks: Path
) -> None:
    path = looks / "looks" / "looks.visual"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    rows[5] = broken
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    assert int(build("BPR").model.affinity.has_image.sum()) == N_ITEMS - 1
    if refused:
        with pytest.raises(ConfigError, match=r"RecBole cannot read the feature files \[visual\]"):
            build("BPR", **CONVENTIONS)
    else:
        loaded = build("BPR", **CONVENTIONS).model.affinity
        assert int(loaded.has_image.sum()) == N_ITEMS - 1


def test_weights_to_preload_need_a_file(build: Build) -> None:
    with pytest.raises(ConfigError, match=r"preload_weight names \[visual_item_id\], but"):
        build("BPR", **{**CONVENTIONS, "additional_feat_suffix": None})


def test_vectors_are_found_beside_other_item_features(build: Build, looks: Path) -> None:
    text = "x_id:token\tx_vector:float_seq\n" + "".join(f"i{n:02d}\t1 2\n" for n in range(N_ITEMS))
    (looks / "looks" / "looks.extra").write_text(text, encoding="utf-8")
    built = build(
        "BPR",
        additional_feat_suffix="extra",
        alias_of_item_id=["x_id"],
        preload_weight={"x_id": "x_vector"},
        load_col={"inter": "*", "extra": "*"},
    )
    assert bool(built.model.affinity.has_image[1:].all())
