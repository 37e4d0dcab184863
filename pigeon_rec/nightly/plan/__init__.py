"""Planning: which requests a night draws, and from which history."""

from __future__ import annotations

from pigeon_rec.nightly.plan.budget import DEFAULT_SECONDS, Budget, night_budget
from pigeon_rec.nightly.plan.inputs import PROBLEM_SCHEMA, ImageEncoder
from pigeon_rec.nightly.plan.planner import EXPLAINED_SCHEMA, PLAN_SCHEMA, PlanSummary, plan_night
from pigeon_rec.nightly.plan.recommendations import RecommendSummary, recommend

__all__ = [
    "DEFAULT_SECONDS",
    "EXPLAINED_SCHEMA",
    "PLAN_SCHEMA",
    "PROBLEM_SCHEMA",
    "Budget",
    "ImageEncoder",
    "PlanSummary",
    "RecommendSummary",
    "night_budget",
    "plan_night",
    "recommend",
]
