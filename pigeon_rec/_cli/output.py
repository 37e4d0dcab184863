"""Output of the command line: results and errors, as text or, with `--json`, as JSON."""

from __future__ import annotations

import json
import math
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pigeon_rec.errors import PigeonError

__all__ = ["as_table", "print_error", "print_json", "print_line", "print_result", "print_summary"]

MAX_CELL = 60
"""Maximum characters of a table cell; longer values are truncated with an ellipsis."""

_JOINERS: Final = "\u200c\u200d"  # invisible, but part of emoji and of Persian words


def print_json(value: Mapping[str, Any]) -> None:
    """Prints a JSON object on one line; numbers that JSON lacks (NaN, infinity) become null."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(_json_value(value), ensure_ascii=not unicode, default=str, allow_nan=False)
    print(_escaped(text, lambda character: json.dumps(character)[1:-1]))


def print_line(text: str) -> None:
    """Prints a text on one line, without characters that a terminal would obey."""
    print(_escaped(text))


def print_summary(title: str, summary: Mapping[str, Any]) -> None:
    """Prints a title, then a line per field, or a table for a list of mappings."""
    print(title)
    width = max((len(key) for key in summary), default=0)
    for key, value in summary.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            table = as_table(list(value[0]), [list(part.values()) for part in value])
            print(textwrap.indent(table, "  "))
        else:
            print(f"  {key:<{width}}  {_text(value)}")


def print_result(
    title: str, summary: Mapping[str, Any], *, as_json: bool, quiet: bool = False
) -> None:
    """Prints the result of a command as JSON or as text, or nothing if `quiet`."""
    if as_json:
        print_json(summary)
    elif not quiet:
        print_summary(title, summary)


def print_error(error: Exception, *, as_json: bool) -> None:
    """Prints an error: as a JSON object on stdout, or as `error: ...` on stderr."""
    if as_json:
        facts = _error_facts(error) if isinstance(error, PigeonError) else _usage_facts(error)
        print_json({"error": {"kind": type(error).__name__, **facts}})
    else:
        lines = str(error).split("\n")
        print("error: " + "\n".join(map(_escaped, lines)), file=sys.stderr)


def as_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Formats rows as text: a header, a rule, and columns aligned by their widest cell."""
    names, *cells = [[_cell(value) for value in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    lines = [names, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else _escaped(" ".join(str(value).split()))


def _escaped(text: str, escape: Callable[[str], str] = lambda c: ascii(c)[1:-1]) -> str:
    """Escapes characters that a terminal would obey or that change the order of others."""
    return "".join(c if c.isprintable() or c in _JOINERS else escape(c) for c in text)


def _json_value(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _json_value(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: object) -> str:
    text = _text(value)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def _error_facts(error: PigeonError) -> dict[str, Any]:
    return {
        "what": error.what,
        "location": error.location,
        "remedy": error.remedy,
        "retryable": error.retryable,
    }


def _usage_facts(error: Exception) -> dict[str, Any]:
    """The same facts of typer's usage errors, whose attributes depend on the subclass."""
    parameter, context = getattr(error, "param", None), getattr(error, "ctx", None)
    command = context.command_path if context else "pigeon-rec"
    return {
        "what": str(error),
        "location": parameter.opts[0] if parameter else getattr(error, "option_name", None),
        "remedy": f"See `{command} --help`",
        "retryable": False,
    }
