"""Item vectors written for RecBole, from real images, folders of pictures and finished vectors."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import yaml

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.errors import CatalogueError, ConfigError, InteractionError
from pigeon_rec.recbole_plugin.dataset_items import DatasetFiles, item_tokens
from pigeon_rec.recbole_plugin.features import FeatureRequest, write_dataset, write_interactions
from pigeon_rec.recbole_plugin.vector_sources import Captions, array_vectors, catalogue_vectors
from pigeon_rec.retrieval import EmbeddingCache
from tests.recbole_plugin.conftest import Build
from tests.recbole_plugin.test_any_setting import benchmark_files
from tests.recbole_plugin.world import N_ITEMS, vector_of, write_world
from tests.small_world import PixelEncoder, png, write_catalogue


def interactions(items: list[str], user: str = "u") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": [user] * len(items),
            "item_id": items,
            "timestamp": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * len(items),
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "cache.parquet", PixelEncoder().encoder_id)


@pytest.fixture
def vectors(tmp_path: Path) -> tuple[Path, Path]:
    """Finished vectors of the small world's items, and their ids."""
    paths = tmp_path / "x.npy", tmp_path / "ids.txt"
    np.save(paths[0], np.stack([vector_of(item) for item in range(N_ITEMS)]).astype(np.float16))
    paths[1].write_text("".join(f"i{item:02d}\n" for item in range(N_ITEMS)), encoding="utf-8")
    return paths


def rows_of(path: Path) -> dict[str, list[float]]:
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    assert header == "visual_item_id:token\tvisual_vector:float_seq"
    return {row.split("\t")[0]: [float(x) for x in row.split("\t")[1].split()] for row in rows}


def test_vectors_are_the_images_embeddings(tmp_path: Path, cache: EmbeddingCache) -> None:
    catalogue, encoder = load_catalogue(write_catalogue(tmp_path, 6)), PixelEncoder()
    table = catalogue_vectors(["i04", "i01", "no"], catalogue, encoder.encode_images, cache)
    assert table.tokens == ["i04", "i01"]
    images, _ = catalogue.images(["i04", "i01"])
    np.testing.assert_allclose(table.matrix, encoder.encode_images(images), atol=1e-6)
    assert table.unknown == 4
    assert [problem.subject for problem in table.problems] == ["no"]


def test_captions_are_appended_with_their_weight() -> None:
    images = np.eye(3, 4, dtype=np.float32)
    words = {"red": [1.0, 0.0], "green": [0.0, 1.0], " ": [0.6, 0.8]}

    def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.array([words[text] for text in texts], dtype=np.float32)

    both = Captions(encode, 2.0).append_to(images, ["red", "green", " "])
    assert both.dtype == np.float32
    assert both.shape == (3, 6)
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(both[:2, :4] * np.sqrt(5.0), images[:2], rtol=1e-6)
    np.testing.assert_allclose(both[:2, 4:] * np.sqrt(5.0), [[2, 0], [0, 2]], rtol=1e-6)
    assert both[2].tolist() == [0, 0, 1, 0, 0, 0]  # no caption: the image alone


def test_captions_are_the_items_semantics(tmp_path: Path, cache: EmbeddingCache) -> None:
    catalogue = load_catalogue(write_catalogue(tmp_path, 6))
    encoded: list[str] = []

    def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        encoded.extend(texts)
        return np.ones((len(texts), 1), dtype=np.float32)

    images = PixelEncoder().encode_images
    table = catalogue_vectors(["i04", "i01"], catalogue, images, cache, Captions(encode, 1))
    assert encoded == catalogue.rows(["i04", "i01"])["semantics"].to_list()
    assert table.matrix.shape == (2, 49)
    np.testing.assert_allclose(table.matrix[:, -1], np.sqrt(0.5), atol=1e-6)


def test_a_broken_image_has_no_row(tmp_path: Path, cache: EmbeddingCache) -> None:
    source = write_catalogue(tmp_path, 3)
    (tmp_path / "images" / "i01.png").write_bytes(b"no picture")
    catalogue = load_catalogue(source)
    table = catalogue_vectors(["i00", "i01"], catalogue, PixelEncoder().encode_images, cache)
    assert table.tokens == ["i00"]
    assert [problem.subject for problem in table.problems] == ["i01"]


