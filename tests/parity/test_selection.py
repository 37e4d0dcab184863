"""Cutting the padding of published token rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.parity.selection import strip_padding


@given(st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=1, max_size=5))
def test_only_trailing_padding_is_cut(rows: list[list[int]]) -> None:
    for row, cut in zip(rows, strip_padding(rows, 2), strict=True):
        assert row == cut.tolist() + [2] * (4 - len(cut))
        assert cut.size == 0 or cut[-1] != 2
