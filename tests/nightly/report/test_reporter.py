"""The report of a promoted night, read back as a browser and as a script would."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from pigeon_rec.config import NightlyConfig, ReportConfig
from pigeon_rec.errors import WarehouseError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.nightly.report import ReportSummary, report_night
from pigeon_rec.warehouse import ask, served_assets
from tests.nightly.made_night import NIGHT, MadeNight, Pair, small_night, write_catalogue
from tests.nightly.report.gallery_page import Gallery

HOSTILE = "<img src=x onerror=alert(1)>'\"&amp;"


Reported = tuple[NightlyConfig, ReportSummary]


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    catalogue = write_catalogue(tmp_path / "catalogue")
    return NightlyConfig(work_dir=tmp_path / "var", catalogue=str(catalogue), seed=7)


def _report(config: NightlyConfig, night: MadeNight | None = None) -> ReportSummary:
    (night or small_night()).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    return report_night(config, NIGHT)


def _gallery(summary: ReportSummary) -> Gallery:
    return Gallery(summary.gallery.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """The small night, published and reported once for all tests that only look at it."""
    folder = tmp_path_factory.mktemp("reported")
    catalogue = write_catalogue(folder / "catalogue")
    config = NightlyConfig(work_dir=folder / "var", catalogue=str(catalogue), seed=7)
    return config, _report(config)


def _numbers(summary: ReportSummary) -> dict[str, Any]:
    numbers: dict[str, Any] = json.loads(summary.report.read_text(encoding="utf-8"))
    return numbers


def test_every_picture_is_inside_the_page_and_decodes(reported: Reported) -> None:
    page = _gallery(reported[1])
    assert page.images
    for _, values in page.images:
        media, body = re.fullmatch(r"data:image/(png|webp);base64,(.+)", values["src"]).groups()  # type: ignore[union-attr]
        with Image.open(io.BytesIO(base64.b64decode(body, validate=True))) as image:
            assert image.format == media.upper()
            assert image.convert("RGB").size == (64, 64)
        assert values["alt"]


def test_the_page_shows_exactly_what_sql_serves(reported: Reported) -> None:
    config, summary = reported
    page = _gallery(summary)
    served = served_assets(NightPaths.of(config, NIGHT).serving)
    in_rows = page.bytes_of("asset")[-served.height :]
    hashes = sorted(hashlib.sha256(image).hexdigest() for image in in_rows)
    assert hashes == sorted(served["image_sha256"])
    assert page.tags.count("article.panel user") == served["user_id"].n_unique() == summary.users
    assert page.tags.count("div.row") == served.height == summary.served
    assert len(page.bytes_of("small")) == served["history_ids"].list.len().sum()


def test_numbers_match_the_tables(reported: Reported) -> None:
    config, summary = reported
    numbers = _numbers(summary)
    serving = NightPaths.of(config, NIGHT).serving
    run = ask(serving, "SELECT * FROM runs").row(0, named=True)
    assert numbers["counts"] == {
        **{name: run[name] for name in ("planned", "generated", "reused", "served", "rejected")},
        "skipped": 1,
        "users": 3,
        "cohort_assets": 0,
    }
    assert numbers["rejections"] == {"off_target": 1}
    assert numbers["skipped"] == {"short_history": 1}
    assert numbers["problems"] == {"image_corrupt": 1, "short_history": 1}
    assert sum(numbers["mask_ratios"].values()) == run["served"]
    assert numbers["content_sha256"] == run["content_sha256"]
    mean = ask(serving, "SELECT mean_text_score FROM asset_quality_daily").item()
    text = numbers["scores"]["text_score"]
    assert text["served"]["mean"] == pytest.approx(mean)
    assert (text["served"]["count"], text["rejected"]["count"]) == (5, 1)
    low, middle, high = (text["served"][name] for name in ("p05", "median", "p95"))
    assert low < middle < high


def test_the_page_has_cards_and_reasons(reported: Reported) -> None:
    text = " ".join(_gallery(reported[1]).text.split())
    for said in (
        "requests planned 6 1 skipped",
        "stickers served 5 to 3 users",
        "drawn 6 5 of them served",
        "rejected 1 16.7% of all requests",
        "Too far from the target off_target 1",
        "Too little history short_history 1",
        "off_target by 0.10",
        "Image damaged image_corrupt 1",
        "2 interactions, 5 are needed",
        "does not decode",
    ):
        assert text.count(said) == 1, said
    assert "has too little history" not in text


def test_styles_and_tastes_are_labelled(reported: Reported) -> None:
    page = _gallery(reported[1])
    text = " ".join(page.text.split())
    # A heading per taste, then its users.
    grouped = text.partition("in their histories.")[2]
    places = [grouped.index(word) for word in ("flat", "ada", "line", "bob", "cyd")]
    assert places == sorted(places)
    assert page.tags.count("h3.group") == 2
    assert _numbers(reported[1])["users_by_taste"] == {"flat": 1, "line": 2}
    references = [values["alt"] for figure, values in page.images if "reference" in figure]
    assert set(references) == {"Apple (flat)", "Boat (line)"}


def test_shared_references_are_compared(reported: Reported) -> None:
    config, summary = reported
    page = _gallery(summary)
    served = served_assets(NightPaths.of(config, NIGHT).serving)
    # Boat was rejected for one of three users; a comparison needs three.
    assert page.tags.count("div.panel comparison") == 1
    apples = served.filter(pl.col("item_id") == "flat/apple")
    shown = {hashlib.sha256(image).hexdigest() for image in page.bytes_of("asset")[:3]}
    assert shown == set(apples["image_sha256"])


def test_hostile_titles_and_ids_stay_text(config: NightlyConfig, tmp_path: Path) -> None:
    calm = _gallery(_report(config, MadeNight([Pair("eve", "flat/apple")])))
    evil = write_catalogue(tmp_path / "evil", {"flat/apple": HOSTILE, "flat/boat": HOSTILE})
    moved = {"catalogue": str(evil), "work_dir": tmp_path / "evil-var"}
    night = MadeNight([Pair(f"</h3>{HOSTILE}", "flat/apple")])
    page = _gallery(_report(config.model_copy(update=moved), night))
    assert page.tags == calm.tags
    assert page.users == [f"</h3>{HOSTILE}"]
    assert page.images[0][1]["alt"] == f"{HOSTILE} (flat)"


def test_a_night_of_the_serving_model_names_its_version(config: NightlyConfig) -> None:
    night = MadeNight([Pair("ada", "flat/apple")])
    named, serving = (
        _gallery(_report(config.model_copy(update={"model": model}), night)).text.split()
        for model in ("sticker-64", "serving")
    )
    # Every page has the version in its footer; this one has it in the heading too.
    assert (named.count("sticker-64"), named.count("model-1")) == (1, 1)
    assert (serving.count("serving"), serving.count("model-1")) == (0, 2)


def test_the_cap_leaves_users_out_and_counts_them(config: NightlyConfig) -> None:
    night = MadeNight([Pair(f"user-{n:02d}", "flat/apple") for n in range(10)])
    capped = config.model_copy(update={"report": ReportConfig(max_users=4)})
    summary = _report(capped, night)
    page = _gallery(summary)
    assert (summary.users, summary.users_shown) == (10, 4)
    assert page.users == [f"user-{n:02d}" for n in (0, 2, 5, 7)]
    assert "6 more users are served but not shown here" in page.text
    assert _numbers(summary)["gallery"] == {"users_shown": 4, "users_left_out": 6}


def test_a_missing_item_and_a_broken_original_leave_a_gap(config: NightlyConfig) -> None:
    catalogue = Path(config.catalogue)
    (catalogue.parent / "images" / "flat-boat.png").write_bytes(b"broken")
    items = pl.read_parquet(catalogue)
    items.filter(pl.col("item_id") != "flat/cat").write_parquet(catalogue)
    page = _gallery(_report(config, MadeNight([Pair("ada", "flat/apple")])))
    assert len(page.bytes_of("small")) == 2
    assert page.tags.count("span.missing") == 2
    assert len(page.bytes_of("asset")) == 1


def test_a_catalogue_without_styles_is_shown_without_labels(config: NightlyConfig) -> None:
    items = pl.read_parquet(config.catalogue)
    items.drop("style").write_parquet(config.catalogue)
    summary = _report(config)
    page = _gallery(summary)
    assert not [tag for tag in page.tags if "chip" in tag or "group" in tag]
    assert {values["alt"] for f, values in page.images if "reference" in f} == {"Apple", "Boat"}
    assert "One sticker, several users" in page.text
    text = " ".join(page.text.split())
    assert "not grouped by taste: no item in their histories has a value of style in the" in text
    assert _numbers(summary)["users_by_taste"] == {}


SCENARIO = """
task: Draw one for this person.
input: "Input:"
target: "{semantics}"
response: "Response:"
picture: icône
pictures: icônes
"""
LONG = "x" * 500


def _own_words(config: NightlyConfig, tmp_path: Path, facts: str) -> tuple[ReportSummary, Gallery]:
    """The page of the small night in a scenario of the user's own, with a column `mood`."""
    (tmp_path / "mood.yaml").write_text(SCENARIO + facts, encoding="utf-8")
    moods = pl.col("style").replace({"flat": "calm|<b>wild</b>", "line": LONG})
    items = pl.read_parquet(config.catalogue).with_columns(mood=moods)
    items.write_parquet(config.catalogue)
    summary = _report(config.model_copy(update={"scenario": str(tmp_path / "mood.yaml")}))
    return summary, _gallery(summary)


