"""A prefix read once gives the same results as the whole instruction."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import DynamicCache

from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.prefix import ReadPrefix, attend_behind_prefix, read_on, read_prefix
from pigeon_rec.model.visual_tokenizer import NO_CODE
from tests.model.tiny import (
    DYNAMIC,
    TINY,
    random_codes,
    references,
    seeded,
    texts,
    tiny_personalisation,
    titled,
    write,
)

ROWS = 4
LENGTHS = (2, 5, 3, 5)


def history(ragged: bool) -> Tensor:
    codes = random_codes(ROWS, 2, 16)
    if ragged:
        codes[0, 1, 9:] = NO_CODE
        codes[2, 0, 3:] = NO_CODE
    return codes


def kept() -> Tensor:
    with seeded(1):
        return (torch.rand(ROWS, 2, 16) < 0.7).float()


def begun(model: Personalisation, ragged: bool = False) -> ReadPrefix:
    return read_prefix(model, model.instruct_beginning(texts(*LENGTHS), history(ragged), kept()))


def noise(k: int = 8) -> Tensor:
    with seeded(7):
        return -torch.empty(ROWS, 16, k).exponential_().log()


@pytest.mark.parametrize("ragged", [False, True])
def test_codes_are_those_of_the_whole_instruction(ragged: bool) -> None:
    model = tiny_personalisation(DYNAMIC if ragged else TINY)
    whole = model.instruct(texts(*LENGTHS), history(ragged), kept())
    rest = model.instruct_rest(texts(*LENGTHS))
    prefix = begun(model, ragged)
    assert prefix.attention.shape[1] + rest.ids.shape[1] == whole.ids.shape[1]
    one = write(model, whole, references(ROWS), noise())
    other = write(model, rest, references(ROWS), noise(), prefix=prefix)
    assert torch.equal(one, other)
    assert len(one.unique()) > 4


@pytest.mark.parametrize("ragged", [False, True])
def test_a_beginning_with_titles_is_read_on_from_as_well(ragged: bool) -> None:
    """Rows of other lengths: padding before the beginning and before the rest differs."""
    model = tiny_personalisation(DYNAMIC if ragged else TINY)
    words = titled(texts(*LENGTHS), [[3, 1], [1, 1], [5, 2], [2, 4]])
    whole = model.instruct(words, history(ragged), kept())
    prefix = read_prefix(model, model.instruct_beginning(words, history(ragged), kept()))
    assert (~prefix.attention).any()
    rest = model.instruct_rest(words)
    one = write(model, whole, references(ROWS), noise())
    other = write(model, rest, references(ROWS), noise(), prefix=prefix)
    assert torch.equal(one, other)
    untitled = write(model, rest, references(ROWS), noise(), prefix=begun(model, ragged))
    assert not torch.equal(one, untitled)


def test_both_sides_of_guidance_read_on_from_one_beginning() -> None:
    model = tiny_personalisation(TINY)
    whole = model.instruct(texts(*LENGTHS, *LENGTHS), *(t.repeat(2, 1, 1) for t in (
        history(False), kept()
    )))  # fmt: skip
    rest = model.instruct_rest(texts(*LENGTHS, *LENGTHS))
    reference = torch.cat([references(ROWS), torch.zeros(ROWS, 4, 32)])
    one = write(model, whole, reference, noise(), language_guidance=2.5)
    other = write(model, rest, reference, noise(), language_guidance=2.5, prefix=begun(model))
    assert torch.equal(one, other)


def test_candidates_of_one_request_share_the_unconditional_row() -> None:
    """Each conditional row has its own unconditional row once a code is written."""
    model, scale, copies = tiny_personalisation(TINY), 2.5, 3
    reference = torch.cat([references(ROWS, seed=seed) for seed in range(copies)])
    with seeded(11):
        aligned = torch.randn(copies + 1, ROWS, 16, 32)
        gumbel = -torch.empty(copies * ROWS, 16, 8).exponential_().log()

    def written(unconditional: int) -> Tensor:
        rest = model.instruct_rest(texts(*LENGTHS * (copies + unconditional)))
        shown = torch.cat([reference, torch.zeros(unconditional * ROWS, 4, 32)])
        away = aligned[-1:].expand(unconditional, -1, -1, -1)
        led = torch.cat([aligned[:copies], away]).flatten(0, 1)
        return write(
            model, rest, shown, gumbel, aligned=led, language_guidance=scale, prefix=begun(model)
        )

    assert torch.equal(written(1), written(copies))
    assert not torch.equal(written(1), written(0))


def test_a_beginning_is_read_on_from_again_and_again() -> None:
    model = tiny_personalisation(TINY)
    prefix, rest = begun(model), model.instruct_rest(texts(*LENGTHS))
    before = [t.clone() for layer in prefix.layers for t in layer]
    drawn = [
        write(model, rest, references(ROWS, seed=seed), noise(), prefix=prefix)
        for seed in (5, 6, 5)
    ]
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    after = [t for layer in prefix.layers for t in layer]
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_masked_history_leaves_no_trace_in_a_beginning() -> None:
    model = tiny_personalisation(TINY)
    changed = torch.where(kept() > 0.5, history(False), (history(False) + 11) % 32)
    other = read_prefix(model, model.instruct_beginning(texts(*LENGTHS), changed, kept()))
    for one, two in zip(begun(model).layers, other.layers, strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])


def test_a_cache_with_room_holds_what_the_librarys_own_holds() -> None:
    ours, library = read_on(tiny_personalisation(TINY), 6), DynamicCache()
    with seeded(3):
        for new in (3, 1, 1):
            keys, values = torch.randn(ROWS, 2, new, 16), torch.randn(ROWS, 2, new, 16)
            wanted = library.update(keys, values, 0)
            found = ours.update(keys, values, 0)
            assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
            assert ours.get_seq_length() == library.get_seq_length()
        rows = torch.tensor([3, 0, 0, 2, 3])
        for cache in (ours, library):
            cache.batch_select_indices(rows)
        keys, values = torch.randn(2, len(rows), 2, 1, 16)
        wanted, found = library.update(keys, values, 0), ours.update(keys, values, 0)
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@given(
    requests=st.integers(1, 3), copies=st.integers(1, 4), length=st.integers(1, 9),
    own=st.integers(1, 6), new=st.integers(1, 6), seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=40)
def test_what_is_seen_behind_a_beginning_is_what_one_long_row_sees(
    requests: int, copies: int, length: int, own: int, new: int, seed: int
) -> None:
    """Equals the library's attention over copies of the beginning and the rest."""
    layer, heads, width = torch.nn.Module(), 2, 4
    layer.layer_idx = 0  # type: ignore[assignment]
    new, rows = min(own, new), requests * copies
    with seeded(seed):
        keys, values = torch.randn(2, requests, heads, length, width)
        key, value = torch.randn(2, rows, heads, own, width)
        query = torch.randn(rows, heads, new, width)
        attention = torch.rand(requests, length) < 0.7
        padding = torch.randint(0, own, (rows,))
    attention[:, -1] = True
    causal = torch.ones(new, own, dtype=torch.bool).tril(own - new)
    mask = causal & (torch.arange(own) >= padding[:, None])[:, None, None]
    prefix = ReadPrefix(((keys, values),), attention)
    found, _ = attend_behind_prefix(layer, query, key, value, mask, 0.5, prefix)
    before = attention.repeat(copies, 1)[:, None, None].expand(-1, 1, new, -1)
    wanted = F.scaled_dot_product_attention(
        query,
        torch.cat([keys.repeat(copies, 1, 1, 1), key], dim=2),
        torch.cat([values.repeat(copies, 1, 1, 1), value], dim=2),
        torch.cat([before, mask], dim=3),
        scale=0.5,
    )
    torch.testing.assert_close(found, wanted.transpose(1, 2), atol=1e-5, rtol=1e-5)
    if not padding.any():
        found_again, _ = attend_behind_prefix(layer, query, key, value, None, 0.5, prefix)
        assert torch.equal(found_again, found)


def test_without_a_beginning_attention_is_the_librarys_own() -> None:
    model = tiny_personalisation(TINY)
    whole = model.instruct(texts(*LENGTHS), history(False), kept())

    def hidden() -> Tensor:
        out = model.language_model.model(
            inputs_embeds=model.embed(whole, references(ROWS)),
            attention_mask=whole.attention.long(),
            position_ids=whole.positions,
        )
        return torch.as_tensor(out.last_hidden_state)

    before = hidden()
    read_on(model, 1)
    assert torch.equal(hidden(), before)
