from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.errors import ConfigError, WarehouseError
from pigeon_rec.warehouse import migrate, open_warehouse, promote, publish
from pigeon_rec.warehouse.connection import connect
from pigeon_rec.warehouse.marking import Marker
from pigeon_rec.warehouse.verify import Verdict, verify_pictures
from tests.warehouse.nights import assets_of, key_of, night_of, picture
from tests.warehouse.test_upgrades import migrations_until

ANN, BEN = ("ann", "noto/apple"), ("ben", "noto/apple")


@pytest.fixture
def files(writer_path: Path, serving: Path, tmp_path: Path) -> dict[str, Path]:
    """A served picture, the same as it was drawn, one of somebody else, and no picture."""
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of([ANN]), marker=Marker("metadata"))
        [(image,)] = connection.execute("SELECT image FROM assets").fetchall()
    promote(writer_path, serving)
    contents = {
        "marked": image,
        "drawn": assets_of([ANN])["image"][0],
        "other": picture("another"),
        "broken": image[: len(image) // 2],
        "text": b"no picture",
    }
    paths = {name: tmp_path / f"{name}.png" for name in contents}
    for name, content in contents.items():
        paths[name].write_bytes(content)
    return {**paths, "missing": tmp_path / "missing.png"}


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_marked_picture(files: dict[str, Path], serving: Path) -> None:
    [verdict] = verify_pictures([files["marked"]], warehouse=serving)
    assert verdict == Verdict(
        file=str(files["marked"]),
        sha256=sha256_of(files["marked"]),
        marking="metadata",
        model_version="sticker-64@1",
        asset_key=key_of(ANN),
        known=True,
    )
    assert verify_pictures([files["marked"]])[0].known is None


def test_an_unmarked_picture_may_be_known(files: dict[str, Path], serving: Path) -> None:
    drawn, other = verify_pictures([files["drawn"], files["other"]], warehouse=serving)
    assert (drawn.marking, drawn.known, drawn.asset_key) == ("none", True, key_of(ANN))
    assert (other.marking, other.known, other.asset_key) == ("none", False, None)
    assert drawn.problem == other.problem == "it is not marked as generated"


def test_unreadable_files_are_told_and_do_not_stop_the_others(files: dict[str, Path]) -> None:
    names = ("broken", "text", "missing", "marked")
    broken, text, missing, marked = verify_pictures([files[name] for name in names])
    assert str(broken.problem).startswith("this is no readable picture: ")
    assert str(text.problem).startswith("this is no readable picture: ")
    assert missing.problem == "the file cannot be read: No such file or directory"
    assert (missing.sha256, text.sha256) == (None, sha256_of(files["text"]))
    assert marked.problem is None


def test_metadata_alone_is_no_trusted_signature(files: dict[str, Path], tmp_path: Path) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_text("")
    [verdict] = verify_pictures([files["marked"]], trusted=authority)
    assert verdict.problem == "it is not signed with a trusted certificate"
    with pytest.raises(ConfigError, match="cannot read the trusted certificates"):
        verify_pictures([files["marked"]], trusted=tmp_path / "no.pem")


def test_a_signature_is_not_taken_on_trust_without_the_package(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    image = files["marked"].read_bytes()
    files["marked"].write_bytes(image + b"jumb c2pa")
    [verdict] = verify_pictures([files["marked"]])
    assert (verdict.marking, verdict.signature) == ("metadata", "unchecked")
    assert "pip install 'pigeon-rec[c2pa]'" in str(verdict.problem)


def test_a_warehouse_without_the_list_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    old = tmp_path / "old.duckdb"
    with connect(old) as connection:
        migrate(connection, migrations_until(7, tmp_path / "migrations"))
    with pytest.raises(WarehouseError, match="did not keep a list"):
        verify_pictures([files["marked"]], warehouse=old)
    with pytest.raises(WarehouseError, match="there is no"):
        verify_pictures([files["marked"]], warehouse=tmp_path / "no.duckdb")


def test_the_command(files: dict[str, Path], serving: Path, pigeon: Any) -> None:
    ended = pigeon("verify", files["marked"], "--warehouse", serving)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("marked as generated (metadata)\n")
    assert key_of(ANN) in ended.out
    ended = pigeon("verify", files["marked"], files["drawn"], "--json", "--warehouse", serving)
    assert ended.code == 1
    marked, drawn = json.loads(ended.out)["pictures"]
    assert marked["marking"] == "metadata"
    assert marked["problem"] is None
    assert (drawn["marking"], drawn["known"]) == ("none", True)


def test_the_command_that_marks_stored_pictures(tmp_path: Path, pigeon: Any) -> None:
    folder = tmp_path / "var"
    with open_warehouse(folder / "warehouse" / "pigeon.duckdb") as connection:
        publish(connection, night_of([ANN, BEN]))
    ended = pigeon("warehouse", "mark", "--work-dir", folder, "--json")
    assert (ended.code, json.loads(ended.out)) == (0, {"marked": 2})
    assert pigeon("warehouse", "check", "--work-dir", folder).code == 0
    unmarked = tmp_path / "night.yaml"
    unmarked.write_text(f"work_dir: {folder}\nwarehouse: {{marking: null}}\n")
    ended = pigeon("warehouse", "mark", "--config", unmarked)
    assert ended.code == 2
    assert "Set warehouse.marking" in ended.err
