"""Options that name the data: the same for every command that has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pigeon_rec.data.dataset import Dataset, load_dataset
from pigeon_rec.data.settings import DataSettings
from tests.shapes import Shapes, write_shapes
from tests.training.tiny import CONFIG

Pigeon = Callable[..., Any]
COMMANDS = ("tokenizer", "scorer", "reconstruct", "pairs", "align", "all", "adopt")


@pytest.fixture
def shapes(tmp_path: Path) -> Shapes:
    return write_shapes(tmp_path / "shapes")


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A training configuration of one step of the autoencoder."""
    loop = CONFIG.loops["autoencoder"].model_copy(update={"steps": 1})
    path = tmp_path / "quick.yaml"
    path.write_text(CONFIG.model_copy(update={"loops": {"autoencoder": loop}}).model_dump_json())
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_training_command_takes_the_data(pigeon: Pigeon, command: str) -> None:
    outcome = pigeon("train", command, "--help")
    assert outcome.code == 0
    for option in ("night", "catalogue", "interactions", "scenario", "taste", "group-by"):
        assert f"--{option}" in outcome.out


def recorded(folder: Path) -> DataSettings:
    values = json.loads((folder / "data.json").read_text("utf-8"))["settings"]
    return DataSettings.model_validate(values)


def test_options_are_recorded_in_the_training_folder(
    pigeon: Pigeon, shapes: Shapes, quick: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    chosen = ("--taste", "category", "--group-by", "title")
    outcome = pigeon("train", "autoencoder", "--config", quick, "--out", out, *shapes.options,
                     *chosen)  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "72 items" in outcome.err
    assert recorded(out) == DataSettings(
        catalogue=str(shapes.catalogue), interactions=str(shapes.interactions),
        taste="category", group_by="title",
    )  # fmt: skip
    other = pigeon("train", "autoencoder", "--config", quick, "--out", out, *shapes.options)
    assert other.code == 4
    assert "begun with taste 'category', group_by 'title'" in other.err
    again = pigeon("train", "autoencoder", "--config", quick, "--out", out, "--json")
    assert again.code == 0
    assert json.loads(again.out)["recipe"] == "autoencoder"


def test_tables_of_any_form_are_imported_into_the_folder(
    pigeon: Pigeon, shapes: Shapes, quick: Path, tmp_path: Path
) -> None:
    """As those of a night, with its column names, and with the taste that an option names."""
    folder = shapes.catalogue.parent
    items = pl.read_parquet(shapes.catalogue).with_columns(look=pl.col("style"))
    items.select(
        pl.col("item_id").cast(pl.Int64).alias("sku"), pl.col("title").alias("name"),
        pl.col("image_uri").alias("file"), "look",
    ).write_csv(folder / "items.csv")  # fmt: skip
    pl.read_parquet(shapes.interactions).with_columns(
        pl.col("item_id").cast(pl.Int64), pl.col("timestamp").dt.epoch("ms")
    ).write_csv(folder / "choices.csv")
    (folder / "night.yaml").write_text(
        "catalogue: items.csv\ninteractions: choices.csv\nscenario: sticker\n"
        "columns: {items: {id: sku, title: name, image: file}}\n"
    )
    out = tmp_path / "run"
    outcome = pigeon("train", "autoencoder", "--config", quick, "--out", out,
                     "--night", folder / "night.yaml", "--taste", "look")  # fmt: skip
    assert outcome.code == 0, outcome.err
    data = load_dataset(recorded(out))
    assert data.catalogue.item_ids == [str(number) for number in range(72)]
    assert set(data.items["style"]) == {"flat", "line", "pale"}
    assert data.interactions.height == 18 * 12


def test_a_catalogue_without_users_is_refused_before_any_work(
    pigeon: Pigeon, shapes: Shapes, tmp_path: Path
) -> None:
    outcome = pigeon("train", "all", "--catalogue", shapes.catalogue, "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "needs `interactions` of its own" in outcome.err
    assert not (tmp_path / "run").exists()


def test_without_data_options_nothing_is_recorded(
    pigeon: Pigeon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: Path
) -> None:
    ran: list[str] = []

    def run(name: str, *_: object, artwork: Dataset, **__: object) -> Path:
        ran.append(artwork.name)
        return Path(name)

    monkeypatch.setattr("pigeon_rec.training.recipes.training_artwork", lambda _, data: data)
    monkeypatch.setattr("pigeon_rec.training.recipes.run_recipe", run)
    outcome = pigeon("train", "autoencoder", "--config", quick, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert ran == ["bundled"]
    assert "held out" not in outcome.err
    assert not (tmp_path / "run").exists()