def test_a_folder_of_pictures_is_enough(pigeon: Any, tmp_path: Path, looks: Path) -> None:
    pictures = tmp_path / "pictures"
    (pictures / "more").mkdir(parents=True)
    source = png(1)
    for item in range(30):
        (pictures / f"i{item:02d}.png").write_bytes(png(item))
    (pictures / "more" / "i30.PNG").write_bytes(source)
    (pictures / "more" / "i00.png").write_bytes(source)  # another one of that item
    (pictures / "i31.jpg").write_bytes(b"no picture")
    (pictures / "stranger.png").write_bytes(source)
    (pictures / "notes.txt").write_text("no picture")
    config = tmp_path / "run.yaml"
    filters = {"val_interval": {"timestamp": "[0,259224]"}}
    config.write_text(yaml.safe_dump(filters), "utf-8")
    with pytest.raises(ConfigError, match=r"Field \[timestamp\] not defined"):  # it is not loaded
        write_dataset(FeatureRequest(looks / "looks", images=pictures, configs=(config,)))
    config.write_text(yaml.safe_dump({**filters, "load_col": None}), "utf-8")
    arguments = ("--images", pictures, "--dataset", "looks", "--data-path", looks, "--json")
    found = pigeon("recbole", "features", *arguments, "--config", config)
    assert found.code == 0, found.err
    summary = json.loads(found.out)
    assert summary["items"] == 31
    assert summary["without_image"] == 9
    assert summary["unknown"] == 1
    assert summary["not_finite"] == 0
    assert 0 < summary["filtered"] < 31
    written = rows_of(looks / "looks" / "looks.visual")
    assert sorted(written) == [f"i{item:02d}" for item in range(31)]
    assert len(written["i00"]) == summary["dimensions"] == 192


def test_finished_vectors_are_written_and_used(
    pigeon: Any, looks: Path, vectors: tuple[Path, Path], build: Build
) -> None:
    path = looks / "looks" / "looks.visual"
    path.unlink()
    arguments = ("--vectors", vectors[0], "--ids", vectors[1], "--data-path", looks)
    found = pigeon("recbole", "features", "--dataset", "looks", *arguments, "--json")
    assert json.loads(found.out)["items"] == N_ITEMS
    for token, vector in rows_of(path).items():
        np.testing.assert_allclose(vector, vector_of(int(token[1:])), atol=2e-3)
    assert bool(build("BPR").model.affinity.has_image[1:].all())


def test_rows_of_an_array_are_counted(vectors: tuple[Path, Path]) -> None:
    table = np.load(vectors[0]).astype(np.float64)
    table[3, 2], table[5, 0] = np.nan, 1e300
    np.save(vectors[0], table)
    ids = vectors[1].read_text("utf-8").splitlines()
    ids[7] = "i06"
    vectors[1].write_text("\n".join(ids), "utf-8")
    wanted = [f"i{item:02d}" for item in range(10)] + ["new"]
    found = array_vectors(*vectors, wanted)
    assert found.tokens == ["i00", "i01", "i02", "i04", "i06", "i08", "i09"]
    np.testing.assert_allclose(found.matrix[4], table[6], rtol=1e-6)
    assert (found.unknown, found.not_finite) == (N_ITEMS - 10, 2)
    assert [(problem.kind, problem.subject) for problem in found.problems] == [
        ("duplicate_vector", "i06"),
        ("unknown_item", "i07"),
        ("unknown_item", "new"),
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((3, 2)), "there are 3 vectors and 40 ids"),
        (np.zeros(40), r"the shape \(40,\), not"),
        (np.array(["a"] * 40), r"the shape \(40,\), not"),
        (np.array([{}], dtype=object), "cannot read the vectors: Array can't be memory-mapped"),
    ],
)
def test_wrong_arrays_are_refused(
    table: npt.NDArray[Any], message: str, vectors: tuple[Path, Path]
) -> None:
    np.save(vectors[0], table, allow_pickle=True)
    with pytest.raises(CatalogueError, match=message):
        array_vectors(*vectors, ["i00"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"vectors": Path("x.npy")}, "vectors need the file of their item ids"),
        ({"ids": Path("x.txt")}, "ids need vectors"),
        (
            {"vectors": Path("x.npy"), "ids": Path("x.txt"), "images": Path("y")},
            "pictures are given twice",
        ),
        ({"images": Path("y"), "captions": 1.0}, "captions are those of a catalogue"),
    ],
)
def test_contradictions_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeatureRequest(Path("d"), **more)