def test_page_and_report_have_the_words_of_the_scenario(
    config: NightlyConfig, tmp_path: Path
) -> None:
    summary, page = _own_words(config, tmp_path, "taste: mood\nlabel: category\n")
    text = " ".join(page.text.split())
    for said in ("icônes served", "One icône, several tastes", "Each icône shows", "of mood in"):
        assert said in text, said
    assert "sticker" not in re.sub("sticker-64", "", summary.gallery.read_text(encoding="utf-8"))
    references = {values["alt"] for figure, values in page.images if "reference" in figure}
    assert references == {"Apple (things)", "Boat (things)"}
    numbers = _numbers(summary)
    assert numbers["scenario"] == {"name": "mood", "pictures": "icônes", "taste": "mood"}
    assert numbers["users_by_taste"] == {"<b>wild</b>": 1, LONG: 2}


def test_users_of_a_scenario_without_taste_are_not_grouped(
    config: NightlyConfig, tmp_path: Path
) -> None:
    summary, page = _own_words(config, tmp_path, "taste: null\n")
    assert "h3.group" not in page.tags
    assert "One icône, several users" in page.text
    assert "grouped" not in page.text
    assert {values["alt"] for f, values in page.images if "reference" in f} == {"Apple", "Boat"}
    assert _numbers(summary)["scenario"]["taste"] is None


