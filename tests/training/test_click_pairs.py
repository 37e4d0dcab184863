"""Pairs from clicks: codes of served pictures, conditioning, weights, and a step of stage 2."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.errors import TrainingError
from pigeon_rec.training import recipes
from pigeon_rec.training.align import AlignRecipe
from pigeon_rec.training.artwork import TrainingArtwork, for_validation
from pigeon_rec.training.bundle import assemble
from pigeon_rec.training.click_pairs import ClickPairs, make_click_pairs
from pigeon_rec.training.configuration import AlignConfig
from pigeon_rec.training.loop import train
from pigeon_rec.training.pair_table import SCHEMA, read_pairs, write_pairs
from pigeon_rec.training.pairs import make_pairs
from pigeon_rec.warehouse import open_warehouse, promote, publish
from tests.training.tiny import CONFIG, bundled, generator, handful, quick_loop
from tests.training.toy import rows
from tests.warehouse.exposures import add_exposures, exposures_of, numbered
from tests.warehouse.nights import key_of, night_of


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A training folder after stage 1, without pairs."""
    wanted = shutil.ignore_patterns("align", "checkpoint", "pairs*")
    shutil.copytree(trained, tmp_path / "run", ignore=wanted)
    return tmp_path / "run"


def png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def drawn(seed: int) -> NDArray[np.uint8]:
    """A picture that no item has, 16x16."""
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)


def click(item: str, history: list[str], seed: int, **facts: Any) -> dict[str, Any]:
    """A row of `warehouse.feedback.click_pairs`."""
    return {
        "item_id": item,
        "comparable": "cohort:1",
        "chosen_key": f"chosen-{seed}",
        "rejected_key": f"rejected-{seed}",
        "chosen_shown": 3,
        "chosen_clicks": 1,
        "rejected_shown": 4,
        "weight": 4.0,
        "user_id": f"user-{seed}",
        "history_ids": history,
        "chosen_ratio": 0.3,
        "chosen_image": png(drawn(seed)),
        "rejected_ratio": 0.0,
        "rejected_image": png(drawn(seed + 1000)),
        **facts,
    }


def clicks_of(artwork: TrainingArtwork, count: int) -> list[dict[str, Any]]:
    """Pairs about items that are trained on, with five of them as histories."""
    items = artwork.rows["item_id"].to_list()
    items = [i for i, kept in zip(items, for_validation(items), strict=True) if not kept]
    return [click(items[n], items[n + 1 : n + 6], n) for n in range(count)]


def made(folder: Path, clicks: list[dict[str, Any]]) -> ClickPairs:
    frame = pl.DataFrame(clicks, infer_schema_length=None)
    return make_click_pairs(CONFIG, folder, frame, data=bundled())


def test_codes_are_those_of_the_pictures(folder: Path, artwork: TrainingArtwork) -> None:
    clicks = clicks_of(artwork, 3)
    clicks[2] |= {"rejected_key": None, "rejected_image": None, "rejected_ratio": None}
    assert made(folder, clicks) == ClickPairs(folder / "pairs.parquet", 3, 0, {})
    table = read_pairs(folder)
    assert dict(table.schema) == dict(SCHEMA)
    pipeline = assemble(CONFIG, folder, "reconstruct")
    for row, given in zip(table.to_dicts(), clicks, strict=True):
        seed = int(given["chosen_key"].split("-")[1])
        own, _ = bundled().catalogue.images([given["item_id"]], size=16)
        rejected = own[0] if given["rejected_key"] is None else drawn(seed + 1000)
        wanted = pipeline.encode_images(np.stack([drawn(seed), rejected, own[0]]))
        found = [row["chosen_codes"], row["rejected_codes"], row["reference_codes"]]
        assert found == wanted.tolist()
        assert (row["kind"], row["split"], row["position"]) == ("clicks", "train", None)
        assert (row["user_id"], row["history_ids"]) == (given["user_id"], given["history_ids"])
        assert row["target_id"] == row["reference_id"] == given["item_id"]
        assert (row["chosen_ratio"], row["rejected_ratio"]) == (0.3, given["rejected_ratio"])
        assert row["target_text"]
        history, _ = bundled().catalogue.images(given["history_ids"], size=16)
        assert row["history_codes"] == pipeline.encode_images(history).flatten().tolist()
        share = 1 - np.mean(row["history_keep"])
        assert share == pytest.approx(CONFIG.pairs.candidates.history_mask_ratio, abs=0.05)


