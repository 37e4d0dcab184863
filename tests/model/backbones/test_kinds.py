"""How a setting names a backbone, and the options of each kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from pigeon_rec.config import BackboneConfig, NightlyConfig, load_config
from pigeon_rec.errors import ConfigError, ModelError
from pigeon_rec.model.backbones.kinds import DEFAULTS, check_options, is_function, kind_of
from pigeon_rec.model.loading import load_pipeline


def write(folder: Path, **files: object) -> Path:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return folder


def test_bundled_models_are_pigeons() -> None:
    assert kind_of("sticker-64") == "pigeon"


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"backbone": {"kind": "ip_adapter"}}, "ip_adapter"),
        ({"backbone": {"kind": "janus"}, "config": {}}, "janus"),
        ({"model_index": {}}, "ip_adapter"),
        ({"config": {"model_type": "janus"}}, "janus"),
        ({"config": {"name": "mine"}}, "pigeon"),
    ],
)
def test_the_files_of_a_folder_name_its_kind(
    tmp_path: Path, files: dict[str, object], kind: str
) -> None:
    assert kind_of(write(tmp_path, **files)) == kind


@pytest.mark.parametrize("content", [{}, {"kind": "flux"}, {"kind": ["janus"]}])
def test_an_unknown_kind_tells_the_known_ones(tmp_path: Path, content: object) -> None:
    with pytest.raises(ModelError, match=r"no kind .*ip_adapter.*janus"):
        kind_of(write(tmp_path, backbone=content))


@pytest.mark.parametrize("content", ["[]", "{", ""])
def test_a_damaged_file_is_our_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "backbone.json").write_text(content, "utf-8")
    with pytest.raises(ModelError, match="cannot be read"):
        kind_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "yes"),
    [("a:b", True), ("shop.draw:load", True), ("sticker-64", False), ("C:/x", False)],
)
def test_functions_are_told_from_names_and_paths(name: str, yes: bool) -> None:
    assert is_function(name) == yes


def test_pigeon_is_drawn_by_generation() -> None:
    with pytest.raises(ConfigError, match=r"no option steps.*Pigeon draws by `generation`"):
        check_options("pigeon", BackboneConfig(steps=3))
    check_options("pigeon", BackboneConfig())


def test_every_option_is_of_a_kind() -> None:
    known = {name for options in DEFAULTS.values() for name in options}
    assert known == set(BackboneConfig.model_fields)


def test_janus_needs_guidance() -> None:
    with pytest.raises(ConfigError, match="guidance"):
        check_options("janus", BackboneConfig(guidance=1.0))


def test_unknown_options_are_refused_when_the_settings_are_read(tmp_path: Path) -> None:
    night = tmp_path / "night.yaml"
    night.write_text("backbone: {strenght: 0.5}\n", "utf-8")
    with pytest.raises(ConfigError, match="strenght"):
        load_config(night)
    with pytest.raises(ValidationError):
        BackboneConfig(strength=0.0)


def test_folders_and_functions_are_written_in_the_settings(tmp_path: Path) -> None:
    night = tmp_path / "night.yaml"
    night.write_text("model: ./sd\nscorer: ./mine\n", "utf-8")
    config = load_config(night)
    assert (config.model, config.scorer) == (str(tmp_path / "sd"), str(tmp_path / "mine"))
    assert NightlyConfig(model="shop.draw:load", scorer="sticker-64").model == "shop.draw:load"


def test_training_and_alignment_need_one_of_pigeons(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="none of Pigeon's models"):
        load_pipeline(write(tmp_path, model_index={}))
