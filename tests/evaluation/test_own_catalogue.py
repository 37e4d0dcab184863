"""Cases, judges and metrics of a catalogue of one's own, with and without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.dataset import Dataset, load_dataset
from pigeon_rec.data.settings import DataSettings
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.cases import CASE_SCHEMA, LONG, cases_of
from pigeon_rec.evaluation.data import describe, left_out_curves, not_measurable
from pigeon_rec.evaluation.encoders import JudgeEncoder
from pigeon_rec.evaluation.fit import fit_judges, fitted_judges
from pigeon_rec.evaluation.judge_accuracy import held_out_accuracy
from pigeon_rec.evaluation.judges import Judges
from pigeon_rec.evaluation.measure import METRICS, MetricSuite
from pigeon_rec.evaluation.settings import EvaluationSettings
from tests.shapes import Shapes, write_shapes

SIDE, STEPS = 24, 40
COLUMNS = {"both": ("style", "concept"), "style": ("style",), "concept": ("concept",), "none": ()}


class Thumbnails:
    """A scorer that sees pictures as 4x4 thumbnails."""

    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        count, side = len(images), images.shape[1]
        blocks = images.reshape(count, 4, side // 4, 4, side // 4, 3).mean((2, 4))
        flat = blocks.reshape(count, 48).astype(np.float32) - 128.5
        vectors: NDArray[np.float32] = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return vectors


def load(shapes: Shapes, **settings: str | None) -> Dataset:
    files = {"catalogue": str(shapes.catalogue), "interactions": str(shapes.interactions)}
    return load_dataset(DataSettings.model_validate({**files, **settings}))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Dataset]:
    """The shapes with each choice of columns."""
    return {
        name: load(write_shapes(tmp_path_factory.mktemp(name), columns=columns, users=24))
        for name, columns in COLUMNS.items()
    }


def cases(data: Dataset, count: int = 500, seed: int = 0) -> pl.DataFrame:
    return cases_of(data, count, seed, Thumbnails(), SIDE)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_case_is_about_something_held_out(data: Mapping[str, Dataset], name: str) -> None:
    found = cases(data[name])
    held_out = set(data[name].held_out_items()["item_id"])
    assert found.select(CASE_SCHEMA.names()).schema == CASE_SCHEMA
    about = found.select(pl.coalesce("truth_id", "reference_id")).to_series()
    assert 5 < found.height <= len(held_out)
    assert set(about) <= held_out
    assert about.n_unique() == found["case_id"].n_unique() == found.height
    lists = ("retrieved_ids", "recent_ids", "random_ids")
    owned = dict(data[name].interactions.group_by("user_id").agg("item_id").iter_rows())
    for case in found.to_dicts():
        for column in lists:
            assert set(case[column]) <= set(owned[case["user_id"]]) - held_out
            assert len(case[column]) == len(set(case[column])) == len(found["retrieved_ids"][0])
        assert case["history_ids"] == case["retrieved_ids"][:5]
    few = cases(data[name], 4).select(CASE_SCHEMA.names())
    assert few.equals(found.select(CASE_SCHEMA.names()).head(4))


def test_pairs_have_a_truth_in_the_users_style(data: Mapping[str, Dataset]) -> None:
    shapes = data["both"]
    label = {row["item_id"]: row for row in shapes.items.to_dicts()}
    tastes = dict(shapes.case_users().tastes.select("user_id", "preferred_style").iter_rows())
    found = cases(shapes)
    assert found["truth_id"].null_count() == 0
    for case in found.to_dicts():
        truth, reference = label[case["truth_id"]], label[case["reference_id"]]
        assert truth["style"] == case["style"] == tastes[case["user_id"]]
        assert truth["concept"] == reference["concept"] == case["concept"]
        assert reference["style"] != case["style"]
        assert not reference["held_out"]


@pytest.mark.parametrize("name", ["style", "concept", "none"])
def test_otherwise_the_reference_is_what_is_held_out_and_no_truth_is_known(
    data: Mapping[str, Dataset], name: str
) -> None:
    found, shapes = cases(data[name]), data[name]
    assert found["truth_id"].null_count() == found.height
    chosen = set(shapes.interactions.select("user_id", "item_id").rows())
    pairs = found.select("user_id", "reference_id").rows()
    style = dict(shapes.items.select("item_id", "style").iter_rows())
    if name == "style":
        assert all(case["style"] != style[case["reference_id"]] for case in found.to_dicts())
        assert found["style"].null_count() == 0
    else:
        assert set(pairs) <= chosen
        assert found["style"].null_count() == found.height
    assert found["concept"].null_count() == (0 if name == "concept" else found.height)


def test_strangers_are_not_the_users(data: Mapping[str, Dataset]) -> None:
    owned = dict(data["none"].interactions.group_by("user_id").agg("item_id").iter_rows())
    for case in cases(data["none"]).to_dicts():
        assert len(case["noise_ids"]) == len(case["retrieved_ids"])
        assert not set(case["noise_ids"]) & set(owned[case["user_id"]])


def test_users_with_few_items_shorten_every_history_alike(tmp_path: Path) -> None:
    shapes = write_shapes(tmp_path, columns=(), users=6)
    few = load(shapes)
    rows = pl.read_parquet(shapes.interactions).group_by("user_id").tail(8)
    rows.write_parquet(shapes.interactions)
    found = cases(load(shapes))
    lengths = found.select(pl.col("retrieved_ids", "recent_ids", "random_ids").list.len())
    assert set(lengths.row(0)) < set(range(5, LONG))
    assert lengths.unique().height == 1
    assert cases(few).height > 0


def test_pictures_that_cannot_be_used_are_in_no_case(tmp_path: Path) -> None:
    shapes = write_shapes(tmp_path, columns=(), users=24)
    before = cases(load(shapes))
    lost = {before["reference_id"][0], before["retrieved_ids"][1][0]}
    for item in lost:
        (tmp_path / "pictures" / f"{int(item):03d}.png").write_bytes(b"lost")
    after = cases(load(shapes))
    assert 0 < after.height < before.height
    used = pl.concat([after["reference_id"], *(after[name].explode() for name in
                      ("retrieved_ids", "recent_ids", "random_ids"))])  # fmt: skip
    assert not lost & set(used)


def test_a_catalogue_without_a_case_is_refused(tmp_path: Path) -> None:
    shapes = write_shapes(tmp_path, columns=())
    rows = pl.read_parquet(shapes.interactions).group_by("user_id").head(3)
    rows.write_parquet(shapes.interactions)
    with pytest.raises(ConfigError, match="there is no case"):
        cases(load(shapes))


@pytest.fixture(scope="module")
def judges(
    data: Mapping[str, Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Judges]:
    """Judges of each choice of columns; only those with all or no columns have learned much."""
    return {
        name: fitted_judges(
            data[name], SIDE, None, tmp_path_factory.mktemp(name),
            steps=STEPS if name in ("both", "none") else 1,
        )
        for name in COLUMNS
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("both", ["style", "concept"]), ("style", ["style", "item"]),
     ("concept", ["concept"]), ("none", ["item"])],
)  # fmt: skip
def test_columns_decide_which_judges_there_are(
    judges: Mapping[str, Judges], name: str, kinds: list[str]
) -> None:
    found = judges[name].by_kind()
    assert list(found) == kinds
    assert all(judge.image_size == SIDE for judge in found.values())
    if "style" in found:
        assert found["style"].classes == ("flat", "line", "pale")
    if "concept" in found:
        assert len(found["concept"].classes) == 24
    if "item" in found:
        assert len(found["item"].classes) == 72


def test_no_judge_is_trained_on_what_is_held_out(
    data: Mapping[str, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[str] = set()
    images = Catalogue.images

    def recorded(catalogue: Catalogue, item_ids: Sequence[str], *size: Any) -> Any:
        read.update(item_ids)
        return images(catalogue, item_ids, *size)

    monkeypatch.setattr(Catalogue, "images", recorded)
    judges = fit_judges(data["none"], SIDE, None, steps=1)
    assert read == set(data["none"].training_items()["item_id"])
    assert judges.item is not None
    assert set(judges.item.classes) == read


def test_judges_are_fitted_once_for_the_same_data(
    data: Mapping[str, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[Dataset] = []
    fit = fit_judges

    def counted(given: Dataset, *arguments: Any, **named: Any) -> Judges:
        fits.append(given)
        return fit(given, *arguments, **named)

    monkeypatch.setattr("pigeon_rec.evaluation.fit.fit_judges", counted)
    for name in ("none", "none", "style"):
        found = fitted_judges(data[name], SIDE, None, tmp_path, steps=1)
        assert found.item is not None
        assert set(data[name].held_out_items()["item_id"]) <= set(found.item.classes)
    assert fits == [data["none"], data["style"]]


def test_judges_say_how_accurate_they_are_and_what_means_little(
    data: Mapping[str, Dataset], judges: Mapping[str, Judges]
) -> None:
    accuracy = held_out_accuracy(judges["both"], None, data["both"])
    assert accuracy.pictures == data["both"].held_out_items().height
    assert [version.artwork for version in accuracy.accuracy] == ["real", "jpeg_75", "jpeg_60",
                                                                  "blur"]  # fmt: skip
    assert accuracy.choices == {"style": 3, "concept": 24}
    real = accuracy.accuracy[0]
    assert real.style is not None
    assert real.style > 0.6
    assert real.item is None
    assert "styles and concepts is measured on 18 pictures" in accuracy.warnings[0]
    of_items = held_out_accuracy(judges["none"], None, data["none"])
    assert of_items.accuracy[0].item == 1.0
    assert of_items.accuracy[0].style is None
    warnings = held_out_accuracy(judges["concept"], None, data["concept"]).warnings
    assert any("concept judge is right in" in warning for warning in warnings)


def test_what_cannot_be_measured_is_named_with_its_reason(
    data: Mapping[str, Dataset], judges: Mapping[str, Judges]
) -> None:
    missing = {name: not_measurable(data[name], judges[name], cases(data[name])) for name in data}
    truth = {"cis", "jis", "eis", "lpips", "ms_ssim", "truth", "truth_round_trip"}
    assert missing["both"] == {}
    assert set(missing["style"]) == {"concept_hit", "both_hit", *truth}
    assert set(missing["concept"]) == {"style_hit", "both_hit", *truth}
    assert set(missing["none"]) == {"style_hit", "concept_hit", "both_hit", *truth}
    assert missing["none"]["style_hit"] == "the catalogue has no column `style`"
    assert missing["none"]["cis"].startswith("the right picture is not known: ")


def test_the_page_says_what_the_cases_are(data: Mapping[str, Dataset]) -> None:
    texts = {name: describe(data[name], cases(data[name])) for name in data}
    assert "held-out (concept, style) pairs" in texts["both"]
    assert "item's own picture in a style that the user does not prefer" in texts["style"]
    assert "The reference is the item's own picture; no truth is known" in texts["none"]


def test_curves_need_strangers(data: Mapping[str, Dataset]) -> None:
    settings = EvaluationSettings(curves=("noise", "mask_ratio"))
    found = cases(data["none"])
    assert left_out_curves(settings, found) == {}
    few = found.with_columns(pl.col("noise_ids").list.head(2))
    assert set(left_out_curves(settings, few)) == {"noise"}


class Known:
    """Catalogue items with their pictures."""

    def __init__(self, data: Dataset, item_ids: list[str]) -> None:
        self.item_ids = item_ids
        self.images, _ = data.catalogue.images(item_ids, SIDE)

    def rows(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        return np.array([self.item_ids.index(item) for item in item_ids], dtype=np.int64)


@pytest.fixture(scope="module")
def measured(
    data: Mapping[str, Dataset], judges: Mapping[str, Judges]
) -> Callable[[str], tuple[MetricSuite, pl.DataFrame]]:
    """A suite of the judges for the cases of some columns; texts are the pictures' own vectors."""

    def made(name: str) -> tuple[MetricSuite, pl.DataFrame]:
        shapes, found = data[name], cases(data[name])
        known, encoder = Known(shapes, shapes.catalogue.item_ids), JudgeEncoder(judges[name])
        vectors = encoder(known.images)
        references = found["reference_id"].unique().to_list()
        return MetricSuite(
            judges=judges[name],
            encoders={"jis": encoder},
            distances={},
            items=known,
            vectors={"jis": vectors},
            text_encoder="jis",
            texts={item: vectors[known.rows([item])[0]] for item in references},
            styles=dict(shapes.items.select("item_id", "style").iter_rows()),
            users={case["user_id"]: vectors[known.rows(case["random_ids"])].mean(0)
                   for case in found.to_dicts()},
            copies=dict.fromkeys(references, 0.98) if judges[name].style is None else {},
        ), found  # fmt: skip

    return made


