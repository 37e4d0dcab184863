from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import load_config
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.import_movies import import_movies
from pigeon_rec.data.movielens import read_movielens
from pigeon_rec.errors import CatalogueError, ConfigError, InteractionError
from pigeon_rec.inputs.prepare import prepare_inputs
from pigeon_rec.inputs.starter import TeamTables, find_tables, parse_columns, write_night
from tests.data.films import write_csv
from tests.data.pictures import save_picture, save_shop

EVENTS = "customer_id,sku,created_at\n1,2,2026-05-30\n"


def write_events(folder: Path, name: str = "events.csv") -> Path:
    path = folder / name
    path.write_text(EVENTS, encoding="utf-8")
    return path


def test_the_written_file_is_a_night_over_the_tables(tmp_path: Path) -> None:
    save_shop(tmp_path)
    write_events(tmp_path)
    path = write_night(tmp_path, find_tables(tmp_path, None, None, None, None))
    config = load_config(path)
    assert config.columns.items.id == "sku"
    assert config.columns.items.image == "photo"
    assert config.columns.interactions.time == "created_at"
    prepared = prepare_inputs(config, refresh=True)
    assert prepared.imports["catalogue"]["items"] == 12
    assert prepared.imports["interactions"]["kept"] == 1


def test_files_may_lie_anywhere(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    pictures = tmp_path / "pictures"
    save_picture(pictures / "2.png")
    top = tmp_path / "shop" / "top.csv"
    top.write_text("uid,asin,score\n1,2,0.5\n", encoding="utf-8")
    tables = find_tables(tmp_path / "new", pictures, write_events(tmp_path / "shop"), top, None)
    config = load_config(write_night(tmp_path / "new", tables))
    prepared = prepare_inputs(config, refresh=True)
    assert prepared.imports["catalogue"]["items"] == 1
    assert prepared.imports["recommendations"]["kept"] == 1
    assert config.work_dir == tmp_path / "new" / "var"


@pytest.mark.parametrize("name", ['odd "quoted" name', "a: b", "#x", "{y}", "ünï"])
def test_any_column_name_survives_yaml(tmp_path: Path, name: str) -> None:
    picture = save_picture(tmp_path / "a.png")
    quoted = name.replace('"', '""')
    items = tmp_path / "items.csv"
    items.write_text(f'id,image,"title {quoted}"\n1,{picture.name},x\n', encoding="utf-8")
    events = tmp_path / "events.csv"
    events.write_text('user,item,time,"rating"\n"1",1,2026-05-30,5\n', encoding="utf-8")
    text = write_night(tmp_path, TeamTables(items, events)).read_text(encoding="utf-8")
    edited = text.replace('image: "image"', f'image: "image", title: {_yaml(f"title {name}")}')
    (tmp_path / "night.yaml").write_text(edited, encoding="utf-8")
    prepared = prepare_inputs(load_config(tmp_path / "night.yaml"), refresh=True)
    assert prepared.imports["catalogue"]["columns"]["title"] == f"title {name}"


def _yaml(text: str) -> str:
    import json

    return json.dumps(text)


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "night.yaml").write_text("seed: 1\n", encoding="utf-8")
    save_shop(tmp_path)
    tables = TeamTables(tmp_path / "products.csv", write_events(tmp_path))
    with pytest.raises(ConfigError, match=r"a night\.yaml already"):
        write_night(tmp_path, tables)
    assert (tmp_path / "night.yaml").read_text(encoding="utf-8") == "seed: 1\n"


def test_missing_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no table of items"):
        find_tables(tmp_path, None, None, None, None)
    save_shop(tmp_path)
    with pytest.raises(ConfigError, match="no table of interactions"):
        find_tables(tmp_path, None, None, None, None)


def test_a_table_without_what_is_needed_writes_nothing(tmp_path: Path) -> None:
    save_shop(tmp_path)
    bad = tmp_path / "events.csv"
    bad.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(
        InteractionError, match=r"no column holds the user.*--columns interactions\.user=COLUMN"
    ):
        write_night(tmp_path, TeamTables(tmp_path / "products.csv", bad))
    with pytest.raises(CatalogueError, match="no such file"):
        write_night(tmp_path, TeamTables(tmp_path / "no.csv", write_events(tmp_path)))
    assert not (tmp_path / "night.yaml").exists()


def test_columns_may_be_given(tmp_path: Path) -> None:
    save_shop(tmp_path)
    events = tmp_path / "events.csv"
    events.write_text("who;what;when;stars\n1;2;30.05.2026;5\n1;3;30.05.2026;2\n", "utf-8")
    given = parse_columns(
        [
            *("interactions.user=who", "interactions.item=what", "interactions.time=when"),
            *("interactions.time_format=%d.%m.%Y", "interactions.min_rating=4"),
            "items.keep=brand,photo",
        ]
    )
    tables = TeamTables(tmp_path / "products.csv", events)
    config = load_config(write_night(tmp_path, tables, columns=given))
    assert config.columns.interactions.model_dump(exclude_defaults=True) == {
        "user": "who", "item": "what", "time": "when", "rating": "stars", "min_rating": 4.0,
        "time_format": "%d.%m.%Y",
    }  # fmt: skip
    assert config.columns.items.keep == ("brand", "photo")
    assert prepare_inputs(config, refresh=True).imports["interactions"]["kept"] == 1