def test_masks_are_those_of_the_mask_ratio(folder: Path, artwork: TrainingArtwork) -> None:
    one = clicks_of(artwork, 1)[0]
    made(folder, [one | {"chosen_ratio": 0.0}, one | {"chosen_ratio": 1.0, "user_id": "other"}])
    whole, little = read_pairs(folder)["reference_keep"].to_list()
    assert all(whole)
    assert sum(little) == 1


def test_weights_have_mean_one_and_a_limit(folder: Path, artwork: TrainingArtwork) -> None:
    clicks = clicks_of(artwork, 30)
    for row in clicks[:29]:
        row["weight"] = 4.0
    clicks[29]["weight"] = 4000.0
    made(folder, clicks)
    weights = read_pairs(folder)["weight"]
    assert weights.max() == 10.0
    assert weights[0] == pytest.approx(4 / ((29 * 4 + 4000) / 30))
    made(folder, clicks[:3])
    assert read_pairs(folder)["weight"].to_list() == [1.0, 1.0, 1.0]


def test_one_step_of_stage_two_trains_on_them(folder: Path, artwork: TrainingArtwork) -> None:
    made(folder, clicks_of(artwork, 14))
    recipe = AlignRecipe(CONFIG.model, AlignConfig(), bundled(), folder)
    train(recipe, quick_loop(1), folder / "align")
    [step] = rows(folder / "align")
    assert step["loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert (folder / "align" / "model.safetensors").is_file()


def test_training_raises_the_clicked_picture(folder: Path, artwork: TrainingArtwork) -> None:
    """Bright pictures were clicked, dark ones were not."""
    clicks = clicks_of(artwork, 12)
    for seed, row in enumerate(clicks):
        row["chosen_image"] = png(drawn(seed) | np.uint8(128))
        row["rejected_image"] = png(drawn(seed) & np.uint8(127))
    made(folder, clicks)
    recipe = AlignRecipe(CONFIG.model, AlignConfig(), bundled(), folder)
    loop = quick_loop(20, learning_rate=0.01, average=0.0, precision="no")
    train(recipe, loop, folder / "align")
    margins = [row["margin"] for row in rows(folder / "align")]
    assert margins[0] == pytest.approx(0, abs=1e-4)
    assert min(margins[-3:]) > 0.1


def test_a_pair_counts_by_its_weight(folder: Path, artwork: TrainingArtwork) -> None:
    made(folder, clicks_of(artwork, 8))
    recipe = AlignRecipe(CONFIG.model, AlignConfig(), bundled(), folder)
    recipe.set_training(True)
    recipe.start(0)
    with torch.no_grad():
        plain = float(recipe.losses(8, generator())["loss"])
        recipe.pairs.weight.mul_(3.0)
        assert float(recipe.losses(8, generator())["loss"]) == pytest.approx(3 * plain)


def test_what_cannot_be_used_is_counted(folder: Path, artwork: TrainingArtwork) -> None:
    good, *bad = clicks_of(artwork, 8)
    held_out = bundled().held_out_items()["item_id"][0]
    same = png(drawn(7))
    changes: list[dict[str, Any]] = [
        {"item_id": "no/such"},
        {"history_ids": [*bad[0]["history_ids"][:4], "no/such"]},
        {"item_id": held_out},
        {"history_ids": bad[0]["history_ids"][:4]},
        {"chosen_image": None},
        {"rejected_image": b"broken"},
        {"chosen_image": same, "rejected_image": same},
    ]
    result = made(folder, [good, *(row | change for row, change in zip(bad, changes, strict=True))])
    assert (result.train, result.left_out) == (
        1,
        {
            "have an item that the catalogue does not have": 2,
            "have an item that is held out": 1,
            "have a history of other than 5 items": 1,
            "have a picture that cannot be read": 2,
            "have pictures of the same visual codes": 1,
        },
    )
    with pytest.raises(TrainingError, match="none of 1 pairs from clicks can be used: 1 have an"):
        made(folder, [bad[0] | changes[0]])
    with pytest.raises(TrainingError, match="none of 0 pairs"):
        make_click_pairs(CONFIG, folder, pl.DataFrame([good]).clear(), data=bundled())
    assert read_pairs(folder).height == 1


def test_items_that_are_validated_on_are_not_trained_on(
    folder: Path, artwork: TrainingArtwork
) -> None:
    items = artwork.rows["item_id"].to_list()
    kept_back = [i for i, valid in zip(items, for_validation(items), strict=True) if valid]
    result = made(folder, [*clicks_of(artwork, 1), click(kept_back[0], items[:5], 50)])
    assert (result.train, result.valid) == (1, 1)


def test_pairs_of_candidates_replace_them(
    folder: Path, artwork: TrainingArtwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "load_artwork", handful)
    made(folder, clicks_of(artwork, 2))
    make_pairs(CONFIG, folder)
    table = read_pairs(folder)
    assert "clicks" not in set(table["kind"])
    assert set(table["weight"]) == {1.0}


def test_tables_from_before_there_were_weights_are_read(trained: Path, tmp_path: Path) -> None:
    table = read_pairs(trained)
    write_pairs(table.to_dicts(), tmp_path / "pairs.parquet")
    old = pl.read_parquet(tmp_path / "pairs.parquet").drop("weight")
    old.write_parquet(tmp_path / "pairs.parquet")
    assert read_pairs(tmp_path).equals(table)


@pytest.fixture
def nights(tmp_path: Path, artwork: TrainingArtwork) -> Path:
    """A work directory whose served pictures users of one cohort clicked, or did not."""
    given = clicks_of(artwork, 2)
    asked = [(user, row["item_id"]) for row in given for user in ("ann", "ben")]
    night = night_of(asked)
    histories = [given[place // 2]["history_ids"] for place in range(len(asked))]
    column = pl.Series("history_ids", histories)
    night = dataclasses.replace(night, assets=night.assets.with_columns(column))
    folder = tmp_path / "var" / "warehouse"
    with open_warehouse(folder / "pigeon.duckdb") as connection:
        publish(connection, night)
    promote(folder / "pigeon.duckdb", folder / "serving.duckdb")
    shown = [
        exposures_of(u, [u == "ann"], item_id=i, asset_key=key_of((u, i)), cohort="cohort:1")
        for u, i in asked
    ]
    add_exposures(folder, numbered(pl.concat(shown)))
    return tmp_path / "var"


def test_the_command_makes_pairs_of_what_was_served(
    folder: Path, nights: Path, tmp_path: Path, pigeon: Callable[..., Any]
) -> None:
    settings = tmp_path / "tiny.yaml"
    settings.write_text(yaml.safe_dump(CONFIG.model_dump(mode="json")), "utf-8")
    command = ("train", "pairs", "--from", "clicks", "--config", settings, "--out", folder)
    ended = pigeon(*command, "--work-dir", nights, "--json")
    assert ended.code == 0, ended.err
    facts = json.loads(ended.out)
    assert (facts["found"], facts["train"], facts["left_out"]) == (2, 2, {})
    assert read_pairs(folder)["user_id"].to_list() == ["ann", "ann"]
    assert pigeon(*command, "--work-dir", nights, "--within", "user").code == 4
    for wrong in (("--from", "views"), ("--within", "town", "--work-dir", nights), ()):
        ended = pigeon(*command, *wrong)
        assert ended.code == 2, wrong
    assert "pigeon-rec train pairs --from clicks --work-dir var" in ended.err
    assert read_pairs(folder).height == 2