def test_a_folder_without_pictures_is_an_error(tmp_path: Path, looks: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(CatalogueError, match="there are no pictures in the folder"):
            write_dataset(FeatureRequest(looks / "looks", images=folder))


def test_pictures_of_other_items_are_an_error(tmp_path: Path, looks: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "movie1.png").write_bytes(png(1))
    message = r"none of the 40 items .* \(1 pictures or vectors .*such as i00, i01, i02"
    with pytest.raises(InteractionError, match=message):
        write_dataset(FeatureRequest(looks / "looks", images=pictures))


def test_features_of_benchmark_files_alone(
    looks: Path, vectors: tuple[Path, Path], build: Build
) -> None:
    settings = benchmark_files(looks)
    (looks / "looks" / "looks.visual").unlink()
    written = write_dataset(FeatureRequest(looks / "looks", vectors=vectors[0], ids=vectors[1]))
    assert (written.items, written.of) == (N_ITEMS, N_ITEMS)
    built = build("SASRec", **settings, pigeon_visual_weight=1.0)
    assert bool(built.model.affinity.has_image[1:].all())


def test_features_in_the_separators_of_the_users_settings(
    tmp_path: Path, looks: Path, vectors: tuple[Path, Path]
) -> None:
    path = looks / "looks" / "looks.inter"
    text = path.read_text("utf-8").replace("item_id:token", "movie:token").replace("\t", ",")
    path.write_text(text, encoding="utf-8")
    request = FeatureRequest(looks / "looks", vectors=vectors[0], ids=vectors[1])
    with pytest.raises(InteractionError, match=r"no item_id:token .*ITEM_ID_FIELD"):
        write_dataset(request)
    config = tmp_path / "run.yaml"
    names = {"ITEM_ID_FIELD": "movie", "field_separator": ",", "seq_separator": ";"}
    columns = {"load_col": {"inter": ["user_id", "movie", "timestamp"]}}
    config.write_text(yaml.safe_dump({**names, **columns}), encoding="utf-8")
    written = write_dataset(dataclasses.replace(request, configs=(config,)))
    assert (written.items, written.filtered) == (N_ITEMS, 0)
    row = written.path.read_text("utf-8").splitlines()[1]
    assert row.startswith("i00,")
    assert row.count(";") == 7


def test_features_of_the_data_set_inside_recbole(
    tmp_path: Path, vectors: tuple[Path, Path]
) -> None:
    vectors[1].write_text("".join(f"{item + 1}\n" for item in range(N_ITEMS)), encoding="utf-8")
    folder = tmp_path / "dataset" / "ml-100k"
    written = write_dataset(FeatureRequest(folder, vectors=vectors[0], ids=vectors[1]))
    assert written.path == folder / "ml-100k.visual"
    assert (written.items, written.of) == (N_ITEMS, 1682)


def test_interactions_are_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "d" / "d.inter"
    write_interactions(interactions(["b", "a", "b"]), path)
    assert item_tokens(DatasetFiles(path.parent)) == ["a", "b"]
    assert path.read_text().splitlines()[1] == "u\tb\t1767225600.0"


@pytest.mark.parametrize("bad", ["tab\there", "NA", 'quo"te', "line\nbreak"])
def test_ids_that_an_atomic_file_cannot_hold_are_refused(bad: str, tmp_path: Path) -> None:
    with pytest.raises(InteractionError, match="cannot hold the item_id"):
        write_interactions(interactions([bad]), tmp_path / "d.inter")
    assert not (tmp_path / "d.inter").exists()


def test_wrong_data_sets_are_reported(tmp_path: Path) -> None:
    folder = write_world(tmp_path, name="d", visual=False) / "d"
    (folder / "d.inter").write_text("user_id:token\titem:token\nu\ti\n")
    with pytest.raises(InteractionError, match="the header has no item_id:token"):
        item_tokens(DatasetFiles(folder))
    (folder / "d.inter").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InteractionError, match="cannot read the interactions"):
        item_tokens(DatasetFiles(folder))
    shutil.rmtree(folder)
    with pytest.raises(InteractionError, match=r"there is no d.inter and there are no benchmark"):
        item_tokens(DatasetFiles(folder))
