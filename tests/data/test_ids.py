"""Examples of ids that do not meet."""

from __future__ import annotations

import pytest

from pigeon_rec.data.ids import unmet_ids


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        (["7.0", "10.0", "9.0"], ["10", "7"], "they name '7.0', '10.0', and the shop '7', '10'"),
        (["SKU-1", "SKU-2"], ["a", "sku-2"], "they name 'SKU-2', and the shop 'sku-2'"),
        (["007"], ["6", "7"], "they name '007', and the shop '7'"),
        ([" x "], ["x"], "they name ' x ', and the shop 'x'"),
        (["a", "b", "c", "d"], ["1", "1", "2"], "they name 'a', 'b', 'c', and the shop '1', '2'"),
        (["9" * 5000], [], f"they name '{'9' * 5000}', and the shop none"),
    ],
)
def test_ids_of_the_same_thing_are_shown_if_they_can_be_guessed(
    mine: list[str], theirs: list[str], said: str
) -> None:
    assert unmet_ids("they", mine, "the shop", theirs) == said
