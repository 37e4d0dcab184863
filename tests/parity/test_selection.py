"""Cutting the padding of published token rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.parity.selection import _without_padding


@given(st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=1, max_size=5))
def test_only_trailing_padding_is_cut(rows: list[list[int]]) -> None:
    for row in rows:
        cut = _without_padding(np.array(row), 2).tolist()
        assert row == cut + [2] * (4 - len(cut))
        assert not cut or cut[-1] != 2
