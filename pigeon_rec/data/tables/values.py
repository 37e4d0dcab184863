"""Values of foreign tables as ours: ids as text, texts, numbers and times.

Each function returns an SQL expression over one column, which has one of our own names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pigeon_rec.columns import ExposureColumns, InteractionColumns
from pigeon_rec.data._rows import LAST_SECOND

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

__all__ = ["MISSING_WORDS", "holds_ids", "id_text", "number", "text", "truth", "utc_micros"]

MISSING_WORDS: Final = ("", "NaN", "nan", "NaT", "null", "NULL", "None", "<NA>", "\\N")
"""Texts that stand for a missing value."""

_MISSING: Final = ", ".join(f"'{word}'" for word in MISSING_WORDS)
_LISTS: Final = "[]"
_SAMPLE: Final = 100_000
_MICROS: Final = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_LAST: Final = {"s": 1e11, "ms": 1e14, "us": 1e17}
"""Numbers below are taken as this unit: until the year 5138, and from 1966 to 1973 at least."""


def holds_ids(kind: str) -> bool:
    """Returns whether a column of this DuckDB type can hold ids."""
    return not kind.startswith(("STRUCT", "MAP", "UNION", "BLOB")) and not kind.endswith("]")


def text(name: str, kind: str) -> str:
    """The value without spaces around it, as VARCHAR; lists are joined by bars."""
    if kind.endswith(_LISTS):
        return f"nullif(array_to_string({name}, '|'), '')"
    trimmed = rf"trim(CAST({name} AS VARCHAR), E' \t\r\n')"
    return f"CASE WHEN {trimmed} NOT IN ({_MISSING}) THEN {trimmed} END"


def id_text(name: str, kind: str) -> str:
    """The id as VARCHAR: as it is written, but a whole number without `.0`."""
    if kind in ("DOUBLE", "FLOAT"):
        whole = f"{name} = trunc({name}) AND abs({name}) < 9e15"
        written = f"CASE WHEN {whole} THEN CAST(TRY_CAST({name} AS BIGINT) AS VARCHAR)"
        return f"{written} WHEN isfinite({name}) THEN CAST({name} AS VARCHAR) END"
    return rf"regexp_replace({text(name, kind)}, '^(-?\d+)\.0+$', '\1')"


def number(name: str) -> str:
    """The value as a finite DOUBLE, else null."""
    value = f"TRY_CAST(CAST({name} AS VARCHAR) AS DOUBLE)"
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def truth(name: str) -> str:
    """The value as BOOLEAN; null unless it is one, or 1 or 0, or such a word in any case."""
    written = rf"lower(trim(CAST({name} AS VARCHAR), E' \t\r\n'))"
    yes, no = "('true', 't', 'yes', 'y', '1', '1.0')", "('false', 'f', 'no', 'n', '0', '0.0')"
    return f"CASE WHEN {written} IN {yes} THEN true WHEN {written} IN {no} THEN false END"


def utc_micros(
    rows: DuckDBPyRelation, name: str, kind: str, columns: InteractionColumns | ExposureColumns
) -> tuple[str, str]:
    """The time as microseconds since 1970 in UTC, as BIGINT, null outside of 1970 to 9999.

    Times without a zone are in the `TimeZone` of the connection. What text and numbers mean is
    decided for the whole column, from its first rows.

    Returns:
        The expression, and the form of the times in words.
    """
    value, form = _micros(rows, name, kind, columns)
    last = LAST_SECOND * 10**6
    return f"CASE WHEN {value} BETWEEN 0 AND {last} THEN {value} END", form


def _micros(
    rows: DuckDBPyRelation, name: str, kind: str, columns: InteractionColumns | ExposureColumns
) -> tuple[str, str]:
    if kind.startswith(("TIMESTAMP", "DATE")):
        return f"epoch_us(CAST({name} AS TIMESTAMPTZ))", kind.lower()
    written = f"trim(CAST({name} AS VARCHAR), E' \\t\\r\\n')"
    if columns.time_format is not None:
        form = columns.time_format.replace("'", "''")
        parsed = f"try_strptime({written}, '{form}')"
        return f"epoch_us(CAST({parsed} AS TIMESTAMPTZ))", columns.time_format
    value = number(written)
    sample = rows.limit(_SAMPLE).select(f"{name}, {written} AS written, {value} AS value")
    facts = sample.aggregate(
        f"count(TRY_CAST(written AS DOUBLE)), count({name}), median(abs(value)), "
        "count(*) FILTER (value BETWEEN 19700101 AND 99991231 AND value = trunc(value) "
        "AND try_strptime(CAST(TRY_CAST(value AS BIGINT) AS VARCHAR), '%Y%m%d') IS NOT NULL)"
    )
    numbers, given, median, dates = facts.fetchall()[0]
    if numbers * 2 < given or median is None:
        # Not the words that DuckDB knows as times, such as `epoch`.
        dated = f"CASE WHEN regexp_matches({written}, '^[0-9]') THEN {written} END"
        return f"epoch_us(TRY_CAST({dated} AS TIMESTAMPTZ))", "ISO 8601"
    if columns.time_unit is None and dates * 2 > numbers:
        day = f"try_strptime(CAST(TRY_CAST({value} AS BIGINT) AS VARCHAR), '%Y%m%d')"
        return f"epoch_us(CAST({day} AS TIMESTAMPTZ))", "YYYYMMDD"
    unit: str = columns.time_unit or next((u for u, last in _LAST.items() if median < last), "ns")
    return f"TRY_CAST(round({value} * {_MICROS[unit]!r}) AS BIGINT)", f"{unit} since 1970"
