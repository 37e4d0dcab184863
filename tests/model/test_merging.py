"""Text and images as one row, against a merge token by token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pigeon_rec.model.merging import Instruction, merge_images
from pigeon_rec.model.tokens import MASKED, REFERENCE, ImageTokens, Vocabulary

VOCABULARY = Vocabulary(text=20, codes=30)
START, END, PAD = VOCABULARY.image_start, VOCABULARY.image_end, 2

Row = tuple[list[int], list[list[int]]]
"""A text and its images' tokens; an image without tokens is padding."""


@st.composite
def samples(draw: st.DrawFn) -> list[Row]:
    """Texts with a place for each of their own images, and possibly one for an image to write.

    Samples have different numbers of images; padding images may be anywhere among them.
    """
    words = st.lists(st.sampled_from([3, 5, 9, END]), max_size=3)
    image = st.lists(st.sampled_from([MASKED, START, END, 22, 30, 51]), min_size=1, max_size=4)
    columns, rows = draw(st.integers(0, 4)), []
    for _ in range(draw(st.integers(1, 4))):
        real = draw(st.lists(st.booleans(), min_size=columns, max_size=columns))
        text = draw(words)
        for _ in range(sum(real) + draw(st.booleans())):
            text += [START, *draw(words)]
        rows.append((text, [draw(image) if there else [] for there in real]))
    return rows


def merged(
    rows: list[Row], left: int = 0, right: int = 0, width: int | None = None, *, wrap: bool = False
) -> Instruction:
    """Merges a batch, its texts padded by `left` and `right` more places than needed."""
    longest = max(len(text) for text, _ in rows) + left
    texts = [[PAD] * (longest - len(text)) + text + [START] * right for text, _ in rows]
    mask = [
        [False] * (longest - len(text)) + [True] * len(text) + [False] * right for text, _ in rows
    ]
    flat = [[t for image in images for t in image] for _, images in rows]
    tokens = max(map(len, flat))
    images = ImageTokens.from_rows(
        torch.tensor([row + [7] * (tokens - len(row)) for row in flat]).long(),
        torch.tensor([[len(image) for image in images] for _, images in rows]).long(),
    )
    return merge_images(
        torch.tensor(texts).view(len(rows), longest + right).long(),
        torch.tensor(mask).view(len(rows), longest + right).bool(),
        images.wrapped(VOCABULARY) if wrap else images,
        VOCABULARY,
        width,
    )


def by_hand(text: list[int], images: list[list[int]], wrap: bool = False) -> list[int]:
    left, out = [image for image in images if image], []
    for token in text:
        if token == START and left:
            image = left.pop(0)
            out += [START, *image, END] if wrap else image
        else:
            out.append(REFERENCE if token == END else token)
    return out


@given(samples(), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_merging_is_what_reading_token_by_token_gives(
    rows: list[Row], left: int, right: int, wrap: bool
) -> None:
    wanted = [by_hand(*row, wrap) for row in rows]
    found = merged(rows, left, right, wrap=wrap)
    width = max(map(len, wanted))
    for ids, gate, attended, row in zip(
        found.ids.tolist(), found.gate.tolist(), found.attention.tolist(), wanted, strict=True
    ):
        assert ids == [PAD] * (width - len(row)) + row
        assert attended == [False] * (width - len(row)) + [True] * len(row)
        # A masked token is attended to; only its embedding is zero.
        assert gate == [1.0] * (width - len(row)) + [float(t != MASKED) for t in row]


@given(samples(), st.booleans())
def test_a_ragged_batch_is_its_samples_merged_alone_and_padded_left(
    rows: list[Row], wrap: bool
) -> None:
    found = merged(rows, wrap=wrap)
    for row, (text, images) in enumerate(rows):
        alone = merged([(text, [image for image in images if image])], wrap=wrap)
        padding = found.ids.shape[1] - alone.ids.shape[1]
        assert padding >= 0
        for field, fill in (("ids", PAD), ("gate", 1.0), ("attention", False)):
            both = getattr(found, field)[row], getattr(alone, field)[0]
            assert torch.equal(both[0][padding:], both[1])
            assert (both[0][:padding] == fill).all()


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


def test_each_sample_has_its_own_number_of_images() -> None:
    """Training: the last image is the target. Inference: the last image start stays open."""
    history, target = [[30, MASKED], [31]], [START, 40, 41, END]
    trained = merged(
        [
            ([3, START, 4, START, END, START], [*history, target]),
            ([5, START, 6, END, START], [[32], target, []]),
            ([7, END, START], [target, [], []]),
        ]
    )
    assert trained.ids.tolist() == [
        [3, 30, MASKED, 4, 31, REFERENCE, START, 40, 41, END],
        [PAD, PAD, 5, 32, 6, REFERENCE, START, 40, 41, END],
        [*[PAD] * 4, 7, REFERENCE, START, 40, 41, END],
    ]
    written = merged(
        [
            ([3, START, 4, START, END, START], history),
            ([5, START, 6, END, START], [[32], []]),
            ([7, END, START], [[], []]),
        ]
    )
    assert written.ids.tolist() == [
        [3, 30, MASKED, 4, 31, REFERENCE, START],
        [PAD, PAD, 5, 32, 6, REFERENCE, START],
        [*[PAD] * 4, 7, REFERENCE, START],
    ]
    assert written.attention.sum(1).tolist() == [7, 5, 3]


def test_wrapped_images_of_ragged_samples() -> None:
    rows = [([3, START, 4, START, START], [[30], [31]]), ([5, START, 6, START], [[], [MASKED]])]
    found = merged(rows, wrap=True)
    assert found.ids.tolist() == [
        [3, START, 30, END, 4, START, 31, END, START],
        [PAD, PAD, PAD, 5, START, MASKED, END, 6, START],
    ]
    assert found.gate[1].tolist() == [1, 1, 1, 1, 1, 0, 1, 1, 1]


def test_ragged_decisions_pass_their_gradient_to_their_own_gate() -> None:
    keep = torch.tensor([[1.0, 0.0, 1.0], [0.0, 7.0, 7.0]]).requires_grad_()
    images = ImageTokens(torch.full((2, 3), 30), keep, torch.tensor([[1, 2], [0, 1]]))
    text = torch.tensor([[START, 4, START], [START, 4, 5]])
    found = merge_images(text, torch.ones_like(text, dtype=torch.bool), images, VOCABULARY)
    (found.gate * torch.arange(8.0).view(2, 4)).sum().backward()
    assert keep.grad is not None
    assert keep.grad.tolist() == [[0, 2, 3], [5, 0, 0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([([4, START, 5], [[30], [31]])], "text 0 has 1 places for its 2 images"),
        ([([4, 5], [[30]])], "text 0 has 0 places for its 1 images"),
        # A sample's extra image start is not filled with another sample's image.
        (
            [([START, START, START], [[30], []]), ([4, START], [[30], [31]])],
            "text 1 has 1 places for its 2 images",
        ),
        ([([4, START], [[], [30], [31]])], "text 0 has 1 places for its 2 images"),
    ],
)
def test_an_image_without_a_place_is_an_error(rows: list[Row], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        merged(rows)
    # Nor is a masked image start filled, as in the padding of a text.
    with pytest.raises(ValueError, match=message):
        merged(rows, right=3)


def test_a_row_longer_than_the_width_is_an_error() -> None:
    with pytest.raises(ValueError, match="5 tokens, more than 4"):
        merged([([4, START, 5], [[30, 31, 32]])], width=4)