@pytest.mark.parametrize("given", ["who", "interactions=who", "items.nope=x", "shops.id=x"])
def test_columns_that_do_not_exist_are_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"--columns"):
        parse_columns([given])


@pytest.mark.parametrize("name", ["Products.CSV", "ITEMS.tsv.gz"])
def test_files_of_usual_names_are_found_in_any_case(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    write_events(tmp_path, "Events.Csv")
    (tmp_path / "items.csv.d").mkdir()
    tables = find_tables(tmp_path, None, None, None, None)
    assert (tables.items.name, tables.interactions.name) == (name, "Events.Csv")


def test_recbole_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "shop.item").write_text("item_id:token\timage:token\n1\ta.png\n", encoding="utf-8")
    (tmp_path / "shop.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n1\t1\t1780142400\n", encoding="utf-8"
    )
    tables = find_tables(tmp_path, None, None, None, None)
    assert (tables.items.name, tables.interactions.name) == ("shop.item", "shop.inter")


@pytest.mark.parametrize("name", ["motif 😀", 'a "b": {c}', "x\u2028y", "a\x85b", "\\#", "a\tb"])
def test_found_columns_and_paths_of_any_name_are_quoted(tmp_path: Path, name: str) -> None:
    folder = tmp_path / f"shop {name}"
    save_shop(folder)
    table = folder / "products.csv"
    quoted = name.replace('"', '""')
    table.write_text(table.read_text("utf-8").replace("brand\n", f'"{quoted}"\n', 1), "utf-8")
    path = write_night(tmp_path, TeamTables(table, write_events(folder)), group_by=name.strip())
    config = load_config(path)
    assert config.recommender.group_by == name.strip()
    assert Path(config.catalogue).samefile(table)


def test_a_scenario_of_the_team_is_found_from_the_new_file(tmp_path: Path) -> None:
    save_shop(tmp_path)
    scenario = tmp_path / "toys.yaml"
    scenario.write_text(
        "task: Draw it.\ninput: 'Input:'\ntarget: 'Show {title}.'\nresponse: 'Response:'\n",
        encoding="utf-8",
    )
    tables = TeamTables(tmp_path / "products.csv", write_events(tmp_path))
    config = load_config(write_night(tmp_path / "new", tables, str(scenario)))
    assert Path(config.scenario).samefile(scenario)


@pytest.mark.parametrize(("scenario", "group_by"), [("no.yaml", None), ("sticker", "motif")])
def test_a_wrong_scenario_or_group_writes_nothing(
    tmp_path: Path, scenario: str, group_by: str | None
) -> None:
    save_shop(tmp_path)
    tables = TeamTables(tmp_path / "products.csv", write_events(tmp_path))
    with pytest.raises(ConfigError, match=r"no scenario|no column 'motif'"):
        write_night(tmp_path, tables, scenario, group_by)
    assert not (tmp_path / "night.yaml").exists()


def test_columns_that_were_not_found_are_named(tmp_path: Path) -> None:
    save_shop(tmp_path)
    tables = TeamTables(tmp_path / "products.csv", write_events(tmp_path))
    text = write_night(tmp_path, tables).read_text("utf-8")
    assert "# no column was found for: text, category\n" in text


def test_a_folder_behind_a_link_finds_its_files(tmp_path: Path) -> None:
    save_shop(tmp_path / "raw")
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "down")
    tables = TeamTables(tmp_path / "raw" / "products.csv", write_events(tmp_path / "raw"))
    config = load_config(write_night(tmp_path / "link", tables))
    assert config.catalogue == str(tmp_path / "raw" / "products.csv")
    assert prepare_inputs(config, refresh=True).imports["catalogue"]["items"] == 12


def test_movielens_with_posters_comes_through_the_same_door(tmp_path: Path) -> None:
    folder = write_csv(tmp_path / "ml")
    for name in ("1.jpg", "2.png", "5.webp"):
        save_picture(tmp_path / "posters" / name)
    tables = find_tables(folder, None, None, None, tmp_path / "posters")
    assert (tables.items.name, tables.interactions.name) == ("movies.csv", "ratings.csv")
    path = write_night(folder, tables, "movie")
    text = path.read_text("utf-8").replace('rating: "rating"', 'rating: "rating", min_rating: 4')
    path.write_text(text, encoding="utf-8")
    prepared = prepare_inputs(load_config(path), refresh=True)
    items = load_catalogue(prepared.config.catalogue).items
    assert items.select("item_id", "title", "genres").rows()[1] == (
        "2", "Matrix, The (1999)", "Action|Sci-Fi",
    )  # fmt: skip
    assert prepared.imports["catalogue"]["problems"] == {"image_missing": 2}
    own = import_movies(read_movielens(folder), tmp_path / "posters", tmp_path / "own")
    assert items["item_id"].equals(pl.read_parquet(own.items.path)["item_id"])
    rows = pl.read_parquet(prepared.config.interactions)
    assert rows.equals(pl.read_parquet(own.interactions.path))
