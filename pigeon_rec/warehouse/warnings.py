"""What a team should know about a night: failures, many refusals, placeholders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import polars as pl

from pigeon_rec.config import PlanConfig, QualityGateConfig
from pigeon_rec.runtime.reasons import FAILURES
from pigeon_rec.warehouse.served_night import ServedNight

__all__ = ["HIGH_REFUSAL_RATE", "night_warnings", "refusals"]

HIGH_REFUSAL_RATE: Final = 0.2
"""Share of the requests from which the report warns."""
_FEWEST: Final = 10  # requests below which a share says nothing
_LIMITS: Final[Mapping[str, tuple[str, ...]]] = {
    "blank": ("min_pixel_std",),
    "unsafe": ("max_unsafe_score",),
    "off_target": ("min_text_score", "min_reference_likeness"),
    "copy_of_reference": ("max_reference_similarity", "min_reference_difference"),
}


def refusals(night: ServedNight, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `rate`, `tonight` and `before`: requests that the quality gate refused.

    `before` counts, by reason, those that an earlier night refused and that were not drawn again;
    `plan` is the content of `plan.json`. Failures are not counted.
    """
    tonight, before = _verdicts(night.reasons()), _verdicts(plan.get("refused_before", {}))
    refused = sum(tonight.values()) + sum(before.values())
    requests = refused + night.facts["served"]
    rate = round(refused / requests, 4) if requests else 0.0
    return {"rate": rate, "requests": requests, "tonight": tonight, "before": before}


def night_warnings(
    night: ServedNight, plan: Mapping[str, Any], gate: QualityGateConfig, settings: PlanConfig
) -> tuple[str, ...]:
    """Returns the warnings of a night, each a sentence."""
    return (*_failed(night, plan, settings), *_refused(night, plan, gate), *_placeholders(night))


def _failed(night: ServedNight, plan: Mapping[str, Any], settings: PlanConfig) -> Iterator[str]:
    failed = _failures(night.reasons())
    if failed:
        yield f"Requests that failed and will be tried again: {_listed(failed)}."
    given_up = _failures(plan.get("refused_before", {}))
    if given_up:
        yield (
            f"Requests left out because they failed in {settings.max_attempts} nights: "
            f"{_listed(given_up)}. Once the cause is mended, a higher plan.max_attempts tries them "
            "at once."
        )


def _refused(night: ServedNight, plan: Mapping[str, Any], gate: QualityGateConfig) -> Iterator[str]:
    found = refusals(night, plan)
    if found["requests"] < _FEWEST or found["rate"] < HIGH_REFUSAL_RATE:
        return
    causes = {
        reason: found["tonight"].get(reason, 0) + found["before"].get(reason, 0)
        for reason in found["tonight"] | found["before"]
    }
    values = gate.model_dump()
    limits = [
        f"gate.{name} is {values[name]}"
        for reason in causes
        for name in _LIMITS.get(reason, ())
        if values[name] not in (None, -1.0)  # switched off
    ]
    yield (
        f"The quality gate refuses {found['rate']:.0%} of {found['requests']} requests: "
        f"{_listed(causes)}. {'; '.join(limits)}. A looser limit serves more pictures and worse "
        "ones; a model trained on the catalogue draws better ones."
    )


def _placeholders(night: ServedNight) -> Iterator[str]:
    found = night.problems.filter(pl.col("kind") == "placeholder_image").sort("subject")
    for item, location, message in found.select("subject", "location", "message").iter_rows():
        yield f"Item {item} [{location}]: {message}."


def _verdicts(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if reason not in FAILURES}


def _failures(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if reason in FAILURES}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