def test_without_labels_likeness_copies_and_retrieval_are_measured(
    data: Mapping[str, Dataset],
    measured: Callable[[str], tuple[MetricSuite, pl.DataFrame]],
) -> None:
    suite, found = measured("none")
    pictures, _ = data["none"].catalogue.images(found["reference_id"].to_list(), SIDE)
    values = suite.measure(pictures, found)
    assert set(values) <= set(METRICS)
    assert {"hist_jis", "user_jis", "ref_jis", "cs", "item_hit", "text_hit", "user_hit",
            "copies_reference", "lost_target", "collapse"} == set(values)  # fmt: skip
    assert values["item_hit"].tolist() == [1.0] * found.height
    assert values["text_hit"].mean() > 0.8
    assert values["ref_jis"] == pytest.approx(1.0, abs=1e-4)
    assert values["copies_reference"].tolist() == values["collapse"].tolist() == [1.0] * len(found)
    white = np.full_like(pictures, 255)
    lost = suite.measure(white, found)
    assert lost["item_hit"].mean() < 0.3
    assert lost["copies_reference"].sum() == 0
    assert lost["collapse"].tolist() == lost["lost_target"].tolist()


def test_the_users_own_pictures_are_found_again(
    data: Mapping[str, Dataset],
    measured: Callable[[str], tuple[MetricSuite, pl.DataFrame]],
) -> None:
    """A picture that is one of the user's own is nearer to them than an average stranger's is."""
    suite, found = measured("both")
    own, _ = data["both"].catalogue.images([ids[0] for ids in found["random_ids"]], SIDE)
    hits = suite.measure(own, found)["user_hit"]
    assert hits.mean() > 2 / len(suite.users)


