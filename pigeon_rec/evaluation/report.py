"""Writes the evaluation report: one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import polars as pl
from markupsafe import Markup

from pigeon_rec.data.aspect import Aspect
from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.evaluation.data import shown_catalogue
from pigeon_rec.evaluation.measure import METRICS
from pigeon_rec.evaluation.methods import CURVES, METHODS
from pigeon_rec.evaluation.plots import curve_plot, method_plot
from pigeon_rec.evaluation.tables import (
    ARTWORK,
    gate_lines,
    judge_rows,
    missing_lines,
    table_rows,
)
from pigeon_rec.runtime.files import write_text
from pigeon_rec.runtime.html import data_uri, encode_picture, render_template

__all__ = ["render_page", "write_report"]

_SHOWN_CASES, _SHOWN_SIDE = 16, 64
_PANELS: Final = MappingProxyType(
    {
        "style_hit": "style hit (%)",
        "concept_hit": "concept hit (%)",
        "item_hit": "item hit (%)",
        "user_hit": "user hit (%)",
        "hist_cis": "hist-CIS",
        "hist_jis": "hist judge features",
    }
)
_DIFFERENCES: Final = (
    *("style_hit", "concept_hit", "item_hit", "text_hit", "user_hit"),
    *("cs", "cis", "hist_cis", "user_cis", "hist_jis"),
)
_SHARED_AXIS: Final = {"noise": ("noise", "noise_no_mask")}


@dataclass(frozen=True)
class GridRow:
    """Row of one case.

    Attributes:
        title: Concept of the target, or its title, and the user's style.
        history: Data URIs of the history pictures.
        pictures: Data URI of each method's picture; empty if it has none for the case.
    """

    title: str
    history: Sequence[str]
    pictures: Sequence[str]


def write_report(folder: Path, summary: Mapping[str, Any]) -> Path:
    """Writes `<folder>/evaluation.html` from the files of a finished evaluation."""
    page = folder / "evaluation.html"
    write_text(render_page(summary, *_grid(folder, summary)), page)
    return page


def render_page(
    summary: Mapping[str, Any], grid_heads: Sequence[str], grid: Sequence[GridRow]
) -> str:
    """Renders the page from the content of `evaluation.json` and the grid of pictures."""
    heads, rows = table_rows(summary["methods"])
    return render_template(
        "pigeon_rec.evaluation",
        "evaluation.html.j2",
        summary=summary,
        heads=heads,
        rows=rows,
        plot=Markup(method_plot(summary["methods"], _PANELS)),  # noqa: S704 - our own SVG
        differences=_differences(summary),
        curves=[Markup(plot) for plot in _curves(summary)],  # noqa: S704 - our own SVG
        grid_heads=grid_heads,
        grid=grid,
        metrics=METRICS,
        judges=judge_rows(summary["judges"]),
        gate=gate_lines(summary),
        missing=missing_lines(summary),
        artwork=ARTWORK,
    )


def _differences(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Table of differences: one row per method; each cell has a text and a CSS class."""
    rows = []
    shown = [m for m in _DIFFERENCES if any(m in each for each in summary["differences"].values())]
    for name, metrics in summary["differences"].items():
        cells = []
        for metric in shown:
            interval = metrics.get(metric)
            if interval is None:
                cells.append(("", ""))
                continue
            mean, low, high = (100.0 * interval[key] for key in ("mean", "low", "high"))
            css = "better" if low > 0 else "worse" if high < 0 else ""
            cells.append((f"{mean:+.1f} ({low:+.1f} to {high:+.1f})", css))
        rows.append({"label": METHODS[name].label, "cells": cells})
    return [{"heads": shown, "rows": rows}] if rows else []


def _curves(summary: Mapping[str, Any]) -> list[str]:
    curves = summary["curves"]
    drawn: list[str] = []
    for name in CURVES:
        if name not in curves or name == "noise_no_mask":
            continue
        together = [other for other in _SHARED_AXIS.get(name, (name,)) if other in curves]
        labels = {"noise": "full model", "noise_no_mask": "no mask"}
        drawn.append(curve_plot([(labels.get(c, ""), curves[c]) for c in together], _PANELS))
    return drawn


def _grid(folder: Path, summary: Mapping[str, Any]) -> tuple[list[str], list[GridRow]]:
    cases = pl.read_parquet(folder / "cases.parquet").head(_SHOWN_CASES)
    names = [name for name in summary["methods"] if (folder / f"chosen/{name}.parquet").is_file()]
    pictures = {
        name: dict(pl.read_parquet(folder / f"chosen/{name}.parquet").iter_rows()) for name in names
    }
    catalogue, prompt = shown_catalogue(summary)
    titles = catalogue.rows(cases["reference_id"].to_list())["title"]
    rows = [
        GridRow(
            title=_title(case, title),
            history=_uris(catalogue, case["history_ids"], prompt.aspect),
            pictures=[_uri(pictures[name].get(case["case_id"])) for name in names],
        )
        for case, title in zip(cases.to_dicts(), titles, strict=True)
    ]
    return [METHODS[name].label for name in names], rows


def _title(case: Mapping[str, Any], title: str) -> str:
    shown = title if case["concept"] is None else case["concept"].replace("-", " ")
    return shown if case["style"] is None else f"{shown}, {case['style']}"


def _uris(catalogue: Catalogue, item_ids: Sequence[str], aspect: Aspect) -> list[str]:
    images, _ = catalogue.images(item_ids, size=aspect.size(_SHOWN_SIDE))
    return [encode_picture(image) for image in images]


def _uri(content: bytes | None) -> str:
    return (data_uri(content) or "") if content is not None else ""
