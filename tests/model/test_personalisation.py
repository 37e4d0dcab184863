"""The instruction, its masks, and the language model that reads it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pigeon_rec.model.configuration import AdapterConfig
from pigeon_rec.model.personalisation import (
    Instruction,
    Personalisation,
    ReferenceAdapter,
    Vocabulary,
)
from pigeon_rec.model.tokenizer_decoder import DecoderOutput
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

FIRST_CODE = 282  # 280 text ids, image start, image end


@pytest.fixture(scope="module")
def model() -> Personalisation:
    return tiny_personalisation()


def hidden(model: Personalisation, instruction: Instruction, reference: Tensor) -> Tensor:
    out = model.language_model.model(
        inputs_embeds=model.embed(instruction, reference),
        attention_mask=instruction.attention.long(),
        position_ids=instruction.positions,
    )
    return torch.as_tensor(out.last_hidden_state)


def test_published_vocabulary() -> None:
    vocabulary = Vocabulary(text=32000, codes=16384)
    assert (vocabulary.image_start, vocabulary.image_end) == (32000, 32001)
    assert (vocabulary.first_code, vocabulary.size) == (32002, 48386)


def test_an_instruction_reads_in_the_order_of_the_paper(model: Personalisation) -> None:
    history = torch.tensor([[[3, 4], [0, NO_CODE]]])
    keep = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    made = model.instruct(texts(3), history, keep)
    codes = [FIRST_CODE + 3, FIRST_CODE + 4, FIRST_CODE]
    wanted = [5, 6, *codes, 10, 11, 12, -2, -2, -2, -2, 7, 280]
    assert made.attention.tolist() == [[False] + [True] * len(wanted)]
    assert made.ids[0, 1:].tolist() == wanted
    assert made.gate[0, 1:].tolist() == [1, 1, 1, 0, 1, *[1] * 9]
    assert made.positions.tolist() == [[0, *range(len(wanted))]]


def test_each_title_stands_before_its_picture(model: Personalisation) -> None:
    history = torch.tensor([[[3, 4], [0, NO_CODE]]])
    keep = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    made = model.instruct(titled(texts(2), [[2, 1]]), history, keep)
    first = [100, 101, FIRST_CODE + 3, FIRST_CODE + 4]
    wanted = [5, 6, *first, 103, FIRST_CODE, 10, 11, -2, -2, -2, -2, 7, 280]
    shown = made.attention[0]
    assert made.ids[0, shown].tolist() == wanted
    assert made.gate[0, shown].tolist() == [1] * 5 + [0] + [1] * 10
    assert made.positions[0, shown].tolist() == list(range(len(wanted)))
    # The width is that of full images and the longest titles.
    assert made.ids.shape[1] == 2 + 2 * 3 + 2 * 2 + 2 + 4 + 1 + 1


def test_titles_are_read_and_belong_to_their_pictures(model: Personalisation) -> None:
    history, keep = random_codes(1, 2, 4), torch.ones(1, 2, 4)
    shown = titled(texts(3), [[2, 2]])
    assert shown.history is not None
    swapped = replace(shown, history=shown.history.flip(1))
    plain, turned = (
        hidden(model, model.instruct(words, history, keep), references(1))[:, -1]
        for words in (shown, swapped)
    )
    assert not torch.allclose(plain, turned, atol=1e-3)


def test_titles_of_another_number_of_pictures_are_refused(model: Personalisation) -> None:
    with pytest.raises(ValueError, match="2 texts for 3 history"):
        model.instruct(titled(texts(3), [[2, 2]]), random_codes(1, 3, 4), torch.ones(1, 3, 4))


def test_padding_of_titles_does_not_change_a_row(model: Personalisation) -> None:
    codes, keep = random_codes(2, 2, 3), torch.ones(2, 2, 3)
    wide = titled(texts(2, 2), [[1, 2], [7, 5]])
    assert wide.history is not None
    assert wide.history_mask is not None
    narrow = replace(
        wide, target=wide.target[:1], target_mask=wide.target_mask[:1],
        history=wide.history[:1, :, :2], history_mask=wide.history_mask[:1, :, :2],
    )  # fmt: skip
    both = hidden(model, model.instruct(wide, codes, keep), references(2))
    one = hidden(model, model.instruct(narrow, codes[:1], keep[:1]), references(2)[:1])
    assert torch.allclose(both[0, -1], one[0, -1], atol=1e-4)


@pytest.mark.parametrize("titles", [False, True])
def test_histories_of_different_lengths_in_one_batch(model: Personalisation, titles: bool) -> None:
    """Absent images have no place: in a batch, a row only gets more padding."""
    history, keep = random_codes(3, 2, 4), torch.ones(3, 2, 4)
    history[1, 1], history[2] = NO_CODE, NO_CODE
    words = texts(2, 3, 1)
    if titles:
        words = titled(words, [[2, 1], [1, 0], [0, 0]])
    for build in (model.instruct, model.instruct_beginning):
        found = build(words, history, keep)
        for row, images in enumerate((2, 1, 0)):
            alone = replace(
                words, target=words.target[row : row + 1],
                target_mask=words.target_mask[row : row + 1],
            )  # fmt: skip
            if words.history is not None and words.history_mask is not None:
                alone = replace(
                    alone, history=words.history[row : row + 1, :images],
                    history_mask=words.history_mask[row : row + 1, :images],
                )  # fmt: skip
            one = (history[row : row + 1, :images], keep[row : row + 1, :images])
            own = build(alone, *one)
            shown = found.attention[row]
            assert found.ids[row, shown].tolist() == own.ids[0, own.attention[0]].tolist()
    assert found.ids.shape[1] == build(words, random_codes(3, 2, 4), keep).ids.shape[1]


def test_a_missing_code_is_never_taken_for_a_reference_token() -> None:
    """With 98 text and special ids, the padding -100 would become the reference's -2."""
    sizes = DYNAMIC.language_model.model_copy(update={"text_vocabulary": 96})
    model = Personalisation(DYNAMIC.model_copy(update={"language_model": sizes}))
    history = torch.tensor([[[3, NO_CODE], [NO_CODE, NO_CODE]]])
    made = model.instruct(texts(3), history, (history != NO_CODE).float())
    assert (made.ids == -2).sum() == 4
    assert made.ids.min() == -2


