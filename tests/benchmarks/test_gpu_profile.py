"""The profile of stages on a tiny pipeline."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import pytest
import torch

from benchmarks import gpu_profile


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_tiny_profile_has_every_stage(dtype: str) -> None:
    plan = replace(gpu_profile.tiny_plan("cpu", dtype), peak=1e12)
    figures = {figure.name: figure.value for figure in gpu_profile.profile(plan).figures}
    for name in gpu_profile.STAGES:
        assert figures[f"{name}: seconds"] > 0
        assert figures[f"{name}: operations"] > 0
        share = figures[f"{name}: operations"] / figures[f"{name}: seconds"]
        assert figures[f"{name}: share of peak"] == pytest.approx(100 * share)
    twice = gpu_profile.profile(replace(plan, steps=2 * plan.steps)).figures
    (render,) = (f.value for f in twice if f.name == "render: operations")
    assert figures["render: operations"] < render < 2 * figures["render: operations"]


def test_a_nested_stage_does_not_count_in_the_outer_one() -> None:
    stages = gpu_profile.Stages()
    with stages("write"), stages("decode"):
        time.sleep(0.05)
    assert stages.spent["decode"].seconds > 0.04 > stages.spent["write"].seconds


def test_the_profile_needs_an_accelerator(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_profile"])
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    with pytest.raises(SystemExit) as ended:
        gpu_profile.main()
    assert ended.value.code == 1
    assert "needs an accelerator" in capsys.readouterr().err


def test_the_profile_is_not_one_of_the_benchmarks() -> None:
    assert not hasattr(gpu_profile, "measure")
