"""From a catalogue to a model of one's own, its pictures and its evaluation, at several sizes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import yaml
from PIL import Image

from pigeon_rec._cli.train import everything
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.work_dir import warehouse_file
from pigeon_rec.training.configuration import TrainingConfig, load_training_config
from tests.shapes import Shapes, write_shapes

Pigeon = Callable[..., Any]
NIGHT = "2026-06-01"
QUICK = {"mask_ratios": [0.0, 0.5], "rendered": 1, "diffusion_steps": 1}


@dataclass(frozen=True)
class Kind:
    """One kind of catalogue.

    Attributes:
        side: Side of the model's pictures in pixels.
        scenario: Instruction template.
        columns: Of `style` and `concept`, those that the catalogue has.
        files: Width and height of its files.
        drawn: Width and height of a published picture.
    """

    side: int
    scenario: str
    columns: tuple[str, ...]
    files: tuple[int, int]
    drawn: tuple[int, int]


KINDS = {
    "stickers at 64": Kind(64, "sticker", ("style", "concept"), (72, 72), (64, 64)),
    "wide stickers at 96": Kind(96, "sticker", (), (140, 90), (96, 96)),
    "posters at 128": Kind(128, "movie", ("style",), (80, 120), (128, 192)),
}


def smoke(side: int) -> TrainingConfig:
    """The smoke configuration for pictures of a size, with one or two steps of each recipe."""
    config = load_training_config("smoke").model_dump()
    queries = (side // config["model"]["tokenizer"]["patch_size"]) ** 2
    config["model"]["tokenizer"]["image_size"] = config["scorer"]["image_size"] = side
    config["model"]["decoder"]["queries"] = queries
    for loop in config["loops"].values():
        loop |= {"steps": 2, "batch_size": 6, "validate_every": 2, "validation_samples": 6}
    config |= {"users": None}
    config["pairs"] |= {"windows": 12, "validation_windows": 4, "hard_negatives": 0.5}
    config["pairs"]["candidates"] |= {"mask_ratios": (0.0, 1.0), "diffusion_steps": 1}
    return TrainingConfig.model_validate(config)


@dataclass(frozen=True)
class Own:
    """A trained model with its catalogue, made from the command line."""

    kind: Kind
    shapes: Shapes
    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "run" / "model"


@pytest.fixture(scope="module", params=list(KINDS))
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Own:
    """A model that was trained on a catalogue of its kind."""
    kind, folder = KINDS[request.param], tmp_path_factory.mktemp("own")
    shapes = write_shapes(
        folder / "shapes", columns=kind.columns, size=kind.files, alpha=True, users=12
    )
    (folder / "smoke.yaml").write_text(smoke(kind.side).model_dump_json(), "utf-8")
    everything(
        config=str(folder / "smoke.yaml"), out=folder / "run", scenario=kind.scenario,
        catalogue=str(shapes.catalogue), interactions=str(shapes.interactions), quiet=True,
    )  # fmt: skip
    return Own(kind, shapes, folder)


@pytest.mark.slow
def test_the_model_has_the_size_and_knows_what_was_held_out(own: Own) -> None:
    config = json.loads((own.model / "config.json").read_text("utf-8"))
    assert config["tokenizer"]["image_size"] == own.kind.side
    listed = pl.read_csv(own.folder / "run" / "held_out.csv", infer_schema=False)
    assert listed.height > 5
    assert pl.read_csv(own.model / "held_out.csv", infer_schema=False).equals(listed)
    pairs = pl.read_parquet(own.folder / "run" / "pairs.parquet")
    used = {*pairs["history_ids"].explode(), *pairs["target_id"], *pairs["reference_id"]}
    assert used
    assert not used & set(listed["item_id"])


@pytest.mark.slow
def test_a_night_draws_with_it(own: Own, pigeon: Pigeon) -> None:
    wanted = pl.DataFrame({"user_id": ["u0", "u1"], "item_id": ["5", "40"], "score": [0.9, 0.8]})
    wanted.write_parquet(own.folder / "recommendations.parquet")
    settings = {
        "catalogue": str(own.shapes.catalogue),
        "interactions": str(own.shapes.interactions),
        "recommendations": str(own.folder / "recommendations.parquet"),
        "scenario": own.kind.scenario,
        "model": str(own.model),
        "work_dir": str(own.folder / "var"),
        "generation": QUICK,
        "gate": {"min_text_score": -1.0, "max_reference_similarity": 1.1, "min_pixel_std": 0.0,
                 "min_reference_difference": 0.0},
        "plan": {"shards": 1, "cohorts": {"count": 1}},
    }  # fmt: skip
    (own.folder / "night.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    outcome = pigeon("nightly", "run", "--config", own.folder / "night.yaml", "--date", NIGHT)
    assert outcome.code == 0, outcome.err
    with duckdb.connect(str(warehouse_file(own.folder / "var")), read_only=True) as warehouse:
        rows = warehouse.sql("SELECT user_id, image, model_version FROM assets").fetchall()
    assert {row[0] for row in rows} >= {"u0", "u1"}
    for _, image, version in rows:
        with Image.open(io.BytesIO(image)) as drawn:
            assert drawn.size == own.kind.drawn
        assert version == model_version(own.model)


@pytest.mark.slow
def test_its_evaluation_measures_what_the_catalogue_allows(own: Own, pigeon: Pigeon) -> None:
    (own.folder / "evaluation.yaml").write_text(
        yaml.safe_dump({"generation": QUICK, "judge_steps": 1, "resamples": 100}), "utf-8"
    )
    out = own.folder / "evaluation"
    arguments = (
        "evaluate", "--settings", own.folder / "evaluation.yaml", "--model", own.model,
        "--scenario", own.kind.scenario, *own.shapes.options, "--cases", "3",
        "--methods", "unchanged,truth,full", "--out", out,
    )  # fmt: skip
    outcome = pigeon(*arguments, "--json")
    assert outcome.code == 0, outcome.err
    summary = json.loads(outcome.out)
    listed = set(pl.read_csv(own.model / "held_out.csv", infer_schema=False)["item_id"])
    cases = pl.read_parquet(out / "cases.parquet")
    assert set(cases.select(pl.coalesce("truth_id", "reference_id")).to_series()) <= listed
    full, missing = summary["methods"]["full"]["metrics"], summary["missing"]
    assert summary["methods"]["full"]["cases"] == 3
    assert {"hist_cis", "hist_jis", "cs", "collapse", "text_hit", "user_hit", "rejected"} <= {*full}
    has_style, has_concept = (name in own.kind.columns for name in ("style", "concept"))
    assert ("style_hit" in full, "style_hit" in missing) == (has_style, not has_style)
    assert ("concept_hit" in full, "item_hit" in full) == (has_concept, not has_concept)
    assert ("cis" in full) == ("truth" in summary["methods"]) == (has_style and has_concept)
    assert summary["judges"]["pictures"] == len(listed)
    assert summary["judges"]["warnings"]
    picture = pl.read_parquet(out / "chosen" / "full.parquet")["image"][0]
    with Image.open(io.BytesIO(picture)) as drawn:
        assert drawn.size == own.kind.drawn
    page = (out / "evaluation.html").read_text("utf-8")
    assert "Beware: " in page
    assert ("no column `style`" in page) == (not has_style)
    # The judges and the pictures are kept: a second run only measures.
    again = pigeon(*arguments, "--json")
    assert json.loads(again.out)["methods"] == summary["methods"]


@pytest.mark.slow
def test_training_goes_on_from_it(own: Own, pigeon: Pigeon) -> None:
    adopting = smoke(own.kind.side).model_copy(
        update={"adopt": {"tokenizer": -20.0, "autoencoder": -20.0, "renderer": -20.0}}
    )
    (own.folder / "onward.yaml").write_text(adopting.model_dump_json(), "utf-8")
    out = own.folder / "onward"
    outcome = pigeon("train", "all", "--config", own.folder / "onward.yaml", "--out", out,
                     "--start", own.model, "--scenario", own.kind.scenario, *own.shapes.options,
                     "--json")  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert json.loads((out / "adopted.json").read_text("utf-8"))["adopted"] == [
        "tokenizer", "autoencoder", "renderer",
    ]  # fmt: skip
    part = "visual_tokenizer.safetensors"
    assert (out / "model" / part).read_bytes() == (own.model / part).read_bytes()
    language = "personalisation.safetensors"
    assert (out / "model" / language).read_bytes() != (own.model / language).read_bytes()
