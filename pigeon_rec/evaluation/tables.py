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
    "ARTWORK",
    "BEGIN",
    "COLUMNS",
    "END",
    "Row",
    "gate_lines",
    "judge_rows",
    "markdown_table",
    "missing_lines",
    "table_rows",
    "write_between",
]

BEGIN: Final = "<!-- evaluation: begin -->"
END: Final = "<!-- evaluation: end -->"

COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "style_hit": "style hit",
        "concept_hit": "concept hit",
        "item_hit": "item hit",
        "text_hit": "text hit",
        "user_hit": "user hit",
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

_CHOICES: Final[Mapping[str, int]] = MappingProxyType({"style": 8, "concept": 100})
"""Classes of the bundled judges, for results that do not tell."""

ARTWORK: Final[Mapping[str, str]] = MappingProxyType(
    {
        "real": "as it is",
        "jpeg_75": "JPEG 75",
        "jpeg_60": "JPEG 60",
        "blur": "blur of half a pixel",
        "autoencoder": "the model's autoencoder",
    }
)
"""Version of the artwork -> its head in the table of the judges' accuracy."""

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
    """Returns the table in Markdown, after a line on model and units, and that of the judges."""
    heads, rows = table_rows(summary["methods"])
    confidence = summary["settings"]["confidence"]
    lines = [
        f"Model `{summary['model_version']}`. Shares, cosines and distances times 100, with "
        f"{confidence:.0%} bootstrap intervals.",
        "",
        "| method | cases | " + " | ".join(heads) + " |",
        "|---|---:|" + "---:|" * len(heads),
        *(f"| {row.label} | {row.cases} | " + " | ".join(row.cells) + " |" for row in rows),
    ]
    for line in gate_lines(summary):
        lines += ["", line]
    if summary["missing"]:
        lines += ["", f"Not measured: {'; '.join(missing_lines(summary))}."]
    lines += ["", *_judge_lines(summary["judges"])]
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


def missing_lines(summary: Mapping[str, Any]) -> list[str]:
    """What was not measured, by reason: names in code marks, a colon and the reason."""
    by_reason: dict[str, list[str]] = {}
    for name, why in summary["missing"].items():
        by_reason.setdefault(why, []).append(f"`{name}`")
    return [f"{', '.join(names)}: {why}" for why, names in by_reason.items()]


def gate_lines(summary: Mapping[str, Any]) -> list[str]:
    """The limits of a finished evaluation, and warnings of them, each a sentence.

    Args:
        summary: The content of its `evaluation.json`; earlier versions did not tell the limits.
    """
    gate = summary.get("gate")
    if gate is None:
        return []
    rules = []
    if gate["min_text_score"] > -1.0:
        rules.append(f"a text score of at least {gate['min_text_score']:g}")
    if gate["min_reference_likeness"] is not None:
        rules.append(f"a likeness to the reference of at least {gate['min_reference_likeness']:g}")
    line = f"Quality gate: {' and '.join(rules) or 'neither texts nor likeness are checked'}."
    if gate["own_texts_pass"] is not None:
        line += (
            f" Of {gate['pictures']:,} of the catalogue's own pictures, "
            f"{gate['own_texts_pass']:.0%} pass with their own text and "
            f"{gate['wrong_texts_pass']:.0%} with a wrong one."
        )
    if gate["auc"] is not None:
        line += f" AUC of right against wrong texts: {gate['auc']:.2f}."
    return [line, *(f"Beware: {warning}" for warning in gate["warnings"])]


def judge_rows(judges: Mapping[str, Any]) -> dict[str, str]:
    """The judges that were measured -> label of their rows."""
    choices = judges.get("choices", _CHOICES)
    real = judges["accuracy"][0]
    return {
        kind: f"{kind} (1 of {choices[kind]})"
        for kind in ("style", "concept", "item")
        if real.get(kind) is not None
    }


def _judge_lines(judges: Mapping[str, Any]) -> list[str]:
    """The accuracy of the judges in Markdown: a row per judge, a column per version of artwork."""
    versions = judges["accuracy"]
    heads = [ARTWORK[version["artwork"]] for version in versions]
    warnings = [f"Beware: {warning}." for warning in judges.get("warnings", ())]
    return [
        f"Accuracy of the judges on {judges['pictures']:,} real held-out artworks:",
        "",
        "| judge | " + " | ".join(heads) + " |",
        "|---|" + "---:|" * len(heads),
        *(
            f"| {label} | " + " | ".join(f"{version[judge]:.1%}" for version in versions) + " |"
            for judge, label in judge_rows(judges).items()
        ),
        *(["", *warnings] if warnings else []),
    ]


def _cell(metric: str, interval: Mapping[str, Any] | None) -> str:
    if interval is None:
        return ""
    scale = 1.0 if metric in _UNSCALED else 100.0
    mean, low, high = (interval[key] * scale for key in ("mean", "low", "high"))
    return f"{mean:.1f} ({low:.1f}–{high:.1f})"
