"""Requests that earlier nights could not serve: refusals cost nothing, failures are tried again."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import CohortConfig, NightlyConfig
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import PlanSummary
from tests.nightly.plan.plans import planned, publish_rejections, run
from tests.small_world import NIGHT

DAY = dt.timedelta(days=1)
Pairs = set[tuple[str, str]]


def pairs(config: NightlyConfig, date: dt.date) -> Pairs:
    return set(planned(config, date).select("user_id", "item_id").rows())


def decisions(config: NightlyConfig, date: dt.date) -> dict[tuple[str, str], tuple[str, str]]:
    explained = pl.read_parquet(NightPaths.of(config, date).explained)
    columns = explained.select("user_id", "item_id", "reason", "detail").rows()
    return {(user, item): (reason, detail) for user, item, reason, detail in columns}


def test_a_refused_pair_gives_its_place_to_the_next(config: NightlyConfig) -> None:
    run(config)
    first = pairs(config, NIGHT)
    # Refused are pairs of one user, so that the user's next pairs move up.
    refused = {pair for pair in first if pair[0] == min(first)[0]}
    publish_rejections(config, NIGHT, refused, "off_target")
    summary = run(config, NIGHT + DAY)
    second = pairs(config, NIGHT + DAY)
    assert (len(first), len(second)) == (6, 6)
    assert not second & refused
    assert summary.generate == 6
    assert summary.refused_before == {"off_target": len(refused)}
    found = decisions(config, NIGHT + DAY)
    assert {found[pair] for pair in refused} == {("known_refusal", "off_target on 2026-06-01: why")}
    assert sum(reason == "planned" for reason, _ in found.values()) == 6


def test_the_night_planned_again_has_the_same_requests(config: NightlyConfig) -> None:
    first = run(config)
    publish_rejections(config, NIGHT, pairs(config, NIGHT), "off_target")
    publish_rejections_of_later(config)
    again = run(config)
    assert again.requests_sha256 == first.requests_sha256
    assert (again.generate, again.reuse, again.refused_before) == (0, 6, {})


def publish_rejections_of_later(config: NightlyConfig) -> None:
    run(config, NIGHT + DAY)
    publish_rejections(config, NIGHT + DAY, pairs(config, NIGHT + DAY), "blank")


def failing_nights(config: NightlyConfig, count: int, reason: str) -> PlanSummary:
    for place in range(count):
        run(config, NIGHT + place * DAY)
        publish_rejections(config, NIGHT + place * DAY, pairs(config, NIGHT + place * DAY), reason)
    return run(config, NIGHT + count * DAY)


@pytest.mark.parametrize("reason", ["undecodable", "unreadable_input", "drawing_failed"])
def test_failures_are_tried_again_until_the_last_attempt(
    config: NightlyConfig, reason: str
) -> None:
    summary = failing_nights(config, 2, reason)
    assert (summary.generate, summary.reuse, summary.refused_before) == (6, 0, {})
    assert pairs(config, NIGHT + 2 * DAY) == pairs(config, NIGHT)
    publish_rejections(config, NIGHT + 2 * DAY, pairs(config, NIGHT + 2 * DAY), reason)
    summary = run(config, NIGHT + 3 * DAY)
    assert summary.refused_before == {reason: 6}
    assert not pairs(config, NIGHT + 3 * DAY) & pairs(config, NIGHT)
    [(why, detail)] = {decisions(config, NIGHT + 3 * DAY)[pair] for pair in pairs(config, NIGHT)}
    assert why == "repeated_failure"
    assert detail == f"failed in 3 nights of 30 days, {reason} on 2026-06-03: why"


def test_more_attempts_try_them_at_once(config: NightlyConfig) -> None:
    failing_nights(config, 3, "drawing_failed")
    plan = config.plan.model_copy(update={"max_attempts": 4})
    summary = run(config.model_copy(update={"plan": plan}), NIGHT + 3 * DAY)
    assert summary.refused_before == {}
    assert pairs(config, NIGHT + 3 * DAY) == pairs(config, NIGHT)


def test_cohorts_give_the_places_of_their_refusals_too(
    config: NightlyConfig, tmp_path: Path
) -> None:
    cohorts = CohortConfig(count=1, references=4, min_users=2, max_share=0.5)
    plan = config.plan.model_copy(update={"cohorts": cohorts, "max_assets": 4})
    config = config.model_copy(update={"plan": plan, "work_dir": tmp_path / "cohorts"})

    def of_cohorts(date: dt.date) -> Pairs:
        return {pair for pair in pairs(config, date) if pair[0].startswith("cohort:")}

    run(config)
    first = of_cohorts(NIGHT)
    assert len(first) == 2
    publish_rejections(config, NIGHT, first, "copy_of_reference")
    summary = run(config, NIGHT + DAY)
    assert len(of_cohorts(NIGHT + DAY)) == 2
    assert not of_cohorts(NIGHT + DAY) & first
    assert summary.refused_before == {"copy_of_reference": 2}


def test_a_night_whose_requests_are_all_refused_plans_nothing(config: NightlyConfig) -> None:
    everything = config.plan.model_copy(update={"max_assets": 99, "max_assets_per_user": 9})
    config = config.model_copy(update={"plan": everything})
    run(config)
    publish_rejections(config, NIGHT, pairs(config, NIGHT), "off_target")
    summary = run(config, NIGHT + DAY)
    assert (summary.planned, summary.generate) == (0, 0)
    assert summary.refused_before == {"off_target": 16}
