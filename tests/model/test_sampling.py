"""Writing codes: allowed ids, and the inputs a row depends on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.personalisation import Instruction, Personalisation
from pigeon_rec.model.prefix import ReadPrefix, read_prefix
from pigeon_rec.model.visual_tokenizer import NO_CODE
from tests.model.tiny import (
    DYNAMIC,
    TINY,
    random_codes,
    references,
    seeded,
    texts,
    tiny_personalisation,
    write,
)

ROWS, EVERY_COLUMN = 6, 33


def untied(config: PigeonConfig) -> Personalisation:
    """A model with untied output and input rows."""
    sizes = config.language_model.model_copy(update={"tie_embeddings": False})
    return tiny_personalisation(config.model_copy(update={"language_model": sizes}))


def instruction(model: Personalisation, rows: int = ROWS) -> Instruction:
    lengths = [2 + row % 4 for row in range(rows)]
    return model.instruct(texts(*lengths), random_codes(rows, 2, 16), torch.ones(rows, 2, 16))


def gumbel(k: int, rows: int = ROWS, seed: int = 7) -> Tensor:
    with seeded(seed):
        return -torch.empty(rows, 16, k).exponential_().log()


def head(model: Personalisation) -> Tensor:
    return model.language_model.get_parameter("lm_head.weight").data


def test_a_fixed_grid_is_always_filled() -> None:
    model = untied(TINY)
    # Image end has the highest logit at every step.
    head(model)[281] = head(model)[282:].sum(0) * 50
    codes = write(model, instruction(model), references(ROWS), gumbel(EVERY_COLUMN))
    assert codes.shape == (ROWS, 16)
    assert codes.min() >= 0
    assert codes.max() < 32


def test_text_is_never_written() -> None:
    model = untied(TINY)
    plain = write(model, instruction(model), references(ROWS), gumbel(8))
    head(model)[:281] *= 1000
    loud = write(model, instruction(model), references(ROWS), gumbel(8))
    assert torch.equal(loud, plain)


def test_greedy_codes_are_those_of_the_whole_sequence() -> None:
    """With and without the cache, every code is the most likely one after those before it."""
    model = tiny_personalisation(TINY)
    prompt = instruction(model)
    with seeded(3):
        aligned = torch.randn(ROWS, 16, 32)
    codes = write(model, prompt, references(ROWS), gumbel(1), aligned=aligned)
    written = codes + model.vocabulary.first_code
    whole = Instruction(
        ids=torch.cat([prompt.ids, written], 1),
        gate=torch.cat([prompt.gate, torch.ones(ROWS, 16)], 1),
        attention=torch.cat([prompt.attention, torch.ones(ROWS, 16, dtype=torch.bool)], 1),
    )
    with torch.inference_mode():
        states = model.language_model.model(
            inputs_embeds=model.add_aligned(model.embed(whole, references(ROWS)), aligned),
            attention_mask=whole.attention.long(),
            position_ids=whole.positions,
        ).last_hidden_state[:, -17:-1]
        best = model.code_logits(states)[..., 1:].argmax(-1)
    assert torch.equal(codes, best)
    assert len(codes.unique()) > 4


def test_one_candidate_leaves_nothing_to_chance() -> None:
    model = tiny_personalisation(TINY)
    draws = [
        write(model, instruction(model), references(ROWS), gumbel(1, seed=seed)) for seed in (1, 2)
    ]
    assert torch.equal(*draws)


def test_noise_decides_among_the_best_only() -> None:
    model = tiny_personalisation(TINY)
    prompt = instruction(model)
    greedy = write(model, prompt, references(ROWS), gumbel(1))
    noisy = [
        write(model, prompt, references(ROWS), gumbel(3, seed=seed)[:, :1], temperature=20.0)
        for seed in range(12)
    ]
    first = torch.stack(noisy)[:, :, 0]
    assert all(2 <= len(first[:, row].unique()) <= 3 for row in range(ROWS))
    cold = write(model, prompt, references(ROWS), gumbel(3), temperature=1e-4)
    assert torch.equal(cold, greedy)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    model = tiny_personalisation(TINY)
    prompt, noise = instruction(model), gumbel(8)
    codes = write(model, prompt, references(ROWS), noise)
    order = [4, 0, 2, 1, 5, 3]
    turned = Instruction(prompt.ids[order], prompt.gate[order], prompt.attention[order])
    again = write(model, turned, references(ROWS)[order], noise[order])
    assert torch.equal(again, codes[order])


def test_aligned_embeddings_change_what_is_written() -> None:
    model = tiny_personalisation(TINY)
    prompt = instruction(model)
    plain = write(model, prompt, references(ROWS), gumbel(1))
    aligned = torch.zeros(ROWS, 16, 32)
    assert torch.equal(write(model, prompt, references(ROWS), gumbel(1), aligned=aligned), plain)
    with seeded(4):
        aligned[:, 9:] = torch.randn(ROWS, 7, 32) * 3
    led = write(model, prompt, references(ROWS), gumbel(1), aligned=aligned)
    assert torch.equal(led[:, :9], plain[:, :9])
    assert (led[:, 9:] != plain[:, 9:]).any()


def twice(prompt: Instruction) -> Instruction:
    return Instruction(*(torch.cat([t, t]) for t in (prompt.ids, prompt.gate, prompt.attention)))


def test_guidance_moves_away_from_the_unconditional_rows() -> None:
    model = tiny_personalisation(TINY)
    prompt, reference, noise = twice(instruction(model)), references(ROWS), gumbel(8)
    plain = write(model, instruction(model), reference, noise)
    same = write(model, prompt, torch.cat([reference, reference]), noise, language_guidance=3.0)
    assert torch.equal(same, plain)
    both = torch.cat([reference, torch.zeros_like(reference)])
    guided = write(model, prompt, both, noise, language_guidance=3.0)
    assert guided.shape == plain.shape
    assert (guided != plain).any(1).all()


def test_guided_scores_are_those_of_the_formula() -> None:
    """First code, greedily: u + scale * (c - u) of the log-probabilities of both sides."""
    model = tiny_personalisation(TINY)
    prompt, reference = twice(instruction(model)), references(ROWS)
    both = torch.cat([reference, torch.zeros_like(reference)])
    with torch.inference_mode():
        states = model.language_model.model(
            inputs_embeds=model.embed(prompt, both),
            attention_mask=prompt.attention.long(),
            position_ids=prompt.positions,
        ).last_hidden_state[:, -1]
        with_it, without = model.code_logits(states).log_softmax(-1).chunk(2)
    wanted = (without + 2.5 * (with_it - without))[:, 1:].argmax(-1)
    codes = write(model, prompt, both, gumbel(1)[:, :1], language_guidance=2.5)
    assert torch.equal(codes[:, 0], wanted)


def begun(model: Personalisation, keep: float) -> ReadPrefix:
    """The beginnings of `instruction`, with the history kept or masked away."""
    history = random_codes(ROWS, 2, 16)
    lengths = [2 + row % 4 for row in range(ROWS)]
    beginning = model.instruct_beginning(texts(*lengths), history, torch.full((ROWS, 2, 16), keep))
    return read_prefix(model, beginning)


def rest(model: Personalisation, copies: int) -> Instruction:
    return model.instruct_rest(texts(*[2 + row % 4 for row in range(ROWS)] * copies))


def log_probabilities(
    model: Personalisation, keep: float, reference: Tensor, aligned: Tensor, codes: Tensor
) -> Tensor:
    """Of every place `[ROWS, 16, 33]`, in one pass over instruction and codes."""
    history, lengths = random_codes(ROWS, 2, 16), [2 + row % 4 for row in range(ROWS)]
    prompt = model.instruct(texts(*lengths), history, torch.full((ROWS, 2, 16), keep))
    whole = Instruction(
        ids=torch.cat([prompt.ids, codes + model.vocabulary.first_code], 1),
        gate=torch.cat([prompt.gate, torch.ones(codes.shape)], 1),
        attention=torch.cat([prompt.attention, torch.ones(codes.shape, dtype=torch.bool)], 1),
    )
    with torch.inference_mode():
        states = model.language_model.model(
            inputs_embeds=model.add_aligned(model.embed(whole, reference), aligned),
            attention_mask=whole.attention.long(),
            position_ids=whole.positions,
        ).last_hidden_state[:, -17:-1]
        return model.code_logits(states).log_softmax(-1)


@pytest.mark.parametrize("on_reference", [1.0, 2.5])
@pytest.mark.parametrize("on_history", [1.0, 1.5, 2.5])
def test_guidance_on_reference_and_history_is_the_documented_formula(
    on_reference: float, on_history: float
) -> None:
    """Every code is the best by the formula over three separate passes, given those before it."""
    model, reference = tiny_personalisation(TINY), references(ROWS)
    away = torch.zeros_like(reference)
    with seeded(3):
        aligned, no_aligned = torch.randn(2, ROWS, 16, 32)
    codes = write(
        model,
        rest(model, copies=2),
        torch.cat([reference, away]),
        gumbel(1),
        aligned=torch.cat([aligned, no_aligned]),
        prefix=begun(model, keep=1.0),
        no_history=begun(model, keep=0.0),
        language_guidance=on_reference,
        history_guidance=on_history,
    )
    both = log_probabilities(model, 1.0, reference, aligned, codes)
    history = log_probabilities(model, 1.0, away, no_aligned, codes)
    neither = log_probabilities(model, 0.0, away, no_aligned, codes)
    guided = neither + on_history * (history - neither) + on_reference * (both - history)
    assert torch.equal(codes, guided[..., 1:].argmax(-1))
    assert len(codes.unique()) > 4


@pytest.mark.parametrize("on_reference", [1.0, 2.5])
def test_a_scale_of_one_is_no_guidance_on_the_history(on_reference: float) -> None:
    model, noise = tiny_personalisation(TINY), gumbel(8)
    reference = torch.cat([references(ROWS), torch.zeros(ROWS, 4, 32)])
    prefix, no_history = begun(model, keep=1.0), begun(model, keep=0.0)

    def written(**guidance: Any) -> Tensor:
        guidance |= {"prefix": prefix, "language_guidance": on_reference}
        return write(model, rest(model, copies=2), reference, noise, **guidance)

    plain = written()
    assert torch.equal(written(no_history=no_history, history_guidance=1.0), plain)
    assert torch.equal(written(no_history=prefix, history_guidance=3.0), plain)
    guided = written(no_history=no_history, history_guidance=3.0)
    assert (guided != plain).any(1).all()


@pytest.fixture(scope="module")
def ended() -> Tensor:
    model = tiny_personalisation(DYNAMIC)
    return write(
        model, instruction(model, 40), references(40), gumbel(EVERY_COLUMN, 40), temperature=50.0
    )


def test_dynamic_images_end_where_the_model_ends_them(ended: Tensor) -> None:
    lengths = (ended != NO_CODE).sum(1)
    assert len(lengths.unique()) > 3
    assert lengths.min() >= 1
    for row, length in zip(ended, lengths, strict=True):
        assert ((row[:length] >= 0) & (row[:length] < 32)).all()
        assert (row[length:] == NO_CODE).all()


def test_an_eager_end_still_leaves_one_code() -> None:
    model = untied(DYNAMIC)
    with torch.no_grad():
        model.language_model.get_parameter("model.norm.weight").fill_(1.0)
    # The logit of image end is the sum of the state: make every state positive.
    prompt = instruction(model)
    state = torch.full((32,), 1e3)
    head(model)[281] = state
    model.language_model.model.norm.register_forward_hook(lambda *_: torch.ones(ROWS, 1, 32))
    codes = write(model, prompt, references(ROWS), gumbel(EVERY_COLUMN))
    assert (codes[:, 0] >= 0).all()
    assert (codes[:, 1:] == NO_CODE).all()