def test_short_rows_are_padded_left_and_count_from_zero(model: Personalisation) -> None:
    made = model.instruct(texts(2, 5), random_codes(2, 1, 3), torch.ones(2, 1, 3))
    assert made.attention[0].tolist() == [False] * 3 + [True] * 13
    assert made.positions[0].tolist() == [0, 0, 0, *range(13)]
    assert made.positions[1].tolist() == list(range(16))
    assert (made.ids[:, -1] == 280).all()


def test_padding_does_not_change_a_row(model: Personalisation) -> None:
    codes, keep = random_codes(2, 1, 3), torch.ones(2, 1, 3)
    together = model.instruct(texts(2, 9), codes, keep)
    alone = model.instruct(texts(2), codes[:1], keep[:1])
    both = hidden(model, together, references(2))
    one = hidden(model, alone, references(2)[:1])
    assert torch.allclose(both[0, -one.shape[1] :], one[0], atol=1e-4)


def test_reference_tokens_stand_in_their_places_in_order(model: Personalisation) -> None:
    made = model.instruct(texts(2, 5), random_codes(2, 1, 3), torch.ones(2, 1, 3))
    embeds = model.embed(made, references(2))
    assert torch.equal(embeds[made.ids == -2].view(2, 4, 32), references(2))
    elsewhere = made.ids[0] >= 0
    assert torch.equal(embeds[0, elsewhere], model.token_embeddings(made.ids[0, elsewhere]))


def test_masked_history_codes_carry_no_information(model: Personalisation) -> None:
    history, others = random_codes(2, 3, 4), random_codes(2, 3, 4, seed=9)
    with seeded(1):
        keep = (torch.rand(2, 3, 4) < 0.5).float()
    changed = torch.where(keep > 0.5, history, others)
    assert (changed != history).any()
    one = model.instruct(texts(2, 5), history, keep)
    other = model.instruct(texts(2, 5), changed, keep)
    assert torch.equal(hidden(model, one, references(2)), hidden(model, other, references(2)))
    shown = model.instruct(texts(2, 5), changed, torch.ones(2, 3, 4))
    assert not torch.equal(hidden(model, one, references(2)), hidden(model, shown, references(2)))


