"""The scorer recipe: batches, captions and loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.scorer import _NAMED, ScorerRecipe, _soft_loss
from pigeon_rec.training.style import StyleSettings
from tests.model.tiny import seeded
from tests.training.tiny import CONFIG, generator


@pytest.fixture(scope="module")
def recipe(artwork: TrainingArtwork, text: TextTokenizer) -> ScorerRecipe:
    with seeded():
        return ScorerRecipe(CONFIG.scorer, artwork, text)


def test_a_batch_holds_three_styles_of_each_concept(
    recipe: ScorerRecipe, artwork: TrainingArtwork
) -> None:
    rows = recipe._rows(36, generator())
    concepts = artwork.concept[rows].reshape(12, 3)
    assert (concepts == concepts[:, :1]).all()
    assert len(set(concepts[:, 0].tolist())) == 12
    assert not torch.isin(rows, recipe.images.validation).any()
    repeated = sum(len(set(three)) < 3 for three in rows.view(12, 3).tolist())
    few = (recipe.images.at[concepts[:, 0]] >= 0).sum(1) < 3
    assert repeated == int(few.sum())


def test_captions_name_concept_style_both_and_topic(
    recipe: ScorerRecipe, artwork: TrainingArtwork, text: TextTokenizer
) -> None:
    row = artwork.rows.row(5, named=True)
    style = artwork.style_descriptions[row["style"]]
    topic = (row["theme"] or row["emotion"]).replace("-", " ")
    concepts = [row["title"], row["semantics"]]
    both = [f"{words}, {style}" for words in concepts]
    captions = [*concepts, *both, style, style, topic, topic]
    ids, mask = text.batch(captions, CONFIG.scorer.text_length)
    assert torch.equal(recipe.ids[5].flatten(0, 1), ids)
    assert torch.equal(recipe.mask[5].flatten(0, 1), mask)


def test_a_caption_fits_images_with_everything_it_names(
    recipe: ScorerRecipe, artwork: TrainingArtwork
) -> None:
    styles = [s for s in artwork.at[0] if s >= 0][:2] + [s for s in artwork.at[1] if s >= 0][:1]
    concept, both = (list(_NAMED).index(kind) for kind in ("concept", "both"))
    fits = recipe._fits(torch.tensor(styles), torch.tensor([concept, both, both]))
    assert fits.tolist() == [
        [True, False, False],  # the first caption names no style and fits both images
        [True, True, False],
        [False, False, True],
    ]


def test_style_and_topic_captions_fit_across_concepts(
    recipe: ScorerRecipe, artwork: TrainingArtwork
) -> None:
    rows = torch.arange(len(artwork))
    for kind, values in (("style", recipe.images.style), ("topic", recipe.topic)):
        named = torch.full_like(rows, list(_NAMED).index(kind))
        fits = recipe._fits(rows, named)
        assert (fits == (values[:, None] == values[None, :])).all()
        assert fits.sum() > len(rows)


def test_with_one_fitting_caption_the_loss_is_cross_entropy() -> None:
    with seeded():
        logits = torch.randn(6, 6)
    assert float(_soft_loss(logits, torch.eye(6))) == pytest.approx(
        float(F.cross_entropy(logits, torch.arange(6))), rel=1e-5
    )


def test_equally_fitting_captions_share_the_target() -> None:
    fits = torch.tensor([[1.0, 1.0, 0.0]])
    even = float(_soft_loss(torch.tensor([[4.0, 4.0, -4.0]]), fits))
    uneven = float(_soft_loss(torch.tensor([[8.0, 0.0, -4.0]]), fits))
    assert even == pytest.approx(np.log(2), abs=1e-3)
    assert uneven > even


def test_accuracy_counts_fitting_captions(recipe: ScorerRecipe) -> None:
    losses = recipe.losses(36, generator())
    assert 0 <= float(losses["accuracy"]) <= 1
    assert float(losses["caption"].detach()) < 2 * np.log(36)


def test_the_loss_is_the_sum_of_both_parts(recipe: ScorerRecipe) -> None:
    losses = {k: float(v.detach()) for k, v in recipe.losses(36, generator()).items()}
    assert losses["loss"] == pytest.approx(losses["caption"] + losses["style"])


def test_a_scorer_without_a_style_part_learns_captions_only(
    artwork: TrainingArtwork, text: TextTokenizer
) -> None:
    plain = CONFIG.scorer.model_copy(update={"style_embedding": 0})
    losses = ScorerRecipe(plain, artwork, text).losses(36, generator())
    assert set(losses) == {"loss", "caption", "accuracy"}
    with pytest.raises(TrainingError, match="no style part"):
        ScorerRecipe(plain, artwork, text, StyleSettings(alone=True))


def test_the_style_part_can_be_trained_alone(artwork: TrainingArtwork, text: TextTokenizer) -> None:
    recipe = ScorerRecipe(CONFIG.scorer, artwork, text, StyleSettings(alone=True))
    losses = recipe.losses(36, generator())
    assert set(losses) == {"loss", "style", "style_accuracy"}
    losses["loss"].backward()
    moved = {k for k, v in recipe.module().named_parameters() if v.grad is not None}
    assert moved
    assert all(name.startswith("style_head.") for name in moved)
