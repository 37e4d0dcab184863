"""Text and images as one row, against a reading token by token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pigeon_rec.model.merging import Instruction, label_last, merge_images, stack_rows
from pigeon_rec.model.tokens import MASKED, REFERENCE, ImageTokens, Vocabulary

VOCABULARY = Vocabulary(text=20, codes=30)
START, END, PAD = VOCABULARY.image_start, VOCABULARY.image_end, 2

Row = tuple[list[int], list[list[int]]]
"""A text and its images' tokens."""


@st.composite
def samples(draw: st.DrawFn) -> list[Row]:
    """Texts with a place for each image, in which all samples have as many."""
    count, opened = draw(st.integers(0, 3)), draw(st.booleans())
    words = st.lists(st.sampled_from([3, 5, 9, END]), max_size=3)
    image = st.lists(st.sampled_from([MASKED, START, END, 22, 30, 51]), min_size=1, max_size=4)
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        text = draw(words)
        for _ in range(count + opened):
            text += [START, *draw(words)]
        rows.append((text, [draw(image) for _ in range(count)]))
    return rows


def merged(rows: list[Row], extra: int = 0, width: int | None = None) -> Instruction:
    longest = max(len(text) for text, _ in rows) + extra
    texts = [[PAD] * (longest - len(text)) + text for text, _ in rows]
    mask = [[False] * (longest - len(text)) + [True] * len(text) for text, _ in rows]
    flat = [[t for image in images for t in image] for _, images in rows]
    tokens = max(map(len, flat))
    return merge_images(
        torch.tensor(texts).view(len(rows), longest).long(),
        torch.tensor(mask).view(len(rows), longest).bool(),
        ImageTokens.from_rows(
            torch.tensor([row + [7] * (tokens - len(row)) for row in flat]).long(),
            torch.tensor([[len(image) for image in images] for _, images in rows]).long(),
        ),
        VOCABULARY,
        width,
    )


def by_hand(text: list[int], images: list[list[int]]) -> list[int]:
    left, out = list(images), []
    for token in text:
        if token == START and left:
            out += left.pop(0)
        else:
            out.append(REFERENCE if token == END else token)
    return out


@given(samples(), st.integers(0, 3))
def test_merging_is_what_reading_token_by_token_gives(rows: list[Row], extra: int) -> None:
    wanted = [by_hand(*row) for row in rows]
    found = merged(rows, extra)
    width = max(map(len, wanted))
    for ids, gate, attended, row in zip(
        found.ids.tolist(), found.gate.tolist(), found.attention.tolist(), wanted, strict=True
    ):
        assert ids == [PAD] * (width - len(row)) + row
        assert attended == [False] * (width - len(row)) + [True] * len(row)
        # A masked token is attended to; nothing but its embedding is gone.
        assert gate == [1.0] * (width - len(row)) + [float(t != MASKED) for t in row]


def test_an_image_start_behind_the_last_image_stays_open() -> None:
    found = merged([([4, START, 5, START], [[30, 31]])])
    assert found.ids.tolist() == [[4, 30, 31, 5, START]]


def test_a_fixed_width_pads_more_and_changes_nothing_else() -> None:
    rows = [([4, START, START], [[30, 31]]), ([START, START], [[40, MASKED, 41]])]
    narrow, wide = merged(rows), merged(rows, width=9)
    assert wide.ids.shape == (2, 9)
    assert torch.equal(wide.ids[:, -4:], narrow.ids)
    assert torch.equal(wide.gate[:, -4:], narrow.gate)
    assert torch.equal(wide.positions[wide.attention], narrow.positions[narrow.attention])
    assert not wide.attention[:, :5].any()


def test_decisions_pass_their_gradient_to_the_gate() -> None:
    keep = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 7.0]]).requires_grad_()
    images = ImageTokens(torch.full((2, 3), 30), keep, torch.tensor([[1, 2], [1, 1]]))
    text = torch.tensor([[START, 4, START], [START, 4, START]])
    found = merge_images(text, torch.ones_like(text, dtype=torch.bool), images, VOCABULARY)
    (found.gate * torch.arange(8.0).view(2, 4)).sum().backward()
    assert keep.grad is not None
    assert keep.grad.tolist() == [[0, 2, 3], [5, 7, 0]]  # the padded third of row two has none


def test_a_text_without_a_place_for_every_image_is_refused() -> None:
    with pytest.raises(ValueError, match="each of its 2 images"):
        merged([([4, START, 5], [[30], [31]])])
    with pytest.raises(ValueError, match="5 tokens, more than 4"):
        merged([([4, START, 5], [[30, 31, 32]])], width=4)


def test_labels_are_the_last_tokens() -> None:
    ids = torch.arange(10).view(2, 5)
    labels = label_last(ids, torch.tensor([2, 0]))
    assert labels.tolist() == [[-100, -100, -100, 3, 4], [-100] * 5]


def test_stacked_batches_are_padded_left() -> None:
    one, two = torch.tensor([[1, 2, 3]]), torch.tensor([[4], [5]])
    assert stack_rows(one, two, 2).tolist() == [[1, 2, 3], [2, 2, 4], [2, 2, 5]]
    assert stack_rows(two, one, -100).tolist() == [[-100, -100, 4], [-100, -100, 5], [1, 2, 3]]
    assert stack_rows(two.bool(), one.bool(), False).dtype == torch.bool
