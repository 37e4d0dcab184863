"""The example shop is as it is described, and the commands of `make example-own-data` serve it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from PIL import Image

from pigeon_rec.warehouse import ask
from tests.conftest import ROOT
from tests.docs.pages import text_of
from tests.nightly.test_own_scenario import SETTINGS, write_model

SHOP = ROOT / "docs" / "examples" / "own-data"
DATE = "2026-06-01"


def commands(raw: Path, own: Path) -> list[list[str]]:
    """The arguments of each `pigeon-rec` of the recipe, with other folders."""
    recipe = text_of("Makefile").partition("\nexample-own-data: $(PRODUCT)")[2].partition("\n\n")[0]
    lines = re.findall(r"^\t(pigeon-rec .*)$", recipe.replace("\\\n\t\t", ""), re.M)
    places = {"$(SHOP)": str(raw), "$(OWN)": str(own), "$(DATE)": DATE}
    for variable, value in places.items():
        lines = [line.replace(variable, value) for line in lines]
    assert not any("$(" in line for line in lines)
    return [shlex.split(line)[1:] for line in lines]


def small_shop(folder: Path, motifs: int) -> Path:
    """The first motifs of the shop in all series, and their events."""
    folder.mkdir()
    items = pl.read_csv(SHOP / "items.csv")
    items = items.filter(pl.col("product").is_in(items["product"].unique().sort().head(motifs)))
    items.write_csv(folder / "items.csv")
    events = pl.read_csv(SHOP / "events.csv", infer_schema=False)
    events.filter(pl.col("sku").is_in(items["sku"].cast(pl.String).implode())).write_csv(
        folder / "events.csv"
    )
    (folder / "photos").mkdir()
    for photo in items["photo"]:
        shutil.copy(SHOP / photo, folder / photo)
    shutil.copy(SHOP / "icons.yaml", folder)
    return folder


def edit(night: Path, **changes: Any) -> None:
    settings = yaml.safe_load(night.read_text("utf-8"))
    night.write_text(yaml.safe_dump(settings | changes), encoding="utf-8")


def test_the_shop_is_small_mixed_and_not_quite_clean() -> None:
    files = sorted(SHOP.rglob("*"))
    assert sum(path.stat().st_size for path in files if path.is_file()) < 3_000_000
    items = pl.read_csv(SHOP / "items.csv")
    assert items["sku"].dtype == pl.Int64
    assert items.height == 511
    assert set(Counter(items["series"]).values()) == {170, 171}
    kinds = Counter(Path(photo).suffix for photo in items["photo"])
    assert min(kinds[suffix] for suffix in (".png", ".jpg", ".webp", ".gif")) >= 127
    sizes = []
    for photo in items["photo"].unique():
        with suppress(OSError), Image.open(SHOP / photo) as image:
            sizes.append(image.size)
    assert sizes == [(128, 128)] * 508  # one is missing, and one is cut off


def test_every_series_is_named_with_its_licence() -> None:
    notice = text_of("NOTICE").partition("Artwork of the example shop")[2].partition("Texts\n")[0]
    from docs.examples.build_own_data import SETS

    assert set(pl.read_csv(SHOP / "items.csv")["series"]) == {package.style for package in SETS}
    for package in SETS:
        row = rf"^{package.style} .*CC-BY-4\.0 +{package.npm} {re.escape(package.version)}$"
        assert re.search(row, notice, re.M), package


def test_users_prefer_a_series() -> None:
    items = pl.read_csv(SHOP / "items.csv").unique("sku")
    events = pl.read_csv(SHOP / "events.csv").join(items, on="sku")
    counts = events.group_by("customer", "series").len()
    best = counts.group_by("customer").agg(pl.col("len").max() / pl.col("len").sum())["len"]
    assert best.len() == 120
    assert best.median() > 0.7  # type: ignore[operator]


def test_the_commands_serve_a_small_shop_with_a_tiny_model(
    tmp_path: Path, pigeon: Callable[..., Any]
) -> None:
    raw, own = small_shop(tmp_path / "raw", 12), tmp_path / "own"
    init, *others = commands(raw, own)
    assert [words[0] for words in (init, *others)] == ["init", "check", "nightly", "sql", "sql"]
    assert pigeon(*init).code == 0
    settings = yaml.safe_load((own / "night.yaml").read_text("utf-8"))
    assert settings["recommender"] == {"group_by": "product"}
    write_model(tmp_path / "model")
    small = {name: SETTINGS[name] for name in ("generation", "gate", "plan")}
    quick = settings["recommender"] | {"epochs": 1}
    edit(own / "night.yaml", **small, model=str(tmp_path / "model"), recommender=quick)
    for words in others[:2]:
        ended = pigeon(*words)
        assert ended.code == 0, (words, ended.err)
    best, one = (json.loads(pigeon(*words, "--json").out) for words in others[2:])
    assert best["rows"]
    assert len(one["rows"]) == 1
    snapshot = own / "var" / "warehouse" / "serving.duckdb"
    [[served]] = ask(snapshot, "SELECT count(*) FROM served_assets").rows()
    assert served == 3
    report = json.loads((own / "var" / "runs" / DATE / "report.json").read_text("utf-8"))
    assert set(report["users_by_taste"]) <= {"Firefox OS", "Streamline", "Monotone"}
    assert (own / "var" / "runs" / DATE / "gallery.html").is_file()


def test_the_check_tells_the_faults_of_the_shop(tmp_path: Path, pigeon: Callable[..., Any]) -> None:
    init, check = commands(SHOP, tmp_path / "own")[:2]
    pigeon(*init, "--quiet")
    facts = json.loads(pigeon(*check, "--json").out)
    assert facts["problems"] == {
        "bad_interaction": 1,
        "duplicate_item": 1,
        "image_corrupt": 1,
        "image_missing": 1,
        "unknown_item": 3,
    }
    assert (facts["items"], facts["users_with_history"]) == (508, 120)
    assert [finding["level"] for finding in facts["findings"]] == ["warning", "warning"]
    # The bundled scorer reads these texts, though not as well as those of stickers.
    gate = facts["gate"]
    assert (gate["chosen_by"], gate["pictures"]) == ("calibration", 508)
    assert gate["auc"] > 0.9
    assert 0.95 <= gate["own_texts_pass"] < 0.97
    assert 0.25 < gate["wrong_texts_pass"] < 0.35
    assert "% with a wrong one" in facts["findings"][1]["finding"]
    assert facts["findings"][1]["advice"].startswith("Train a model on this catalogue")


@pytest.mark.slow
def test_the_bundled_model_draws_the_shop(tmp_path: Path, pigeon: Callable[..., Any]) -> None:
    own = tmp_path / "own"
    init, _, night, *_ = commands(SHOP, own)
    pigeon(*init, "--quiet")
    edit(own / "night.yaml", plan={"max_assets": 12, "shards": 1})
    facts = json.loads(pigeon(*night, "--json").out)
    assert facts["served"] >= 9
    with Image.open(ROOT / "docs" / "own-data.png") as shown:
        assert shown.width == 1280
