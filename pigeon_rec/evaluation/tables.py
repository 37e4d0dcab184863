"""Results as a table, with the same columns in Markdown and in the HTML report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pigeon_rec.errors import ConfigError

__all__ = [
    "BEGIN",
    "COLUMNS",
    "END",
    "Row",
    "markdown_table",
    "table_rows",
    "write_between",
]

BEGIN: Final = "<!-- evaluation: begin -->"
END: Final = "<!-- evaluation: end -->"

COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "style_hit": "style hit",
        "concept_hit": "concept hit",
        "cs": "CS",
        "cis": "CIS",
        "jis": "judge features",
        "eis": "EfficientNet",
        "lpips": "LPIPS ↓",
        "ms_ssim": "MS-SSIM",
        "hist_cis": "hist-CIS",
        "hist_jis": "hist judge features",
        "hist_lpips": "hist-LPIPS ↓",
        "collapse": "collapse ↓",
        "rejected": "rejected ↓",
        "fid_judge": "FID (judge features) ↓",
    }
)
"""Metric -> column head; other metrics are in `evaluation.json` only."""

_UNSCALED = frozenset({"fid_judge"})


@dataclass(frozen=True)
class Row:
    """Row of one method.

    Attributes:
        label: Label of the method.
        cases: Number of cases.
        cells: Text of each column; empty if not measured.
    """

    label: str
    cases: int
    cells: Sequence[str]


def table_rows(methods: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
    """Tabulates `methods` of `evaluation.json`: heads of the columns in use, a row per method."""
    shown = [
        metric
        for metric in COLUMNS
        if any(metric in method["metrics"] for method in methods.values())
    ]
    rows = [
        Row(
            method["label"],
            method["cases"],
            [_cell(metric, method["metrics"].get(metric)) for metric in shown],
        )
        for method in methods.values()
    ]
    return [COLUMNS[metric] for metric in shown], rows


def markdown_table(summary: Mapping[str, Any]) -> str:
    """Returns the table in Markdown, after a line on model, units and judges."""
    heads, rows = table_rows(summary["methods"])
    judges = summary["judges"]
    confidence = summary["settings"]["confidence"]
    lines = [
        f"Model `{summary['model_version']}`. Shares, cosines and distances times 100, with "
        f"{confidence:.0%} bootstrap intervals. The judges on {judges['pictures']:,} real held-out "
        f"artworks: style {judges['style']:.1%}, concept (1 of 100) {judges['concept']:.1%}.",
        "",
        "| method | cases | " + " | ".join(heads) + " |",
        "|---|---:|" + "---:|" * len(heads),
        *(f"| {row.label} | {row.cases} | " + " | ".join(row.cells) + " |" for row in rows),
    ]
    if summary["missing"]:
        missing = "; ".join(f"`{name}`: {why}" for name, why in summary["missing"].items())
        lines += ["", f"Not measured: {missing}."]
    return "\n".join(lines) + "\n"


def write_between(table: str, path: Path, begin: str = BEGIN, end: str = END) -> None:
    """Writes text to a new file, or between two marks on lines of their own in an existing one.

    Raises:
        ConfigError: The existing file does not have both marks, in order.
    """
    if not path.exists():
        path.write_text(table, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    # On lines of their own, since prose may mention the marks.
    found = re.search(rf"^{begin}\n(.*?)^{end}$", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ConfigError(
            "the file has no marks for the table",
            location=str(path),
            remedy=f"Put `{begin}` and `{end}` on lines of their own, or give a new file",
        )
    path.write_text(text[: found.start(1)] + table + text[found.end(1) :], encoding="utf-8")


def _cell(metric: str, interval: Mapping[str, Any] | None) -> str:
    if interval is None:
        return ""
    scale = 1.0 if metric in _UNSCALED else 100.0
    mean, low, high = (interval[key] * scale for key in ("mean", "low", "high"))
    return f"{mean:.1f} ({low:.1f}–{high:.1f})"
