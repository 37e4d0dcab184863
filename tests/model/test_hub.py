"""Models of the Hugging Face Hub, with its real client against a Hub on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants as client
import numpy as np
import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.drawing.models import chosen_model, register_by_hand
from pigeon_rec.errors import ConfigError, ModelError
from pigeon_rec.model import paths
from pigeon_rec.model.card import CardFacts, read_card, write_card
from pigeon_rec.model.hub import HubModel, cached_model, parse, push_folder
from pigeon_rec.model.loading import load_pipeline
from pigeon_rec.model.paths import model_folder, model_name
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.settings import check_settings
from tests.model.fake_hub import FakeHub
from tests.model.tiny import QUICK, pictures

ROOT = Path(__file__).resolve().parents[2]
NAME = "team/tiny"
VERSION = r"team--tiny@([0-9a-f]{40})-[0-9a-f]{12}"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    server = FakeHub()
    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(client, "ENDPOINT", server.endpoint)
    monkeypatch.setattr(client, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(client, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(client, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)  # where there is no folder `team`
    yield server
    server.close()


@pytest.fixture(scope="module")
def saved(pipeline: PigeonPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "tiny"
    pipeline.save_pretrained(folder)
    return folder


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "HF_HUB_OFFLINE", True)


def test_what_is_pushed_draws_the_same_pictures(
    hub: FakeHub, pipeline: PigeonPipeline, saved: Path
) -> None:
    pushed = pipeline.push_to_hub(NAME, license="mit")
    assert pushed.repository == NAME
    loaded = PigeonPipeline.from_pretrained(NAME, batch_size=4)
    local = PigeonPipeline.from_pretrained(saved, batch_size=4)
    given: Any = (pictures(1, 3), pictures(1, seed=1), ["a cat"])
    ours, theirs = (p(*given, keys=["a"], settings=QUICK).images for p in (loaded, local))
    assert np.array_equal(ours, theirs)
    assert read_card(model_folder(NAME)) == CardFacts("mit")
    assert set(hub.commits[str(pushed.revision)]) == {path.name for path in saved.iterdir()}


def test_the_commit_is_in_the_version(hub: FakeHub, saved: Path) -> None:
    commit = hub.add_folder(NAME, saved)
    version = model_version(NAME)
    found = re.fullmatch(VERSION, version)
    assert found is not None
    assert found[1] == commit
    folder = model_folder(NAME)
    # However it is named, it is one version.
    names: list[str | Path] = [f"hf://{NAME}", f"{NAME}@{commit}", f"hf://{NAME}@main", folder]
    assert {model_version(name) for name in names} == {version}
    assert version.endswith(model_version(saved)[-13:])
    assert cached_model(folder) == HubModel(NAME, commit)
    assert model_name(folder) == f"{NAME}@{commit}"
    assert model_name(saved) == "tiny"


def test_another_commit_is_another_version_even_with_equal_weights(
    hub: FakeHub, saved: Path
) -> None:
    first = hub.add_folder(NAME, saved)
    before = model_version(NAME)
    second = hub.commit(NAME, {"README.md": b"another text"})
    assert second != first
    after = model_version(NAME)
    assert (first in before, second in after) == (True, True)
    assert before[-13:] == after[-13:]
    assert model_folder(NAME, revision=first) != model_folder(NAME)
    assert model_version(model_folder(NAME, revision=first)) == before


def test_branches_and_commits_are_revisions(hub: FakeHub, saved: Path) -> None:
    commit = hub.add_folder(NAME, saved)
    pushed = push_folder(saved, NAME, branch="next")
    assert model_folder(NAME, revision="next").name == pushed.revision
    assert model_folder(f"{NAME}@{commit}").name == commit
    config = PigeonPipeline.from_pretrained(NAME, revision=commit).config
    assert load_pipeline(NAME, revision="next").config == config
    with pytest.raises(ModelError, match="another revision than 'main'"):
        model_folder(f"{NAME}@next", revision="main")


def test_bundled_names_and_folders_come_first(
    hub: FakeHub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_folder(NAME, saved)
    local = tmp_path / "team" / "tiny"
    write_folder(local)
    assert model_folder(NAME) == Path(NAME)
    assert model_folder(f"hf://{NAME}").parent.name == "snapshots"
    monkeypatch.setattr(paths, "_BUNDLED", tmp_path / "team")
    assert model_folder("tiny") == local
    with pytest.raises(ModelError, match="only models of the Hugging Face Hub have revisions"):
        model_folder("tiny", revision="main")


def write_folder(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")


def test_a_path_with_a_typing_error_does_not_ask_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for name in ("runs/modle", str(tmp_path / "runs" / "modle"), "./runs", "a/b/c", "..", ""):
        with pytest.raises(ModelError, match="there is no model"):
            model_folder(name)
    with pytest.raises(ModelError, match="there is no model"):
        model_folder(Path("team/tiny"))
    assert hub.requests == []


def test_a_cached_model_needs_no_network(
    hub: FakeHub, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add_folder(NAME, saved)
    version = model_version(NAME)
    asked = len(hub.requests)
    assert model_version(f"{NAME}@{commit}") == version
    assert len(hub.requests) == asked
    offline(monkeypatch)
    assert model_version(NAME) == version
    assert load_pipeline(NAME).config.name == "tiny"
    assert len(hub.requests) == asked


def test_the_environment_chooses_hub_cache_and_offline_mode(
    hub: FakeHub, saved: Path, tmp_path: Path
) -> None:
    commit = hub.add_folder(NAME, saved)
    program = f"from pigeon_rec.model.version import model_version as v; print(v('hf://{NAME}'))"
    environment = os.environ | {
        "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program],
            env=environment | more,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    before = run(HF_HUB_OFFLINE="1")
    assert "ModelError: the Hub is out of reach" in before.stderr
    assert commit in run().stdout
    hub.close()
    assert commit in run(HF_HUB_OFFLINE="1").stdout
    assert commit in run().stdout


Break = Callable[[FakeHub, pytest.MonkeyPatch], str]


def not_cached(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> str:
    offline(monkeypatch)
    return NAME


def no_network(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> str:
    hub.close()
    return NAME


def no_repository(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> str:
    return "team/other"


def no_revision(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> str:
    return f"{NAME}@v9"


def no_commit(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> str:
    return f"{NAME}@{'0' * 40}"


def gated(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> str:
    hub.gated.add(NAME)
    return NAME


def no_model(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> str:
    hub.commit("team/text", {"README.md": b"a text model", "run.py": b"boom"})
    return "team/text"


@pytest.mark.parametrize(
    ("breaks", "what", "retryable"),
    [
        (not_cached, r"out of reach.*'team/tiny' is not in the cache.*HF_HUB_OFFLINE", True),
        (no_network, r"out of reach.*'team/tiny' is not in the cache", True),
        (no_repository, r"no repository 'team/other' that this account may use.*HF_TOKEN", False),
        (no_revision, r"'team/tiny' has no revision 'v9'", False),
        (no_commit, r"'team/tiny' has no revision '0000", False),
        (gated, r"'team/tiny' is gated: its owner must grant access.*/team/tiny\)", False),
        (no_model, r"'team/text' holds no model of this package", False),
    ],
)
def test_errors_say_what_is_wrong_and_what_to_do(
    hub: FakeHub,
    saved: Path,
    monkeypatch: pytest.MonkeyPatch,
    breaks: Break,
    what: str,
    retryable: bool,
) -> None:
    hub.add_folder(NAME, saved)
    name = breaks(hub, monkeypatch)
    with pytest.raises(ModelError, match=what) as caught:
        model_folder(name)
    assert caught.value.retryable is retryable
    assert caught.value.remedy


def test_uploading_without_a_network_is_an_error(
    hub: FakeHub, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.close()
    with pytest.raises(ModelError, match="the Hub is out of reach") as caught:
        push_folder(saved, NAME)
    assert caught.value.retryable
    offline(monkeypatch)
    with pytest.raises(ModelError, match="the Hub is out of reach"):
        push_folder(saved, NAME)


def test_code_is_not_downloaded(hub: FakeHub, saved: Path) -> None:
    hub.add_folder(NAME, saved)
    hub.commit(NAME, {"modeling.py": b"boom", "scorer/run.py": b"boom", "weights.pkl": b"boom"})
    names = {path.name for path in model_folder(NAME).rglob("*")}
    assert "config.json" in names
    assert not names & {"modeling.py", "run.py", "weights.pkl"}


def test_a_night_stays_with_the_commit_of_its_plan(
    hub: FakeHub, saved: Path, tmp_path: Path
) -> None:
    hub.add_folder(NAME, saved)
    planned = chosen_model(f"hf://{NAME}", tmp_path)
    hub.commit(NAME, {"README.md": b"moved on"})
    assert chosen_model(f"hf://{NAME}", tmp_path).version != planned.version
    later = chosen_model(f"hf://{NAME}", tmp_path, planned.version)
    assert later == planned
    assert model_version(later.source) == planned.version


def test_a_hub_model_can_be_registered(hub: FakeHub, saved: Path, tmp_path: Path) -> None:
    hub.add_folder(NAME, saved)
    known = register_by_hand(f"hf://{NAME}", tmp_path / "var", "tried")
    assert re.fullmatch(VERSION, known.version)
    assert known.version == model_version(NAME)


def test_names() -> None:
    assert parse("a/b") == HubModel("a/b")
    assert parse("hf://a/b-1.c@v1/x") == HubModel("a/b-1.c", "v1/x")
    assert parse("a/b", "next") == HubModel("a/b", "next")
    for text in ("a", "a/b/c", "/a/b", "../b", "a/b@", "a b/c", "sticker-64"):
        assert parse(text) is None
    for text in ("hf://", "hf://a", "hf://a/b/c", "hf://a/b@"):
        with pytest.raises(ModelError, match="no name of a model"):
            parse(text)
    for text in ("a", "a/b@main", ""):
        with pytest.raises(ModelError, match="no name of a repository"):
            push_folder(Path(), text)


def test_the_setting_takes_a_hub_model(tmp_path: Path) -> None:
    name = f"hf://{NAME}@{'a' * 40}"
    config = check_settings(NightlyConfig, {"model": name}, "night.yaml", folder=tmp_path)
    assert config.model == name
    # Elsewhere a path is meant, and the prefix is none.
    other = check_settings(NightlyConfig, {"catalogue": name}, "night.yaml", folder=tmp_path)
    assert other.catalogue.startswith(str(tmp_path))
    with pytest.raises(ConfigError):
        check_settings(NightlyConfig, {"model": 3}, "night.yaml")


def test_a_card_is_written_before_a_folder_without_one_is_pushed(
    hub: FakeHub, saved: Path, tmp_path: Path, pigeon: Callable[..., Any]
) -> None:
    write_card(saved, license="mit")
    pushed = pigeon("model", "push", saved, NAME, "--private", "--json")
    assert (pushed.code, pushed.err) == (0, "")
    assert hub.branches[NAME]["main"] in pushed.out
    shown = pigeon("model", "info", NAME)
    assert shown.code == 0, shown.err
    for text in (f"model {NAME}@{hub.branches[NAME]['main']}", r"license +mit\b", "team--tiny@"):
        assert re.search(text, shown.out)
    missing = pigeon("model", "info", NAME, "--revision", "v9")
    assert missing.code == 4
    assert "has no revision 'v9'" in missing.err
