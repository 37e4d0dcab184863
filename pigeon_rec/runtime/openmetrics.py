"""Metrics as OpenMetrics text, which Prometheus and node_exporter's textfile collector read.

Only gauges: of the metric types of OpenMetrics, node_exporter knows no others that fit a batch job.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Gauge", "is_label_name", "openmetrics"]

_LABEL_NAME: Final = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
_METRIC_NAME: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True)
class Gauge:
    """One metric with its samples.

    Attributes:
        name: Ends with `_` and the unit, if there is one.
        help: What is counted or measured.
        samples: Labels and value of each sample; without labels there is one sample at most.
        unit: Base unit, such as `seconds` or `bytes`; empty for counts.
    """

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    unit: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not _METRIC_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a metric")
        if self.unit and not self.name.endswith(f"_{self.unit}"):
            raise ValueError(f"the metric {self.name} does not end with its unit {self.unit}")

    @classmethod
    def single(cls, name: str, text: str, value: float, *, unit: str = "") -> Gauge:
        """A metric with one sample without labels."""
        return cls(name, text, [({}, value)], unit=unit)

    @classmethod
    def of(
        cls, name: str, text: str, label: str, values: Mapping[str, float], *, unit: str = ""
    ) -> Gauge:
        """A metric with a sample for each value of one label."""
        return cls(name, text, [({label: key}, value) for key, value in values.items()], unit=unit)


def is_label_name(text: str) -> bool:
    """Returns whether a label of a team's own may have this name."""
    return _LABEL_NAME.fullmatch(text) is not None


def openmetrics(gauges: Iterable[Gauge], labels: Mapping[str, str] | None = None) -> str:
    """Writes gauges as OpenMetrics text; `labels` are added to all samples, and come first."""
    lines = (line for gauge in gauges for line in _lines(gauge, labels or {}))
    return "".join(f"{line}\n" for line in (*lines, "# EOF"))


def _lines(gauge: Gauge, labels: Mapping[str, str]) -> Iterator[str]:
    yield f"# TYPE {gauge.name} gauge"
    if gauge.unit:
        yield f"# UNIT {gauge.name} {gauge.unit}"
    yield f"# HELP {gauge.name} {gauge.help.translate(_ESCAPED)}"
    for own, value in gauge.samples:
        pairs = ",".join(
            f'{name}="{text.translate(_ESCAPED)}"' for name, text in {**labels, **own}.items()
        )
        yield (
            f"{gauge.name}{{{pairs}}} {_number(value)}"
            if pairs
            else f"{gauge.name} {_number(value)}"
        )


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