def test_a_masked_code_keeps_its_position(model: Personalisation) -> None:
    """A masked code is attended to as a zero embedding; it is not left out."""
    history = random_codes(1, 1, 4)
    keep = torch.tensor([[[1.0, 0.0, 0.0, 1.0]]])
    gapped = model.instruct(texts(2), history, keep)
    removed = model.instruct(texts(2), history[:, :, [0, 3]], torch.ones(1, 1, 2))
    assert bool(gapped.attention.all())
    assert gapped.ids.shape[1] == removed.ids.shape[1] + 2
    one, other = (hidden(model, made, references(1))[:, -1] for made in (gapped, removed))
    assert not torch.allclose(one, other, atol=1e-3)
    gated = model.embed(gapped, references(1))[0]
    assert gated[3:5].abs().max() == 0
    assert gated[[2, 5]].abs().amax(-1).min() > 0


def test_history_order_and_text_are_read(model: Personalisation) -> None:
    history, keep = random_codes(1, 2, 4), torch.ones(1, 2, 4)
    plain = hidden(model, model.instruct(texts(3), history, keep), references(1))[:, -1]
    turned = hidden(model, model.instruct(texts(3), history.flip(1), keep), references(1))[:, -1]
    words = texts(3)
    words.target[0, 1] = 99
    shown = hidden(model, model.instruct(words, history, keep), references(1))[:, -1]
    assert not torch.allclose(plain, turned, atol=1e-3)
    assert not torch.allclose(plain, shown, atol=1e-3)


def adapter(tokens: int) -> ReferenceAdapter:
    with seeded(3):
        return ReferenceAdapter(24, 32, AdapterConfig(hidden=16, reference_tokens=tokens)).eval()


def prompts() -> DecoderOutput:
    with seeded(4):
        prompt = torch.randn(2, 16, 24)
    return DecoderOutput(prompt, None, prompt)


def by_hand(made: ReferenceAdapter, mean: Tensor) -> Tensor:
    return torch.tanh(made.decoder(made.encoder(mean)))


def test_one_reference_token_is_the_mean_of_all_queries() -> None:
    made, decoded = adapter(1), prompts()
    out = made(decoded)
    assert out.shape == (2, 1, 32)
    assert torch.allclose(out[:, 0], by_hand(made, decoded.prompt.mean(1)), atol=1e-6)


def test_four_reference_tokens_are_the_quarters_of_the_picture() -> None:
    made, decoded = adapter(4), prompts()
    grid = decoded.prompt.view(2, 4, 4, 24)
    quarters = [grid[:, r : r + 2, c : c + 2].mean((1, 2)) for r in (0, 2) for c in (0, 2)]
    wanted = torch.stack([by_hand(made, q) for q in quarters], 1)
    assert torch.allclose(made(decoded), wanted, atol=1e-6)


def test_a_token_per_query_needs_no_mean() -> None:
    made, decoded = adapter(16), prompts()
    assert torch.allclose(made(decoded), by_hand(made, decoded.prompt), atol=1e-6)


def gumbel(*shape: int) -> Tensor:
    with seeded(6):
        return -torch.empty(shape).exponential_().log()


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_masks_keep_the_asked_share(model: Personalisation, ratio: float) -> None:
    history, reference = random_codes(2, 3, 16), random_codes(2, 16, seed=1)
    kept, kept_reference = model.masks(history, reference, ratio, ratio, gumbel(2, 64))
    assert kept.shape == (2, 3, 16)
    assert kept_reference.shape == (2, 16)
    assert (kept > 0.5).sum((1, 2)).tolist() == [max(1, int(48 * (1 - ratio)))] * 2
    assert (kept_reference > 0.5).sum(1).tolist() == [max(1, int(16 * (1 - ratio)))] * 2


def test_masks_leave_missing_codes_out() -> None:
    model = tiny_personalisation(DYNAMIC)
    history, reference = random_codes(1, 2, 16), random_codes(1, 16, seed=1)
    history[0, 0, 5:] = NO_CODE
    reference[0, 10:] = NO_CODE
    kept, kept_reference = model.masks(history, reference, 0.5, 0.5, gumbel(1, 48))
    assert (kept > 0.5).sum() == int(21 * 0.5)
    assert (kept_reference > 0.5).sum() == 5
    assert kept[0, 0, 5:].abs().max() == 0
    assert kept_reference[0, 10:].abs().max() == 0