def test_a_cut_text_is_whole_in_its_tooltip(config: NightlyConfig, tmp_path: Path) -> None:
    items = write_catalogue(Path(config.catalogue).parent, {"flat/apple": LONG})
    assert str(items) == config.catalogue
    user = "שלום " * 100
    page = _report(config, MadeNight([Pair(user, "flat/apple")])).gallery
    tooltips = re.findall(r'class="own [^"]*" dir="auto" title="([^"]*)"', page.read_text("utf-8"))
    assert {LONG, user} <= set(tooltips)


def test_assets_of_cohorts_are_counted_but_not_shown(config: NightlyConfig) -> None:
    night = small_night()
    night.pairs.append(Pair("cohort:0", "line/cat"))
    night.members = {"ada": "cohort:0", "dan": "cohort:0"}
    summary = _report(config, night)
    page = _gallery(summary)
    assert page.users == ["ada", "bob", "cyd"]
    text = " ".join(page.text.split())
    assert "stickers served 5 to 3 users" in text
    assert "for taste cohorts 1 1 cohort" in text
    serving = NightPaths.of(config, NIGHT).serving
    of_cohort = ask(serving, "SELECT * FROM asset_for('dan', 'line/cat')").row(0, named=True)
    assert of_cohort["origin"] == "cohort"
    shown = {hashlib.sha256(image).hexdigest() for image in page.bytes_of("asset")}
    assert of_cohort["image_sha256"] not in shown
    counts = _numbers(summary)["counts"]
    assert (counts["served"], counts["users"], counts["cohort_assets"]) == (6, 3, 1)


def test_an_empty_night_is_reported(config: NightlyConfig) -> None:
    summary = _report(config, MadeNight([], skipped=small_night().skipped))
    page = _gallery(summary)
    assert "Nothing was served this night." in page.text
    assert not page.images
    assert _numbers(summary)["counts"]["served"] == 0
    assert _numbers(summary)["scores"] == {}


def test_reporting_twice_gives_the_same_files(config: NightlyConfig) -> None:
    first = _report(config)
    files = [path.read_bytes() for path in (first.report, first.gallery)]
    publish_night(config, NIGHT)
    promote_night(config)
    again = report_night(config, NIGHT)
    assert again == first
    assert [path.read_bytes() for path in (again.report, again.gallery)] == files


def test_a_night_that_is_not_promoted_is_an_error(config: NightlyConfig) -> None:
    small_night().write(config)
    publish_night(config, NIGHT)
    with pytest.raises(WarehouseError, match="there is no warehouse"):
        report_night(config, NIGHT)
    promote_night(config)
    with pytest.raises(WarehouseError, match=r"night of 2026-06-02 is not .*nightly promote"):
        report_night(config, NIGHT.replace(day=2))
