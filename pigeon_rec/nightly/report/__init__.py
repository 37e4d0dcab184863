"""Reporting: the numbers and the gallery page of a night."""

from __future__ import annotations

from pigeon_rec.nightly.report.reporter import ReportSummary, report_night

__all__ = ["ReportSummary", "report_night"]
