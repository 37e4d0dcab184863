"""The data of a training folder: recorded once, and the same for every later command."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.data.dataset import read_held_out
from pigeon_rec.data.settings import DataSettings
from pigeon_rec.errors import TrainingError
from pigeon_rec.training.data import HELD_OUT, folder_data, started_from, substitutes, trained_on
from tests.shapes import Shapes, write_shapes


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    return write_shapes(tmp_path_factory.mktemp("shapes"))


def settings(shapes: Shapes, **other: str) -> DataSettings:
    files = {"catalogue": str(shapes.catalogue), "interactions": str(shapes.interactions)}
    return DataSettings(**files, **other)


def test_a_folder_without_a_record_has_the_bundled_stickers(tmp_path: Path) -> None:
    data = folder_data(tmp_path)
    assert data.name == "bundled"
    assert list(tmp_path.iterdir()) == []
    assert substitutes(data) == {}


def test_later_commands_need_no_options(shapes: Shapes, tmp_path: Path) -> None:
    first = folder_data(tmp_path, settings(shapes))
    again = folder_data(tmp_path)
    assert again.settings == first.settings
    assert again.items.equals(first.items)
    listed = pl.read_csv(tmp_path / HELD_OUT)
    assert listed.columns == ["item_id", "style", "concept"]
    assert listed.height == first.held_out_items().height > 0
    assert folder_data(tmp_path, settings(shapes)).items.equals(first.items)


def test_paths_hold_wherever_the_next_command_is_run(
    shapes: Shapes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shapes.catalogue.parent)
    relative = DataSettings(catalogue="items.parquet", interactions="interactions.parquet")
    folder_data(tmp_path, relative)
    monkeypatch.chdir(tmp_path)
    assert len(folder_data(tmp_path).catalogue) == 72


def test_a_card_names_files_without_their_folders(shapes: Shapes, tmp_path: Path) -> None:
    assert trained_on(tmp_path)[0].startswith("Pictures: the world `bundled`")
    until = datetime(2026, 6, 1, tzinfo=UTC)
    folder_data(tmp_path, settings(shapes), until=until, started_from=shapes.catalogue.parent)
    lines = trained_on(tmp_path)
    assert lines[0] == "Pictures: `items.parquet`"
    assert lines[-1] == "Interactions before 2026-06-01"
    assert not any("/" in line for line in lines)
    assert started_from(tmp_path) == shapes.catalogue.parent.name


def test_other_data_are_refused(shapes: Shapes, tmp_path: Path) -> None:
    folder_data(tmp_path, settings(shapes))
    with pytest.raises(TrainingError, match=r"begun with scenario 'sticker'.*another folder"):
        folder_data(tmp_path, settings(shapes, scenario="movie"))


@pytest.mark.parametrize("begun", ["tokenizer/model.safetensors", "tokenizer/checkpoint/state"])
def test_a_folder_of_the_bundled_stickers_stays_one(
    shapes: Shapes, tmp_path: Path, begun: str
) -> None:
    (tmp_path / begun).parent.mkdir(parents=True)
    (tmp_path / begun).touch()
    with pytest.raises(TrainingError, match="begun with catalogue 'bundled'"):
        folder_data(tmp_path, settings(shapes))


def test_a_catalogue_that_grows_holds_out_what_it_held_out(shapes: Shapes, tmp_path: Path) -> None:
    own = tmp_path / "items.parquet"
    items = pl.read_parquet(shapes.catalogue)
    (tmp_path / "pictures").symlink_to(shapes.catalogue.parent / "pictures")
    items.head(48).write_parquet(own)
    wanted = DataSettings(catalogue=str(own), interactions=str(shapes.interactions))
    first = folder_data(tmp_path / "run", wanted)
    items.write_parquet(own)
    grown = folder_data(tmp_path / "run")
    assert len(grown.catalogue) == 72
    assert grown.held_out_items()["item_id"].equals(first.held_out_items()["item_id"])


def test_what_a_model_has_held_out_stays_held_out(shapes: Shapes, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    free = folder_data(tmp_path / "one", settings(shapes)).training_items()["item_id"][0]
    (model / HELD_OUT).write_text(f"item_id,style,concept\n{free},,\ngone,,\n", "utf-8")
    data = folder_data(tmp_path / "two", settings(shapes), started_from=model)
    assert free in data.held_out_items()["item_id"]
    assert free in read_held_out(tmp_path / "two" / HELD_OUT)


def test_interactions_after_a_date_are_never_read(shapes: Shapes, tmp_path: Path) -> None:
    until = datetime(2026, 5, 6, tzinfo=UTC)
    first = folder_data(tmp_path, settings(shapes), until=until)
    assert first.interactions["timestamp"].max() < until  # type: ignore[operator]
    assert json.loads((tmp_path / "data.json").read_text())["until"] == until.isoformat()
    assert folder_data(tmp_path).interactions.equals(first.interactions)


def test_what_is_done_in_another_way_is_told_by_name(tmp_path: Path) -> None:
    plain = write_shapes(tmp_path / "plain", columns=())
    told = substitutes(folder_data(tmp_path / "run", settings(plain)))
    assert set(told) == {
        "style captions",
        "style part of the scorer",
        "histories of one style",
        "references in another style",
    }
    assert all("no column `style`" in told[name] for name in list(told)[:3])
    assert "no column `concept`" in told["references in another style"]
