"""Ids of two tables that do not meet: examples of both, for messages."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

__all__ = ["unmet_ids"]

_SHOWN: Final = 3
_COMPARED: Final = 10_000


def unmet_ids(first: str, ids: Iterable[str], second: str, others: Iterable[str]) -> str:
    """Shows ids of both tables, of the same thing where that can be guessed.

    For example `the interactions name '1013.0', '7.0', and the catalogue '1013', '7'`.

    Args:
        first: What has `ids`, such as `the interactions`.
        ids: Its ids; repeats are shown once.
        second: What has `others`.
        others: Its ids.
    """
    mine, theirs = (list(dict.fromkeys(islice(part, _COMPARED))) for part in (ids, others))
    alike = {_plain(other): other for other in theirs}
    pairs = [(one, alike[_plain(one)]) for one in mine if _plain(one) in alike][:_SHOWN]
    if pairs:
        mine, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    return f"{first} name {_listed(mine)}, and {second} {_listed(theirs)}"


def _plain(name: str) -> str:
    """The id as if it had passed no floating-point column, padding or change of case."""
    text = name.strip().casefold()
    whole = text.removesuffix(".0")
    return (whole.lstrip("0") or "0") if whole.isascii() and whole.isdecimal() else text


def _listed(ids: list[str]) -> str:
    return ", ".join(map(repr, ids[:_SHOWN])) or "none"
