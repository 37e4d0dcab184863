"""Reporting: the numbers and the gallery page of a night."""

from __future__ import annotations

from pigeon_rec.nightly.report.gallery import Page, render_gallery
from pigeon_rec.nightly.report.page import build_page
from pigeon_rec.nightly.report.reporter import ReportSummary, report_night

__all__ = ["Page", "ReportSummary", "build_page", "render_gallery", "report_night"]
