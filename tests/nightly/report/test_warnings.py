"""The warnings of a report: in its summary, its numbers and its page."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.nightly.report import ReportSummary, report_night
from tests.nightly.made_night import NIGHT, MadeNight, small_night, write_catalogue


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    catalogue = write_catalogue(tmp_path / "catalogue")
    return NightlyConfig(work_dir=tmp_path / "var", catalogue=str(catalogue), seed=7)


def _report(config: NightlyConfig, night: MadeNight) -> ReportSummary:
    night.write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    return report_night(config, NIGHT)


def _text(summary: ReportSummary) -> str:
    return html.unescape(summary.gallery.read_text(encoding="utf-8"))


def _numbers(summary: ReportSummary) -> dict[str, Any]:
    numbers: dict[str, Any] = json.loads(summary.report.read_text(encoding="utf-8"))
    return numbers


def test_many_refusals_are_a_warning_that_says_why(config: NightlyConfig) -> None:
    night = small_night()
    for pair in night.pairs[:2]:
        pair.reason = "copy_of_reference"
    paths = night.write(config)
    info = json.loads(paths.plan_info.read_text(encoding="utf-8"))
    info["refused_before"] = {"off_target": 4, "drawing_failed": 2}
    paths.plan_info.write_text(json.dumps(info), encoding="utf-8")
    publish_night(config, NIGHT)
    promote_night(config)
    summary = report_night(config, NIGHT)
    refused, given_up = sorted(summary.warnings, reverse=True)
    assert refused == (
        "The quality gate refuses 70% of 10 requests: copy_of_reference 2, off_target 5. "
        "gate.max_reference_similarity is 0.99; gate.min_reference_difference is 4.0; "
        "gate.min_text_score is 0.02. A looser limit serves more pictures and worse ones; a model "
        "trained on the catalogue draws better ones."
    )
    assert given_up.startswith(
        "Requests left out because they failed in 3 nights: drawing_failed 2. "
    )
    numbers = _numbers(summary)
    assert numbers["warnings"] == list(summary.warnings)
    assert numbers["refusals"] == {
        "rate": 0.7,
        "requests": 10,
        "tonight": {"copy_of_reference": 2, "off_target": 1},
        "before": {"off_target": 4},
    }
    assert refused in _text(summary)
    assert given_up in _text(summary)


def test_failures_are_a_warning_and_no_refusals(config: NightlyConfig) -> None:
    night = small_night()
    night.pairs[0].reason = "unreadable_input"
    summary = _report(config, night)
    assert summary.warnings == (
        "Requests that failed and will be tried again: unreadable_input 1.",
    )
    assert _numbers(summary)["refusals"]["rate"] == 0.2  # one of five


def test_a_placeholder_is_named_in_the_report(config: NightlyConfig) -> None:
    night = small_night()
    said = "the picture is that of 9 items"
    night.problems.append(("placeholder_image", "flat/cat", "image_uri 'none.png'", said))
    summary = _report(config, night)
    warning = f"Item flat/cat [image_uri 'none.png']: {said}."
    assert summary.warnings == (warning,)
    assert warning in _text(summary)


def test_few_refusals_are_no_warning(config: NightlyConfig) -> None:
    summary = _report(config, small_night())
    assert summary.warnings == ()
    assert 'class="warnings' not in summary.gallery.read_text(encoding="utf-8")
