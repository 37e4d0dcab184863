"""Labels and stacked batches."""

from __future__ import annotations

import torch

from tests.parity.batches import label_last, last_lengths, stack_rows


def test_labels_are_the_last_tokens() -> None:
    ids = torch.arange(10).view(2, 5)
    labels = label_last(ids, torch.tensor([2, 0]))
    assert labels.tolist() == [[-100, -100, -100, 3, 4], [-100] * 5]


def test_stacked_batches_are_padded_left() -> None:
    one, two = torch.tensor([[1, 2, 3]]), torch.tensor([[4], [5]])
    assert stack_rows(one, two, 2).tolist() == [[1, 2, 3], [2, 2, 4], [2, 2, 5]]
    assert stack_rows(two, one, -100).tolist() == [[-100, -100, 4], [-100, -100, 5], [1, 2, 3]]
    assert stack_rows(two.bool(), one.bool(), False).dtype == torch.bool


def test_the_last_image_is_that_before_the_padding() -> None:
    lengths = torch.tensor([[3, 5, 2], [4, 1, 0], [6, 0, 0], [2, 0, 7]])
    assert last_lengths(lengths).tolist() == [2, 1, 6, 7]
