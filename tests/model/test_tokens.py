"""Rows of several images' tokens, against plain lists."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pigeon_rec.model.tokens import MASKED, ImageTokens, Vocabulary, pack
from pigeon_rec.model.visual_tokenizer import NO_CODE

VOCABULARY = Vocabulary(text=20, codes=30)
FIRST = VOCABULARY.first_code

Batch = list[list[list[int]]]
"""Samples of images of codes."""


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    samples, images = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    image = st.lists(st.integers(0, 29), min_size=0, max_size=5)
    return [[draw(image) for _ in range(images)] for _ in range(samples)]


def grid(batch: Batch, width: int = 5) -> Tensor:
    """Codes `[B, images, width]`, padded."""
    return torch.tensor(
        [[image + [NO_CODE] * (width - len(image)) for image in sample] for sample in batch]
    )


def rows(tokens: ImageTokens, values: Tensor | None = None) -> list[list[int]]:
    """Tokens of each row before its padding."""
    values = tokens.ids if values is None else values
    counts = tokens.lengths.sum(1).tolist()
    return [row[:count] for row, count in zip(values.tolist(), counts, strict=True)]


@given(batches())
def test_codes_are_packed_in_order(batch: Batch) -> None:
    tokens = ImageTokens.from_codes(grid(batch), VOCABULARY)
    assert rows(tokens) == [[FIRST + c for image in sample for c in image] for sample in batch]
    assert tokens.lengths.tolist() == [[len(image) for image in sample] for sample in batch]
    assert tokens.ids.shape[1] == max(sum(map(len, sample)) for sample in batch)
    assert bool((tokens.ids[~tokens.present] == NO_CODE).all())
    assert bool((tokens.ids[tokens.present] != NO_CODE).all())


@given(batches())
def test_positions_restart_in_each_image(batch: Batch) -> None:
    tokens = ImageTokens.from_codes(grid(batch), VOCABULARY)
    wanted = [[i + 1 for image in sample for i in range(len(image))] for sample in batch]
    assert rows(tokens, tokens.positions) == wanted
    assert tokens.positions[~tokens.present].tolist() == [0] * int((~tokens.present).sum())
    numbers = [[n for n, image in enumerate(sample) for _ in image] for sample in batch]
    assert rows(tokens, tokens.image) == numbers


@given(batches(), batches())
def test_joined_images_stand_behind(one: Batch, two: Batch) -> None:
    size = min(len(one), len(two))
    one, two = one[:size], two[:size]
    parts = [ImageTokens.from_codes(grid(batch), VOCABULARY) for batch in (one, two)]
    both = [a + b for a, b in zip(one, two, strict=True)]
    joined, wanted = parts[0].join(parts[1]), ImageTokens.from_codes(grid(both), VOCABULARY)
    assert rows(joined) == rows(wanted)
    assert torch.equal(joined.lengths, wanted.lengths)


@given(batches())
def test_wrapped_images_have_both_ids_around_them(batch: Batch) -> None:
    start, end = VOCABULARY.image_start, VOCABULARY.image_end
    hidden = torch.zeros(grid(batch).shape)
    tokens = ImageTokens.from_codes(grid(batch), VOCABULARY, hidden).wrapped(VOCABULARY)
    # An image without codes is padding.
    wanted = [
        [t for image in sample if image for t in [start, *(FIRST + c for c in image), end]]
        for sample in batch
    ]
    sizes = [[len(image) + 2 if image else 0 for image in sample] for sample in batch]
    assert tokens.lengths.tolist() == sizes
    assert rows(tokens) == wanted
    # The codes stay masked, the ids around them are shown.
    assert rows(tokens, tokens.keep.long()) == [[int(t < FIRST) for t in row] for row in wanted]


def test_masked_ids_are_masked_and_fillers_are_padding() -> None:
    tokens = ImageTokens.from_rows(
        torch.tensor([[25, MASKED, 26, 7, 7], [MASKED, 24, 27, 29, 28]]),
        torch.tensor([[2, 1], [1, 4]]),
    )
    assert rows(tokens, tokens.keep.long()) == [[1, 0, 1], [0, 1, 1, 1, 1]]
    assert tokens.ids[0, 3:].tolist() == [NO_CODE] * 2


def test_packing_keeps_rows_together_and_passes_gradient() -> None:
    present = torch.tensor([[False, True, False, True], [True, True, True, False]])
    values = torch.arange(8.0).view(2, 4).requires_grad_()
    (packed,) = pack(present, values)
    assert packed[0, :2].tolist() == [1.0, 3.0]
    assert packed[1].tolist() == [4.0, 5.0, 6.0]
    packed[0, :2].sum().backward()
    assert values.grad is not None
    assert values.grad.flatten().tolist() == [0, 1, 0, 1, 0, 0, 0, 0]


def test_nothing_is_packed_of_no_rows() -> None:
    empty = ImageTokens.from_codes(torch.zeros(0, 2, 5, dtype=torch.long), VOCABULARY)
    assert empty.ids.shape == (0, 0)
