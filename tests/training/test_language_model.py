"""The language model's recipe: shared prefixes, dropout, masks and views."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.language_model import CodedSamples, LanguageModelRecipe
from pigeon_rec.training.restyle import RestyleBatch
from pigeon_rec.training.teacher_forcing import Conditioning, read_codes
from pigeon_rec.training.text import artwork_texts
from tests.model.tiny import tiny_personalisation
from tests.training.tiny import CONFIG, generator

USERS, TARGETS = 2, 8


@pytest.fixture
def recipe(artwork: TrainingArtwork, text: TextTokenizer, trained: Path) -> LanguageModelRecipe:
    made = LanguageModelRecipe(CONFIG.model, artwork, text, trained)
    # New weights would ignore their input.
    made.personalisation.load_state_dict(tiny_personalisation().state_dict())
    return made


def samples_of(recipe: LanguageModelRecipe, seed: int = 0) -> CodedSamples:
    batch = recipe.samples.draw(USERS, generator(seed))
    codes = recipe.codes(batch, generator(seed))
    return recipe._masked(batch, codes, generator(seed))


def test_a_shared_prefix_gives_the_logits_of_separate_rows(
    recipe: LanguageModelRecipe, artwork: TrainingArtwork, text: TextTokenizer
) -> None:
    recipe.set_training(False)
    samples = samples_of(recipe)
    texts = artwork_texts(artwork, text, CONFIG.model.language_model)
    conditioning = Conditioning(
        texts.of(
            samples.batch.target.flatten(),
            samples.batch.history.repeat_interleave(TARGETS, 0),
        ),
        samples.history.repeat_interleave(TARGETS, 0),
        samples.history_keep.repeat_interleave(TARGETS, 0),
        samples.reference,
        samples.reference_keep,
    )
    with torch.no_grad():
        shared = recipe.logits(samples)
        apart = read_codes(
            recipe.personalisation, recipe.decoder, recipe.rows, conditioning, samples.shown
        )
    assert len(set(samples.batch.target.flatten().tolist())) > TARGETS
    assert float(apart.std()) > 0.1
    assert torch.allclose(shared, apart, atol=1e-4)


def test_targets_of_one_user_do_not_see_each_other(recipe: LanguageModelRecipe) -> None:
    recipe.set_training(False)
    samples = samples_of(recipe)
    changed = samples.shown.clone()
    changed[0] = (changed[0] + 1) % 32
    with torch.no_grad():
        before, after = recipe.logits(samples), recipe.logits(replace(samples, shown=changed))
    assert not torch.allclose(before[0], after[0])
    assert torch.equal(before[1:], after[1:])


def test_both_branches_of_a_block_are_dropped_in_training_only(
    recipe: LanguageModelRecipe,
) -> None:
    samples = samples_of(recipe)

    def logits(training: bool, rate: float, seed: int = 0) -> Tensor:
        recipe.set_training(training)
        recipe.personalisation.adapter.eval()  # it has dropout of its own
        recipe.dropout = rate
        torch.manual_seed(seed)
        with torch.no_grad():
            return recipe.logits(samples)

    plain = logits(training=False, rate=0.5)
    assert torch.equal(logits(training=True, rate=0.0), plain)
    assert not torch.allclose(logits(training=True, rate=0.5), plain)
    assert not torch.equal(logits(training=True, rate=0.5, seed=1), logits(training=True, rate=0.5))


def test_masks_hide_whole_histories_and_references_now_and_then(
    recipe: LanguageModelRecipe,
) -> None:
    history, reference = torch.zeros(4000, 5, 16).long(), torch.zeros(4000, 16).long()
    target = torch.zeros(4000, 1).long()
    batch = RestyleBatch(history[..., 0], target, target)
    made = recipe._masked(batch, (history, reference, reference), generator())
    hidden = made.history_keep.flatten(1).sum(1) == 0
    assert float(hidden.float().mean()) == pytest.approx(0.08, abs=0.02)
    assert float(made.history_keep[~hidden].mean()) == pytest.approx(0.8, abs=0.01)
    gone = made.reference_keep.sum(1) == 0
    assert float(gone.float().mean()) == pytest.approx(0.1, abs=0.02)
    assert float(made.reference_keep[~gone].mean()) == pytest.approx(0.75, abs=0.02)


def test_history_and_target_share_the_view_and_most_references_look_natural(
    recipe: LanguageModelRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one artwork everywhere, images in one view have equal pixels."""
    batch = recipe.samples.draw(60, generator())
    same = replace(batch, **{name: torch.full_like(rows, 3) for name, rows in vars(batch).items()})
    drawn: list[Tensor] = []

    def encode(pixels: Tensor) -> Tensor:
        drawn.append(pixels)
        return torch.zeros(len(pixels), 16, dtype=torch.long)

    monkeypatch.setattr(recipe, "encode", encode)
    recipe.codes(same, generator(1))
    pixels = drawn[0].unflatten(0, (60, -1))
    own, references = pixels[:, : 5 + TARGETS], pixels[:, 5 + TARGETS :]
    assert torch.equal(own, own[:, :1].expand_as(own))
    natural = recipe.images.pixels(torch.tensor([3]))
    alike = (references == own[:, :1]).flatten(2).all(2).float().mean(1)
    styled = alike < 1  # users with a made style
    assert 0.3 < float(styled.float().mean()) < 0.7
    assert float(alike[styled].mean()) == pytest.approx(0.25, abs=0.1)
    drawn.clear()
    recipe.codes(same)
    assert torch.equal(drawn[0], natural.expand_as(drawn[0]))


def test_validation_has_no_smoothing_and_training_has(recipe: LanguageModelRecipe) -> None:
    recipe.set_training(False)
    recipe.label_smoothing = 0.9
    with torch.no_grad():
        before = [float(losses["loss"]) for losses in recipe.validation(16, 32)]
        trained = float(recipe.losses(16, generator())["loss"])
        recipe.label_smoothing = 0.0
        after = [float(losses["loss"]) for losses in recipe.validation(16, 32)]
        assert float(recipe.losses(16, generator())["loss"]) != trained
    assert before == after


def test_one_compilation_serves_all_blocks(recipe: LanguageModelRecipe) -> None:
    """What a GPU does, with a compiler that only counts."""
    blocks = recipe.personalisation.language_model.model.layers
    blocks.extend(copy.deepcopy(blocks[0]) for _ in range(3))
    recipe.personalisation.language_model.config.num_hidden_layers = len(blocks)
    counter = CompileCounter()
    for block in blocks:
        block.compile(backend=counter, dynamic=False)
    recipe.set_training(True)
    for seed in range(3):
        recipe.logits(samples_of(recipe, seed)).sum().backward()
    assert counter.frame_count <= 2
