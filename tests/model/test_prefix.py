"""Reading a beginning once: the rest says the same as when all is read in one go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.prefix import ReadPrefix, read_prefix
from pigeon_rec.model.sampling import sample_codes
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
    return read_prefix(model, model.instruct_history(texts(*LENGTHS), history(ragged), kept()))


def noise(k: int = 8) -> Tensor:
    with seeded(7):
        return -torch.empty(ROWS, 16, k).exponential_().log()


@pytest.mark.parametrize("ragged", [False, True])
def test_codes_are_those_of_the_whole_instruction(ragged: bool) -> None:
    model = tiny_personalisation(DYNAMIC if ragged else TINY)
    whole = model.instruct(texts(*LENGTHS), history(ragged), kept())
    asked = model.instruct_request(texts(*LENGTHS))
    assert asked.ids.shape[1] + 2 + 2 * 16 == whole.ids.shape[1]
    one = sample_codes(model, whole, references(ROWS), noise())
    other = sample_codes(model, asked, references(ROWS), noise(), prefix=begun(model, ragged))
    assert torch.equal(one, other)
    assert len(one.unique()) > 4


@pytest.mark.parametrize("ragged", [False, True])
def test_a_beginning_with_titles_is_read_on_from_as_well(ragged: bool) -> None:
    """Rows are padded by different amounts then, before the beginning and before the rest."""
    model = tiny_personalisation(DYNAMIC if ragged else TINY)
    told = titled(texts(*LENGTHS), [[3, 1], [1, 1], [5, 2], [2, 4]])
    whole = model.instruct(told, history(ragged), kept())
    prefix = read_prefix(model, model.instruct_history(told, history(ragged), kept()))
    assert (~prefix.attention).any()
    asked = model.instruct_request(told)
    one = sample_codes(model, whole, references(ROWS), noise())
    other = sample_codes(model, asked, references(ROWS), noise(), prefix=prefix)
    assert torch.equal(one, other)
    untitled = sample_codes(model, asked, references(ROWS), noise(), prefix=begun(model, ragged))
    assert not torch.equal(one, untitled)


def test_both_sides_of_guidance_read_on_from_one_beginning() -> None:
    model = tiny_personalisation(TINY)
    whole = model.instruct(texts(*LENGTHS, *LENGTHS), *(t.repeat(2, 1, 1) for t in (
        history(False), kept()
    )))  # fmt: skip
    asked = model.instruct_request(texts(*LENGTHS, *LENGTHS))
    told = torch.cat([references(ROWS), torch.zeros(ROWS, 4, 32)])
    one = sample_codes(model, whole, told, noise(), guidance_scale=2.5)
    other = sample_codes(model, asked, told, noise(), guidance_scale=2.5, prefix=begun(model))
    assert torch.equal(one, other)


def test_a_beginning_is_read_on_from_again_and_again() -> None:
    model = tiny_personalisation(TINY)
    prefix, asked = begun(model), model.instruct_request(texts(*LENGTHS))
    before = [t.clone() for layer in prefix.layers for t in layer]
    drawn = [
        sample_codes(model, asked, references(ROWS, seed=seed), noise(), prefix=prefix)
        for seed in (5, 6, 5)
    ]
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    after = [t for layer in prefix.layers for t in layer]
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_masked_history_leaves_no_trace_in_a_beginning() -> None:
    model = tiny_personalisation(TINY)
    changed = torch.where(kept() > 0.5, history(False), (history(False) + 11) % 32)
    other = read_prefix(model, model.instruct_history(texts(*LENGTHS), changed, kept()))
    for one, two in zip(begun(model).layers, other.layers, strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])


def test_a_cache_with_room_holds_what_the_librarys_own_holds() -> None:
    prefix, library = begun(tiny_personalisation(TINY)), DynamicCache()
    for layer, (keys, values) in enumerate(prefix.layers):
        library.update(keys, values, layer)
    ours = prefix.fork(copies=1, tokens=5)
    assert ours.get_seq_length() == library.get_seq_length() == 34
    with seeded(3):
        for new in (3, 1, 1):
            keys, values = torch.randn(ROWS, 2, new, 16), torch.randn(ROWS, 2, new, 16)
            wanted = library.update(keys, values, 0)
            found = ours.update(keys, values, 0)
            assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
