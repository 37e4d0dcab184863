"""Metrics as the parsers of Prometheus read them, of OpenMetrics and of the older text format."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser as text_format
from prometheus_client.openmetrics import parser as openmetrics_format

from pigeon_rec.runtime.openmetrics import Gauge, openmetrics

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.one_of(st.integers(-(2**63), 2**63), st.floats(allow_nan=False))


def test_the_text_is_written_as_the_standard_says() -> None:
    gauges = [
        Gauge.single("night_size_bytes", 'Bytes of the "night"', 5, unit="bytes"),
        Gauge.of("night_refused", "Refused", "reason", {"blank": 1, 'a"b\\c\nd': 2.5}),
    ]
    assert openmetrics(gauges, {"shop": "toys"}) == (
        "# TYPE night_size_bytes gauge\n"
        "# UNIT night_size_bytes bytes\n"
        '# HELP night_size_bytes Bytes of the \\"night\\"\n'
        'night_size_bytes{shop="toys"} 5\n'
        "# TYPE night_refused gauge\n"
        "# HELP night_refused Refused\n"
        'night_refused{shop="toys",reason="blank"} 1\n'
        'night_refused{shop="toys",reason="a\\"b\\\\c\\nd"} 2.5\n'
        "# EOF\n"
    )


@given(text=TEXTS, labels=st.dictionaries(TEXTS, NUMBERS, max_size=4))
def test_parsers_give_back_any_label_and_number(text: str, labels: dict[str, float]) -> None:
    written = openmetrics([Gauge.of("night_refused", text, "reason", labels)])
    [family] = openmetrics_format.text_string_to_metric_families(written)
    assert (family.name, family.type, family.documentation) == ("night_refused", "gauge", text)
    assert {sample.labels["reason"]: sample.value for sample in family.samples} == labels


@given(labels=st.dictionaries(st.text('abc"\\\n{},= é'), NUMBERS, min_size=1, max_size=4))
def test_the_older_format_reads_the_same_samples(labels: dict[str, float]) -> None:
    """Node exporter's textfile collector reads that one."""
    written = openmetrics([Gauge.of("night_refused", "Refused", "reason", labels)])
    [family] = text_format.text_string_to_metric_families(written)
    assert {sample.labels["reason"]: sample.value for sample in family.samples} == labels


def test_nothing_counted_is_an_empty_metric() -> None:
    written = openmetrics([Gauge.of("night_refused", "Refused", "reason", {})])
    [family] = openmetrics_format.text_string_to_metric_families(written)
    assert (family.name, family.samples) == ("night_refused", [])


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_numbers_without_a_value_have_their_own_names(value: float) -> None:
    [family] = openmetrics_format.text_string_to_metric_families(
        openmetrics([Gauge.single("night_score", "Score", value)])
    )
    assert repr(family.samples[0].value) == repr(value)


@pytest.mark.parametrize(("name", "unit"), [("2nd", ""), ("a b", ""), ("", ""), ("size", "bytes")])
def test_a_name_that_no_parser_takes_is_refused(name: str, unit: str) -> None:
    with pytest.raises(ValueError, match="metric"):
        Gauge.single(name, "Text", 1, unit=unit)
