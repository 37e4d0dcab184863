"""A base model of the user's own, as a class or as `module:Class`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from recbole.config import Config
from recbole.model.general_recommender.bpr import BPR
from recbole.model.sequential_recommender.gru4rec import GRU4Rec
from recbole.quick_start import load_data_and_model

from pigeon_rec.errors import ConfigError, ModelError
from pigeon_rec.recbole_plugin import PigeonRecommender, load_pigeon
from pigeon_rec.recbole_plugin.checkpoints import read_checkpoint, restore_config
from pigeon_rec.recbole_plugin.examples import vbpr
from tests.recbole_plugin.conftest import Build
from tests.recbole_plugin.test_recommender import full_scores, trained
from tests.recbole_plugin.world import CONVENTIONS, settings, write_world

VBPR_SIZES = {"embedding_size": 8, "visual_size": 4, "reg_weight": 1e-5}
LABEL = "pigeon_rec.recbole_plugin.examples.vbpr:VBPR"


class Halved(BPR):
    """A class of the user's own script."""

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        scores: torch.Tensor = super().full_sort_predict(interaction)
        return scores / 2


def test_a_class_of_recbole_is_its_name(build: Build) -> None:
    assert torch.equal(full_scores(build(BPR)), full_scores(build("BPR")))
    built = build(GRU4Rec, train_neg_sample_args=None, hidden_size=16)
    assert built.model.sequential


def test_an_own_class_is_wrapped(build: Build) -> None:
    half, whole = (trained(build, base, pigeon_visual_weight=0) for base in (Halved, "BPR"))
    assert torch.equal(full_scores(half) * 2, full_scores(whole))
    assert trained(build, Halved).model.weight() >= 0.0


@pytest.mark.parametrize("base", [LABEL, vbpr.VBPR], ids=["module:Class", "class"])
def test_vbpr_is_wrapped_to_the_bit(base: Any, build: Build) -> None:
    given = {**CONVENTIONS, **VBPR_SIZES}
    own = trained(build, vbpr.VBPR, wrapped=False, **given)
    ours = trained(build, base, pigeon_visual_weight=0, **given)
    assert torch.equal(full_scores(ours), full_scores(own))
    rows = next(iter(own.test))[0]
    rows.update(type(rows)({"item_id": torch.arange(len(rows)) + 1}))
    expected = own.model.full_sort_predict(rows).view(len(rows), -1)
    picked = expected[torch.arange(len(rows)), rows["item_id"]]
    torch.testing.assert_close(own.model.predict(rows), picked)


def test_vbpr_learns_looks(build: Build) -> None:
    given = {**CONVENTIONS, **VBPR_SIZES, "epochs": 40, "learning_rate": 0.05}
    built = trained(build, vbpr.VBPR, wrapped=False, **given)
    result = built.trainer.evaluate(built.test, load_best_model=False)
    assert result["ndcg@10"] > 0.6  # two of the ten items of a look are unseen; by chance: 0.15


def test_the_example_is_a_run(build: Build, tmp_path: Path) -> None:
    path = Path(vbpr.__file__).with_suffix(".yaml")
    example = yaml.safe_load(path.read_text("utf-8"))
    write_world(tmp_path / "other", name="stickers")
    given = {"data_path": str(tmp_path / "other"), "state": "ERROR"}
    files = {"config_file_list": [str(path)], "config_dict": given}
    for model in (PigeonRecommender, vbpr.VBPR):
        config = Config(model=model, **files)
        assert (config["visual_size"], config["dataset"]) == (example["visual_size"], "stickers")


@pytest.mark.parametrize("base", [LABEL, Halved], ids=["module:Class", "class"])
def test_a_checkpoint_names_the_class(base: Any, build: Build) -> None:
    built = build(base, **CONVENTIONS, **VBPR_SIZES)
    built.trainer.fit(built.train, built.valid, verbose=False)
    path = built.trainer.saved_model_file
    label = base if isinstance(base, str) else f"{__name__}:Halved"
    assert read_checkpoint(path)["config"]["pigeon_base_model"] == label
    built.model.load_state_dict(read_checkpoint(path)["state_dict"])
    again, _, _ = load_pigeon(path)
    _, same, *_ = load_data_and_model(path)
    for model in (again, same):
        assert type(model.base) is type(built.model.base)
        for name, value in built.model.state_dict().items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(model.state_dict()[name], value)


def test_a_checkpoint_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "untrusted.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=r"module that is not imported, and reading .* no code"):
        restore_config({"pigeon_base_model": "untrusted:Model"})
    assert "untrusted" not in sys.modules


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("no_such_module:Model", "cannot import the base model 'no_such_module:Model'"),
        (f"{__name__}:Nothing", "has no attribute 'Nothing'"),
        (f"{__name__}:LABEL", "LABEL is no class"),
        ("pathlib:Path", "pathlib:Path is no model of RecBole's kind"),
        (Path, "no model of RecBole's kind: it must inherit GeneralRecommender"),
        (PigeonRecommender, "cannot wrap itself"),
        (":Model", "cannot import the base model ':Model'"),
    ],
)
def test_wrong_classes_are_named(base: Any, message: str, looks: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(model=PigeonRecommender, dataset="looks", config_dict=settings(looks, base))


def test_the_command_line_finds_a_module_of_the_current_folder(
    pigeon: Any, looks: Path, tmp_path: Path
) -> None:
    source = Path(vbpr.__file__).read_text("utf-8")
    (tmp_path / "my_models.py").write_text(source, encoding="utf-8")
    given = {**settings(looks, "my_models:VBPR"), **CONVENTIONS, **VBPR_SIZES, "epochs": 1}
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump({**given, "dataset": "looks"}), encoding="utf-8")
    found = pigeon("recbole", "run", "--config", config, "--json")
    assert found.code == 0, found.err
    assert '"ndcg@10"' in found.out
