"""The first weights of an alignment: split models, copied folders, nothing mixed."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from pigeon_rec.errors import ConfigError, ModelError, TrainingError
from pigeon_rec.model.version import model_version
from pigeon_rec.training import tracking
from pigeon_rec.training.configuration import TrainingConfig, load_training_config
from pigeon_rec.weekly.config import PromotionRules, WeeklyConfig
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.prepare import BACKBONE, begun, prepare
from tests.registered import promoted
from tests.training.tiny import CONFIG
from tests.weekly.conftest import SUNDAY


def tiny_model(config: WeeklyConfig) -> Path:
    return AlignmentPaths.of(config, SUNDAY).model("tiny")


def begin(config: WeeklyConfig, folder: Path, **changes: object) -> WeeklyConfig:
    """The same settings for an alignment elsewhere."""
    return config.model_copy(update={"work_dir": folder / "var", **changes})


def test_a_start_from_a_model_knows_its_parent(trained: WeeklyConfig, tmp_path: Path) -> None:
    config = begin(trained, tmp_path, start=str(tiny_model(trained)))
    record = prepare(config, SUNDAY)
    assert record.facts == {"parent_version": model_version(tiny_model(trained))}
    done = sorted(path.parent.name for path in (tmp_path / "var").rglob("model.safetensors"))
    assert done == sorted(BACKBONE)
    assert prepare(config, SUNDAY).kept


def test_a_start_from_a_training_folder_takes_its_backbone_only(
    trained: WeeklyConfig, tmp_path: Path
) -> None:
    source = AlignmentPaths.of(trained, SUNDAY).training
    config = begin(trained, tmp_path, start=str(source))
    assert prepare(config, SUNDAY).facts == {"parent_version": None}
    folder = AlignmentPaths.of(config, SUNDAY).training
    names = [*BACKBONE, "start.json", "tokenizer.json"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for name in BACKBONE:
        file = Path(name) / "model.safetensors"
        assert (folder / file).read_bytes() == (source / file).read_bytes()


def test_other_trackers_repeat_no_step(trained: WeeklyConfig, tmp_path: Path) -> None:
    config = begin(trained, tmp_path, start=str(tiny_model(trained)))
    prepare(config, SUNDAY)
    values = load_training_config(config.training).model_dump(mode="json")
    file = tmp_path / "told.json"
    file.write_text(json.dumps(values | {"trackers": ["tensorboard"]}), encoding="utf-8")
    told = config.model_copy(update={"training": str(file)})
    assert prepare(told, SUNDAY).kept
    assert begun(told, SUNDAY)[1].trackers == ("tensorboard",)


def test_a_tracker_that_is_not_installed_ends_the_first_step(
    trained: WeeklyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tracking._INSTALLED, "tensorboard", lambda: False)
    values = load_training_config(trained.training).model_dump(mode="json")
    file = tmp_path / "told.json"
    file.write_text(json.dumps(values | {"trackers": ["tensorboard"]}), encoding="utf-8")
    with pytest.raises(TrainingError, match="not installed: tensorboard"):
        prepare(begin(trained, tmp_path, training=str(file)), SUNDAY)
    assert not (tmp_path / "var").exists()


def test_the_serving_model_is_settled_when_the_alignment_begins(
    trained: WeeklyConfig, tmp_path: Path
) -> None:
    """A promotion in the middle of an alignment does not change what it trains from."""
    config = begin(trained, tmp_path, start="serving")
    first = promoted(config.work_dir, "first", tiny_model(trained))
    record = prepare(config, SUNDAY)
    assert record.facts == {"parent_version": first}
    second = promoted(config.work_dir, "second", tiny_model(trained))
    assert prepare(config, SUNDAY) == record.model_copy(update={"kept": True})
    next_sunday = SUNDAY + dt.timedelta(days=7)
    assert prepare(config, next_sunday).facts == {"parent_version": second}


def test_another_training_configuration_or_start_is_refused_before_any_work(
    trained: WeeklyConfig, tmp_path: Path
) -> None:
    config = begin(trained, tmp_path, start=str(tiny_model(trained)))
    prepare(config, SUNDAY)
    other = CONFIG.model_copy(update={"users": 3})
    path = tmp_path / "other.yaml"
    path.write_text(other.model_dump_json(), encoding="utf-8")
    for step in (prepare, begun):
        with pytest.raises(TrainingError, match=r"other values of training .*another date"):
            step(config.model_copy(update={"training": str(path)}), SUNDAY)
    with pytest.raises(TrainingError, match="begun with other values of start"):
        prepare(config.model_copy(update={"start": "scratch"}), SUNDAY)


def test_a_model_of_other_sizes_is_refused_with_the_parts_that_differ(
    trained: WeeklyConfig, tmp_path: Path
) -> None:
    config = begin(trained, tmp_path, start="sticker-64")
    with pytest.raises(TrainingError, match=r"differs .* in .*decoder.*tokenizer.*scratch"):
        prepare(config, SUNDAY)
    with pytest.raises(ModelError, match="no model 'sticker-128'"):
        prepare(config.model_copy(update={"start": "sticker-128"}), SUNDAY)


def test_a_configuration_without_stage_two_is_refused(
    trained: WeeklyConfig, tmp_path: Path
) -> None:
    loops = {name: loop for name, loop in CONFIG.loops.items() if name != "align"}
    path = tmp_path / "half.yaml"
    half: TrainingConfig = CONFIG.model_copy(update={"loops": loops})
    path.write_text(half.model_dump_json(), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no loop for align.*both stages"):
        prepare(begin(trained, tmp_path, training=str(path)), SUNDAY)
    assert not (tmp_path / "var").exists()


def test_a_rule_on_what_is_not_measured_stops_before_any_work(
    trained: WeeklyConfig, tmp_path: Path
) -> None:
    rules = PromotionRules(improve={"histroy": 0.0})
    with pytest.raises(
        ConfigError, match=r"rules for unknown metrics: histroy.*Metrics are: .*hist_jis"
    ):
        prepare(begin(trained, tmp_path, promotion_check=rules), SUNDAY)
    assert not (tmp_path / "var").exists()


def test_steps_before_prepare_say_what_to_run(trained: WeeklyConfig, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="pigeon-rec align prepare"):
        begun(begin(trained, tmp_path), SUNDAY)
