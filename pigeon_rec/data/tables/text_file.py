"""Finds out how a text file is written: encoding, separator, and the names of its columns."""

from __future__ import annotations

import codecs
import csv
import io
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import IO, Any, Final

from pigeon_rec.data.tables.words import listed
from pigeon_rec.errors import PigeonError

__all__ = [
    "check_names",
    "column_names",
    "encoding_of",
    "head_of",
    "mixes_newlines",
    "separator_of",
    "write_utf_8",
]

_SEPARATORS: Final = ("::", "\t", ",", ";", "|")
_UTF_32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BLOCK: Final = 2**20


def encoding_of(path: Path) -> str:
    """UTF-16 and UTF-32 by their mark; Latin-1 if no byte above 127 is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    found = False
    with _opened(path) as file:
        block = file.read(_BLOCK)
        if block.startswith(_UTF_32):
            return "utf-32"
        if block.startswith(_UTF_16):
            return "utf-16"
        while block:
            if not block.isascii():
                # Bytes that are not UTF-8 become the letters U+DC80 to U+DCFF.
                above = {letter for letter in decoder.decode(block) if letter > "\x7f"}
                if any(not "\udc80" <= letter <= "\udcff" for letter in above - {"\ufeff"}):
                    return "utf-8"
                found = found or bool(above - {"\ufeff"})
            block = file.read(_BLOCK)
    return "latin-1" if found else "utf-8"


def write_utf_8(path: Path, encoding: str, copy: Path, newline: str | None = "") -> None:
    """Writes a plain copy in UTF-8; what is not of the encoding becomes U+FFFD.

    With `newline=None`, every kind of newline becomes the same one.
    """
    with (
        _opened(path) as raw,
        io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline=newline) as file,
        copy.open("w", encoding="utf-8", newline="") as out,
    ):
        shutil.copyfileobj(file, out, _BLOCK)


def head_of(path: Path) -> str:
    """The beginning of a file in UTF-8."""
    with _opened(path) as file:
        head: bytes = file.read(_BLOCK)
    return head.decode(errors="replace").removeprefix("\ufeff")


def separator_of(head: str) -> str:
    """The separator that cuts the header into most fields; those inside quotes do not count."""
    counts = {each: len(_fields(head, each, "" if len(each) > 1 else '"')) for each in _SEPARATORS}
    return max(counts, key=lambda each: counts[each])


def mixes_newlines(path: Path) -> bool:
    """Returns whether a file has more than one kind of newline, those inside quotes included."""
    kinds: set[str] = set()
    with _opened(path) as raw, io.TextIOWrapper(raw, encoding="latin-1", newline=None) as file:
        while file.read(_BLOCK):
            found = file.newlines
            kinds.update((found,) if isinstance(found, str) else found or ())
            if len(kinds) > 1:
                return True
    return False


def column_names(
    head: str, separator: str, quote: str, location: str, error: type[PigeonError]
) -> list[str]:
    """The names in the header; an unnamed column gets a name by its position.

    Raises:
        PigeonError: Of the type `error`: there are fewer than two names.
    """
    first = _first_line(head)
    fields = _fields(head, separator, quote)
    if len(fields) < 2:
        found = f"has fewer than two fields: {first[:80]!r}" if first.strip() else "is empty"
        raise error(
            f"the first line {found}",
            location=f"{location}, line 1",
            remedy="Give the separator, and the names of the columns if there is no header",
        )
    # The unnamed index column that pandas writes.
    return [name or f"column {position}" for position, name in enumerate(fields, start=1)]


def check_names(names: list[str], location: str, error: type[PigeonError]) -> None:
    """Checks that no two columns have the same name.

    Raises:
        PigeonError: Of the type `error`: a name is repeated.
    """
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise error(
            f"the header has the column {listed(map(repr, repeated))} more than once",
            location=location,
            remedy="Rename one of them, or name the columns if the file has no header",
        )


def _fields(head: str, separator: str, quote: str) -> list[str]:
    """The first record; a quoted field may go over several lines."""
    fields: list[str] | None = None
    if quote:
        try:
            fields = next(csv.reader(io.StringIO(head, newline=""), delimiter=separator), [])
        except (csv.Error, TypeError, ValueError):
            # A field longer than that module reads, or nothing that could separate fields.
            fields = None
    if fields is None:
        fields = _first_line(head).split(separator)
    return [name.strip() for name in fields]


def _first_line(head: str) -> str:
    # Not `splitlines`, which would also cut at characters that a name may have.
    return re.split(r"\r\n|\n|\r", head, maxsplit=1)[0]


def _opened(path: Path) -> IO[bytes]:
    import gzip

    opened: Any = gzip.open if path.suffix.lower() == ".gz" else open
    file: IO[bytes] = opened(path, "rb")
    return file