def test_with_styles_the_style_judge_tells_a_copy(
    data: Mapping[str, Dataset],
    measured: Callable[[str], tuple[MetricSuite, pl.DataFrame]],
) -> None:
    suite, found = measured("both")
    shown = {
        name: suite.measure(data["both"].catalogue.images(found[name].to_list(), SIDE)[0], found)
        for name in ("truth_id", "reference_id")
    }
    truth, copy = shown["truth_id"], shown["reference_id"]
    assert truth["jis"] == pytest.approx(1.0, abs=1e-4)
    assert truth["style_hit"].mean() > 0.6 > copy["style_hit"].mean()
    assert copy["copies_reference"].mean() > truth["copies_reference"].mean()


def test_cases_without_a_truth_have_no_likeness_to_it(
    data: Mapping[str, Dataset],
    measured: Callable[[str], tuple[MetricSuite, pl.DataFrame]],
) -> None:
    suite, found = measured("both")
    some = found.with_columns(
        truth_id=pl.when(pl.int_range(pl.len()) > 0).then("truth_id"),
        style=pl.when(pl.int_range(pl.len()) > 0).then("style"),
    )
    pictures, _ = data["both"].catalogue.images(found["truth_id"].to_list(), SIDE)
    values = suite.measure(pictures, some)
    for metric in ("jis", "style_hit"):
        assert np.isnan(values[metric][0])
        assert np.isfinite(values[metric][1:]).all()
