"""Planning: which requests a night draws, and from which history."""

from __future__ import annotations

from pigeon_rec.nightly.files import PLAN_SCHEMA
from pigeon_rec.nightly.plan.planner import PlanSummary, plan_night, plan_parts, split_users
from pigeon_rec.nightly.plan.recommendations import recommend
from pigeon_rec.warehouse.budget import DEFAULT_SECONDS, Budget, night_budget

__all__ = [
    "DEFAULT_SECONDS",
    "PLAN_SCHEMA",
    "Budget",
    "PlanSummary",
    "night_budget",
    "plan_night",
    "plan_parts",
    "recommend",
    "split_users",
]
