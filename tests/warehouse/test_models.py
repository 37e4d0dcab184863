"""The model registry over real DuckDB files and real folders of weights."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.errors import ModelError, WarehouseError
from pigeon_rec.runtime.digests import folder_sha256
from pigeon_rec.warehouse import connect, content_digest, open_warehouse
from pigeon_rec.warehouse._compact import compact
from pigeon_rec.warehouse.models import (
    TrainedModel,
    checked_weights,
    find_model,
    list_models,
    promote_model,
    register_model,
    serving_model,
)

SUNDAY = dt.datetime(2026, 6, 7, 4, tzinfo=dt.UTC)


def trained(folder: Path, version: str = "small-1", **changes: Any) -> TrainedModel:
    """A model whose weights are in `folder/<version>`."""
    weights = folder / version
    weights.mkdir(exist_ok=True)
    (weights / "config.json").write_text(version, encoding="utf-8")
    model = TrainedModel(
        version=version,
        parent_version="small-0",
        alignment="2026-06-07",
        config_hash="c" * 64,
        config={"plan": "smoke"},
        metrics={"text_score": {"difference": 0.25}},
        weights_path=version,
        weights_sha256=folder_sha256(weights),
        decision="accepted",
        reason="better in history_score",
    )
    return dataclasses.replace(model, **changes)


def test_a_registered_model_is_read_back_as_it_was(
    warehouse: DuckDBPyConnection, tmp_path: Path
) -> None:
    model = trained(tmp_path)
    registered = register_model(warehouse, model, now=SUNDAY)
    assert dataclasses.asdict(registered) == {
        **dataclasses.asdict(model),
        "created_at": SUNDAY,
        "promoted_at": None,
        "serving": False,
    }
    assert find_model(warehouse, "small-1") == registered
    assert find_model(warehouse, "small-2") is None
    assert serving_model(warehouse) is None


def test_the_newest_model_is_listed_first(warehouse: DuckDBPyConnection, tmp_path: Path) -> None:
    for day, version in enumerate(["b", "c", "a"]):
        register_model(warehouse, trained(tmp_path, version), now=SUNDAY + dt.timedelta(day))
    assert [model.version for model in list_models(warehouse)] == ["a", "c", "b"]


def test_registering_again_updates_the_decision_and_keeps_date_and_promotion(
    warehouse: DuckDBPyConnection, tmp_path: Path
) -> None:
    register_model(warehouse, trained(tmp_path), now=SUNDAY)
    promoted = promote_model(warehouse, "small-1", tmp_path, now=SUNDAY)
    renewed = trained(tmp_path, decision="refused", reason="worse", metrics={"text_score": 0.1})
    again = register_model(warehouse, renewed, now=SUNDAY + dt.timedelta(7))
    assert (again.decision, again.reason, again.metrics) == (
        "refused",
        "worse",
        {"text_score": 0.1},
    )
    assert (again.created_at, again.promoted_at) == (SUNDAY, promoted.promoted_at)
    assert again.serving
    assert len(list_models(warehouse)) == 1


@given(st.lists(st.sampled_from("abc"), max_size=8), st.data())
@settings(max_examples=12)
def test_only_the_model_promoted_last_serves(
    tmp_path_factory: pytest.TempPathFactory, order: list[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("models")
    with open_warehouse(folder / "pigeon.duckdb") as warehouse:
        for version in "abc":
            register_model(warehouse, trained(folder, version), now=SUNDAY)
        for version in order:
            # The clock of a machine may also be set back.
            hours = data.draw(st.integers(-3, 3))
            promote_model(warehouse, version, folder, now=SUNDAY + dt.timedelta(hours=hours))
            assert [m.version for m in list_models(warehouse) if m.serving] == [version]
            serving = serving_model(warehouse)
            assert serving is not None
            assert serving.version == version


def test_promoting_the_serving_model_changes_nothing(
    warehouse: DuckDBPyConnection, tmp_path: Path
) -> None:
    register_model(warehouse, trained(tmp_path), now=SUNDAY)
    first = promote_model(warehouse, "small-1", tmp_path, now=SUNDAY)
    later = SUNDAY + dt.timedelta(days=1)
    assert promote_model(warehouse, "small-1", tmp_path, now=later) == first


def test_an_unknown_model_is_refused_with_the_known_ones(
    warehouse: DuckDBPyConnection, tmp_path: Path
) -> None:
    register_model(warehouse, trained(tmp_path))
    with pytest.raises(WarehouseError, match=r"no model 'small-9'.*small-1"):
        promote_model(warehouse, "small-9", tmp_path)


def test_a_refused_model_is_promoted_only_despite_its_refusal(
    warehouse: DuckDBPyConnection, tmp_path: Path
) -> None:
    register_model(warehouse, trained(tmp_path, decision="refused", reason="concept fell by 0.2"))
    with pytest.raises(WarehouseError, match=r"concept fell by 0.2.*--despite-refusal"):
        promote_model(warehouse, "small-1", tmp_path)
    assert serving_model(warehouse) is None
    assert promote_model(warehouse, "small-1", tmp_path, despite_refusal=True).serving


def test_changed_weights_are_neither_returned_nor_promoted(
    warehouse: DuckDBPyConnection, tmp_path: Path
) -> None:
    model = register_model(warehouse, trained(tmp_path))
    assert checked_weights(model, tmp_path) == tmp_path / "small-1"
    (tmp_path / "small-1" / "config.json").write_text("tampered", encoding="utf-8")
    with pytest.raises(ModelError, match="were changed"):
        checked_weights(model, tmp_path)
    with pytest.raises(ModelError, match="were changed"):
        promote_model(warehouse, "small-1", tmp_path)
    assert serving_model(warehouse) is None


def test_missing_weights_raise_with_their_folder(
    warehouse: DuckDBPyConnection, tmp_path: Path
) -> None:
    model = register_model(warehouse, trained(tmp_path))
    with pytest.raises(ModelError, match=r"are gone.*elsewhere.*pigeon-rec models list"):
        checked_weights(model, tmp_path / "elsewhere")


def test_absolute_weights_need_no_work_directory(tmp_path: Path) -> None:
    model = trained(tmp_path, weights_path=str(tmp_path / "small-1"))
    assert checked_weights(model, tmp_path / "elsewhere") == tmp_path / "small-1"


def test_what_is_not_json_is_refused_and_nothing_written(
    warehouse: DuckDBPyConnection, tmp_path: Path
) -> None:
    with pytest.raises(WarehouseError, match="not JSON"):
        register_model(warehouse, trained(tmp_path, metrics={"text_score": float("nan")}))
    assert list_models(warehouse) == []


def test_before_the_first_night_there_are_no_models(tmp_path: Path) -> None:
    assert list_models(tmp_path / "pigeon.duckdb") == []
    assert serving_model(tmp_path / "pigeon.duckdb") is None


def test_a_file_from_before_the_registry_has_no_models(tmp_path: Path) -> None:
    file = tmp_path / "old.duckdb"
    with connect(file) as connection:
        connection.execute("CREATE TABLE schema_migrations (version INTEGER)")
    assert list_models(file) == []


def test_a_promotion_shows_in_the_digest_of_the_content_and_a_date_does_not(
    warehouse: DuckDBPyConnection, tmp_path: Path
) -> None:
    empty = content_digest(warehouse)
    register_model(warehouse, trained(tmp_path), now=SUNDAY)
    registered = content_digest(warehouse)
    promote_model(warehouse, "small-1", tmp_path)
    promoted = content_digest(warehouse)
    assert len({empty, registered, promoted}) == 3
    with open_warehouse(tmp_path / "other.duckdb") as other:
        register_model(other, trained(tmp_path))
        assert content_digest(other) == registered


def test_compacting_the_warehouse_keeps_the_registry(writer_path: Path, tmp_path: Path) -> None:
    with open_warehouse(writer_path) as connection:
        register_model(connection, trained(tmp_path), now=SUNDAY)
        promote_model(connection, "small-1", tmp_path)
        before = list_models(connection)
    compact(writer_path)
    assert list_models(writer_path) == before
    assert before[0].serving


def test_a_folders_digest_covers_names_and_bytes_but_not_its_path(tmp_path: Path) -> None:
    one, same, renamed = (tmp_path / name for name in ("one", "same", "renamed"))
    for folder, file in ((one, "a/x"), (same, "a/x"), (renamed, "a/y")):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_bytes(b"weights")
    assert folder_sha256(one) == folder_sha256(same) != folder_sha256(renamed)
    (same / "a" / "x").write_bytes(b"weight5")
    assert folder_sha256(one) != folder_sha256(same)
