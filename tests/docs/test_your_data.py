"""What `docs/your-data.md` says of tables, values and problems is what the product does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pigeon_rec.config import load_config
from pigeon_rec.data.catalogue import REQUIRED_COLUMNS, load_catalogue
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.recommendations import load_recommendations
from pigeon_rec.data.tables.values import MISSING_WORDS
from pigeon_rec.inputs.prepare import prepare_inputs
from tests.conftest import ROOT
from tests.data.pictures import save_picture, save_shop
from tests.docs.pages import blocks, text_of

PAGE = text_of("docs/your-data.md")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all files that the page names; it is the working directory."""
    monkeypatch.chdir(tmp_path)
    save_shop(tmp_path)
    rows = pl.read_csv("products.csv").with_columns(
        photo=pl.col("photo").str.strip_prefix("photos/"), description=pl.col("name"), kind=1
    )
    rows.write_csv("products.csv")
    seen = [(user, (user + place) % 12, place) for user in range(4) for place in range(8)]
    events = "".join(f"{user},{item},2026-05-{place + 10},5\n" for user, item, place in seen)
    Path("events.csv").write_text("customer_id,sku,created_at,stars\n" + events, encoding="utf-8")
    top = pl.DataFrame({"customer_id": [3, 3], "sku": [5, 9], "score": [0.9, 0.8]})
    top.write_parquet("top_k.parquet")
    Path("ratings.dat").write_text("1::5::4::978300760\n1::6::3::978300761\n", encoding="utf-8")
    with duckdb.connect("shop.duckdb") as connection:
        connection.execute(
            "CREATE TABLE sales AS SELECT 3 AS customer, 5 AS sku, "
            "TIMESTAMP '2026-05-30' AS seen_at, false AS returned"
        )
        connection.execute('CREATE TABLE top_k AS SELECT 3 AS "user", 5 AS item, 0.5 AS score')
    return tmp_path


def test_every_settings_file_reads_its_tables(shop: Path) -> None:
    whole, query, headerless = blocks(PAGE, "yaml")
    (shop / "whole.yaml").write_text(whole, encoding="utf-8")
    prepared = prepare_inputs(load_config(shop / "whole.yaml"), refresh=True)
    assert set(prepared.imports) == {"catalogue", "interactions", "recommendations"}
    catalogue = load_catalogue(prepared.config.catalogue)
    assert catalogue.items["brand"].to_list()[:2] == ["brand 0", "brand 1"]
    (shop / "query.yaml").write_text(query, encoding="utf-8")
    rows = prepare_inputs(load_config(shop / "query.yaml"), refresh=True).config.interactions
    assert pl.read_parquet(rows)["item_id"].to_list() == ["5"]
    text = "interactions: ratings.dat\n" + headerless
    (shop / "headerless.yaml").write_text(text, encoding="utf-8")
    rows = prepare_inputs(load_config(shop / "headerless.yaml"), refresh=True).config.interactions
    assert pl.read_parquet(rows)["item_id"].to_list() == ["5"]


def _lines() -> list[list[str]]:
    lines = [line for code in blocks(PAGE, "bash") for line in code.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line]


def test_the_commands_that_import_and_check(shop: Path, pigeon: Callable[..., Any]) -> None:
    ran = []
    for words in _lines():
        if words[0] in ("init", "check", "import"):
            ended = pigeon(*words)
            assert ended.code == 0, (words, ended.out, ended.err)
            ran.append(words[0])
    assert ran == ["init", "check", "import", "import", "import"]
    catalogue = load_catalogue("data/items.parquet")
    assert load_interactions("data/interactions.parquet", catalogue)[0].height == 32
    assert load_recommendations(Path("data/recommendations.parquet"))[0].height == 1


@pytest.mark.slow
def test_from_a_csv_with_whole_numbers_to_a_picture_by_sql(
    shop: Path, pigeon: Callable[..., Any]
) -> None:
    """Five commands and no Python, as the page promises; one picture is drawn to keep it short."""
    init, check, night, sql = _lines()[:4]
    pigeon(*init)
    path = shop / "shop" / "night.yaml"
    settings = path.read_text("utf-8").replace("max_assets: 100", "max_assets: 1")
    path.write_text(settings + "gate: {min_text_score: -1}\nplan_note: x\n", encoding="utf-8")
    refused = pigeon(*check)
    assert refused.code == 2
    assert "plan_note" in refused.err
    path.write_text(settings + "gate: {min_text_score: -1}\n", encoding="utf-8")
    assert pigeon(*check).code == 0
    assert pigeon(*night).code == 0
    found = pigeon(*sql, "--json").out
    assert '"origin"' in found


def test_python_programs_run(shop: Path) -> None:
    save_picture(shop / "pictures" / "apple.png")
    save_picture(shop / "pictures" / "boat.jpg")
    tables, importing = blocks(PAGE, "python")
    exec(compile(tables, "your-data.md", "exec"), {})  # noqa: S102
    names: dict[str, Any] = {}
    exec(compile(importing, "your-data.md", "exec"), names)  # noqa: S102
    assert names["imported"].items == 2
    rows, problems = load_interactions("interactions.parquet", names["catalogue"])
    assert (rows.height, problems) == (2, [])
    assert load_recommendations(Path("recommendations.parquet"))[0].height == 1


def test_the_kinds_of_problems_are_those_of_the_code() -> None:
    source = "".join(
        path.read_text("utf-8") for path in sorted((ROOT / "pigeon_rec").rglob("*.py"))
    )
    table = PAGE.partition("| kind | meaning |")[2].partition("\n\n")[0]
    kinds = {kind for row in re.findall(r"^\| (`.*?`) \|", table, re.M) for kind in row.split(", ")}
    assert len(kinds) == 13
    for kind in kinds:
        assert f'"{kind.strip("`")}"' in source, kind
    written = re.findall(r'BrokenImage\(\s*"(\w+)"', source)
    assert {f"`{kind}`" for kind in written} <= kinds


def test_columns_of_a_catalogue_are_described() -> None:
    own = PAGE.partition("## Our own form")[2].partition("`interactions.parquet`")[0]
    assert {*REQUIRED_COLUMNS, "image"} <= set(re.findall(r"`(\w+)`", own))


def test_the_words_for_a_missing_value_are_listed() -> None:
    [row] = [line for line in PAGE.splitlines() if line.startswith("| missing |")]
    assert set(re.findall(r"`(.+?)`", row)) | {""} == set(MISSING_WORDS)