def test_masks_without_missing_codes_do_not_depend_on_padding() -> None:
    """More padding of the same codes does not change the decisions."""
    model = tiny_personalisation(DYNAMIC)
    history, reference = random_codes(1, 2, 16), random_codes(1, 16, seed=1)
    history[:, :, 10:] = NO_CODE
    reference[:, 10:] = NO_CODE
    noise = gumbel(1, 3, 16)
    wide = model.masks(history, reference, 0.5, 0.5, noise.flatten(1))
    narrow = model.masks(
        history[..., :10], reference[..., :10], 0.5, 0.5, noise[..., :10].flatten(1)
    )
    assert torch.equal(wide[0][..., :10] > 0.5, narrow[0] > 0.5)
    assert torch.equal(wide[1][..., :10] > 0.5, narrow[1] > 0.5)


def test_the_written_codes_teach_the_mask_generator() -> None:
    """Gradient of a loss on the language model's scores, through the gated history alone."""
    model = tiny_personalisation()
    history, reference = random_codes(2, 3, 16), random_codes(2, 16, seed=1)
    kept, _ = model.masks(history, reference, 0.3, 0.3, gumbel(2, 64))
    made = model.instruct(texts(2, 5), history, kept)
    logits = model.code_logits(hidden(model, made, references(2))[:, -1])
    torch.nn.functional.cross_entropy(logits, torch.tensor([4, 9])).backward()
    for name, weight in model.mask_generator.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name


def test_published_masks_teach_nothing_and_say_the_same() -> None:
    history, reference = random_codes(2, 3, 16), random_codes(2, 16, seed=1)
    sizes = TINY.mask_generator.model_copy(update={"published": True})
    theirs = tiny_personalisation(TINY.model_copy(update={"mask_generator": sizes}))
    published = theirs.masks(history, reference, 0.3, 0.3, gumbel(2, 64))
    ours = tiny_personalisation().masks(history, reference, 0.3, 0.3, gumbel(2, 64))
    for one, other in zip(published, ours, strict=True):
        assert not one.requires_grad
        assert set(one.flatten().tolist()) == {0.0, 1.0}
        assert torch.equal(one, other.round())
        assert other.requires_grad


def test_code_scores_are_the_last_columns_of_the_language_model(model: Personalisation) -> None:
    made = model.instruct(texts(2, 5), random_codes(2, 1, 3), torch.ones(2, 1, 3))
    states = hidden(model, made, references(2))
    every = model.language_model.lm_head(states)
    assert torch.allclose(model.code_logits(states), every[..., 281:], atol=1e-4)
    assert every.shape[-1] == 280 + 2 + 32


def test_masked_codes_contribute_nothing_to_aligned_embeddings(model: Personalisation) -> None:
    reference, others = random_codes(2, 16), random_codes(2, 16, seed=8)
    with seeded(1):
        keep = (torch.rand(2, 16) < 0.5).float()
    changed = torch.where(keep > 0.5, reference, others)
    assert (changed != reference).any()
    with seeded(2):
        prompt = torch.randn(2, 16, 24)
    decoded = DecoderOutput(prompt, None, prompt)
    one, other = (model.aligned_embeddings(decoded, codes, keep) for codes in (reference, changed))
    assert one is not None
    assert other is not None
    assert one.shape == (2, 16, 32)
    assert torch.equal(one, other)


def test_a_guide_stands_where_its_code_is_predicted(model: Personalisation) -> None:
    embeds, aligned = torch.zeros(1, 25, 32), torch.ones(1, 16, 32)
    guided = model.add_aligned(embeds, aligned)[0].amax(-1)
    # 8 places of instruction, image start, 16 codes: code i is predicted one place before it.
    assert guided.nonzero()[:, 0].tolist() == list(range(8, 24))
    assert torch.equal(model.add_aligned(embeds, None), embeds)


def test_without_alignment_there_are_no_aligned_embeddings() -> None:
    model = tiny_personalisation(DYNAMIC)
    prompt = torch.zeros(1, 16, 24)
    decoded = DecoderOutput(prompt, None, prompt)
    assert model.aligned_embeddings(decoded, random_codes(1, 16), torch.ones(1, 16)) is None
