"""Recipes on a catalogue of one's own, with and without styles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from pigeon_rec.data.dataset import Dataset, load_dataset
from pigeon_rec.data.settings import DataSettings
from pigeon_rec.errors import TrainingError
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.scoring.scorer import ScorerConfig
from pigeon_rec.training.artwork import ArtworkTensors, TrainingArtwork, load_artwork
from pigeon_rec.training.language_model import LanguageModelRecipe
from pigeon_rec.training.recipes import run_recipe
from pigeon_rec.training.restyle import RestyleSamples
from pigeon_rec.training.scorer import ScorerRecipe
from pigeon_rec.training.style import StyleLoss, StyleSettings
from pigeon_rec.training.teacher_forcing import Conditioning, read_codes
from pigeon_rec.training.text import text_tokenizer
from pigeon_rec.training.windows import load_windows
from tests.model.tiny import TINY, tiny_personalisation
from tests.shapes import Shapes, write_shapes
from tests.training.tiny import CONFIG, generator, quick_loop

SIDE = 16
STYLED, PLAIN = ("style", "concept"), ()


def load(shapes: Shapes, **settings: str) -> Dataset:
    files = {"catalogue": str(shapes.catalogue), "interactions": str(shapes.interactions)}
    return load_dataset(DataSettings(**files, **settings))


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainingArtwork]:
    """Artwork of a shapes catalogue with some columns, in a scenario."""

    def made(columns: tuple[str, ...], **settings: str) -> TrainingArtwork:
        return load_artwork(load(write_shapes(tmp_path_factory.mktemp("own"), columns=columns),
                                 **settings), SIDE)  # fmt: skip

    return made


@pytest.fixture(scope="module")
def styled(make: Callable[..., TrainingArtwork]) -> TrainingArtwork:
    return make(STYLED)


@pytest.fixture(scope="module")
def plain(make: Callable[..., TrainingArtwork]) -> TrainingArtwork:
    return make(PLAIN)


def test_artwork_is_all_but_what_is_held_out(styled: TrainingArtwork) -> None:
    data = styled.data
    assert styled.rows["item_id"].to_list() == data.training_items()["item_id"].to_list()
    assert styled.images.shape == (len(styled), SIDE, SIDE, 3)
    assert styled.named_styles == ("flat", "line", "pale")
    assert styled.has_pairs
    pixels, _ = data.catalogue.images(styled.rows["item_id"].to_list(), SIDE)
    assert np.array_equal(styled.images, pixels)


def test_without_columns_every_item_is_a_concept_of_no_style(plain: TrainingArtwork) -> None:
    assert plain.styles == ("",)
    assert plain.named_styles == ()
    assert len(plain.concepts) == len(plain)
    assert not plain.has_pairs


def test_several_items_of_one_concept_and_style_all_have_a_place(tmp_path: Path) -> None:
    shapes = write_shapes(tmp_path, columns=STYLED)
    items = pl.read_parquet(shapes.catalogue)
    by_shape = pl.col("concept").str.split("-").list.last()  # four colours in each style
    items.with_columns(concept=by_shape).write_parquet(shapes.catalogue)
    artwork = load_artwork(load(shapes), SIDE)
    assert (artwork.at >= 0).sum() == len(artwork)
    assert artwork.has_pairs
    name = {row: concept.split("/")[0] for row, concept in enumerate(artwork.rows["concept"])}
    group = dict(load(shapes).items.select("item_id", "concept").iter_rows())
    assert [name[row] for row in range(len(artwork))] == [group[i] for i in artwork.rows["item_id"]]


def test_broken_pictures_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shapes = write_shapes(tmp_path)
    (tmp_path / "pictures" / "000.png").write_bytes(b"no picture")
    with caplog.at_level("WARNING", logger="pigeon_rec.training.artwork"):
        artwork = load_artwork(load(shapes), SIDE)
    assert "0" not in artwork.rows["item_id"]
    assert "1 pictures are left out; the first: 0" in caplog.text
    for picture in (tmp_path / "pictures").iterdir():
        picture.unlink()
    with pytest.raises(TrainingError, match=r"none of .* pictures can be trained on"):
        load_artwork(load(shapes), SIDE)


def test_placeholders_are_left_out_of_artwork_and_histories(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shapes = write_shapes(tmp_path, columns=PLAIN)
    items = pl.read_parquet(shapes.catalogue)
    few = pl.int_range(pl.len()) < 12
    for column in ("image_uri", "image_sha256"):
        shown = pl.when(few).then(pl.col(column).first()).otherwise(column)
        items = items.with_columns(shown.alias(column))
    items.write_parquet(shapes.catalogue)
    with caplog.at_level("WARNING", logger="pigeon_rec.training.artwork"):
        artwork = load_artwork(load(shapes), SIDE)
    placeholders = {str(number) for number in range(12)}
    assert artwork.unusable == placeholders
    assert not placeholders & {*artwork.rows["item_id"]}
    assert "12 pictures are left out" in caplog.text
    windows = load_windows(artwork, "train")
    assert len(windows) > 20
    assert not placeholders & {*windows.sequences["history_ids"].explode()}


def test_of_a_large_catalogue_the_items_chosen_most_often_are_read(
    plain: TrainingArtwork,
) -> None:
    few = load_artwork(plain.data, SIDE, most=20)
    counts = dict(plain.data.training_interactions().group_by("item_id").len().iter_rows())
    kept = [counts.get(item, 0) for item in few.rows["item_id"]]
    left = [
        counts.get(item, 0) for item in plain.rows["item_id"] if item not in few.rows["item_id"]
    ]
    assert len(few) == 20
    assert min(kept) >= max(left)


@pytest.mark.parametrize("columns", [STYLED, PLAIN])
def test_windows_hold_nothing_held_out(
    make: Callable[..., TrainingArtwork], columns: tuple[str, ...]
) -> None:
    artwork = make(columns)
    windows = load_windows(artwork, "train")
    assert len(windows) > 20
    used = {*windows.sequences["history_ids"].explode(), *windows.sequences["target_id"]}
    assert not used & set(artwork.data.held_out_items()["item_id"])
    same = artwork.style[windows.history] == artwork.style[windows.target][:, None]
    assert (same.sum(1) >= 2).all()


def test_users_with_too_little_history_are_named(tmp_path: Path) -> None:
    shapes = write_shapes(tmp_path)
    rows = pl.read_parquet(shapes.interactions).group_by("user_id").head(4)
    rows.write_parquet(shapes.interactions)
    with pytest.raises(TrainingError, match="no user has chosen six different items"):
        load_windows(load_artwork(load(shapes), SIDE), "train")


def scorer(artwork: TrainingArtwork, folder: Path, **changes: Any) -> ScorerRecipe:
    config = CONFIG.scorer.model_copy(update=changes)
    return ScorerRecipe(config, artwork, text_tokenizer(folder, artwork, CONFIG), CONFIG.style)


def test_captions_name_what_the_catalogue_names(
    styled: TrainingArtwork, plain: TrainingArtwork, tmp_path: Path
) -> None:
    assert list(scorer(styled, tmp_path).kinds) == ["concept", "both", "style", "topic"]
    recipe = scorer(plain, tmp_path)
    assert list(recipe.kinds) == ["concept", "topic"]
    row = plain.rows.row(0, named=True)
    assert recipe._captions(0, ["round-ish"] * len(plain)) == [
        row["title"], row["semantics"], "round ish", "round ish",
    ]  # fmt: skip


def test_items_of_one_text_fit_each_others_captions(plain: TrainingArtwork, tmp_path: Path) -> None:
    recipe = scorer(plain, tmp_path)
    titles = plain.rows["title"].to_list()
    same = [row for row in range(len(plain)) if titles[row] == titles[0]]
    assert len(same) > 1
    fits = recipe._fits(torch.tensor([*same, 5]), torch.zeros(len(same) + 1).long())
    assert fits[: len(same), : len(same)].all()
    assert titles[5] == titles[0] or not fits[-1, 0]


def test_pictures_without_a_style_get_no_style_caption(tmp_path: Path) -> None:
    shapes = write_shapes(tmp_path)
    items = pl.read_parquet(shapes.catalogue)
    none = pl.when(pl.col("style") != "pale").then("style")
    items.with_columns(style=none).write_parquet(shapes.catalogue)
    artwork = load_artwork(load(shapes), SIDE)
    assert artwork.styles == ("", "flat", "line")
    recipe = scorer(artwork, tmp_path)
    rows, kinds = torch.arange(len(artwork)), list(recipe.kinds)
    named = recipe._nameable(rows, torch.full_like(rows, kinds.index("style")))
    unnamed = torch.from_numpy(artwork.style == 0)
    assert unnamed.any()
    assert (named[unnamed] == kinds.index("concept")).all()
    assert (named[~unnamed] == kinds.index("style")).all()
    _, styles = StyleLoss(CONFIG.style).batch(recipe.images, generator())
    assert len(styles.unique()) == 2 + CONFIG.style.made_styles


def test_the_scorer_learns_without_styles(plain: TrainingArtwork, tmp_path: Path) -> None:
    recipe = scorer(plain, tmp_path)
    losses = recipe.losses(24, generator())
    assert {"caption", "style", "accuracy"} <= set(losses)
    losses["loss"].backward()
    assert all(p.grad is not None for p in recipe.encoder.style_head.parameters())  # type: ignore[union-attr]
    assert list(recipe.validation(8, 8))


def test_a_scorer_may_see_smaller_pictures_than_the_model(
    plain: TrainingArtwork, tmp_path: Path
) -> None:
    recipe = scorer(plain, tmp_path, image_size=8, patch=4)
    assert recipe.images.images.shape[-2:] == (8, 8)
    assert float(recipe.losses(24, generator())["loss"].detach()) > 0


def test_made_styles_alone_are_what_the_style_part_learns(plain: TrainingArtwork) -> None:
    images = ArtworkTensors.of(plain)
    pixels, styles = StyleLoss(StyleSettings(made_styles=5, made_pictures=3)).batch(
        images, generator()
    )
    assert styles.tolist() == [style for style in range(5) for _ in range(3)]
    assert pixels.shape == (15, 3, SIDE, SIDE)


def test_nothing_to_learn_of_styles_is_refused(plain: TrainingArtwork, tmp_path: Path) -> None:
    text = text_tokenizer(tmp_path, plain, CONFIG)
    with pytest.raises(TrainingError, match=r"nothing to learn from.*two made styles"):
        ScorerRecipe(CONFIG.scorer, plain, text, StyleSettings(made_styles=1))
    without = ScorerConfig.model_validate(CONFIG.scorer.model_dump() | {"style_embedding": 0})
    ScorerRecipe(without, plain, text, StyleSettings(made_styles=1))


def test_without_styles_every_target_is_its_own_reference(plain: TrainingArtwork) -> None:
    images = ArtworkTensors.of(plain)
    category = torch.zeros(len(plain)).long()
    samples = RestyleSamples(images, category, 3)
    batch = samples.draw(40, generator())
    assert torch.equal(batch.reference, batch.target)
    assert set(samples.known.tolist()) == set(images.validation.tolist())
    assert torch.isin(batch.history, images.training).all()


def test_large_pools_are_drawn_from_everywhere(
    plain: TrainingArtwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pigeon_rec.training.restyle._SORTED", 10)
    images = ArtworkTensors.of(plain)
    samples = RestyleSamples(images, torch.zeros(len(plain)).long(), 3, noise=0.0)
    batch = samples.draw(400, generator())
    assert set(batch.target.flatten().tolist()) == set(images.training.tolist())


@pytest.fixture(scope="module")
def tokenizer_folder(
    plain: TrainingArtwork, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The trained tiny tokenizer, with texts learned from the shapes."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tokenizer").symlink_to(trained / "tokenizer")
    text_tokenizer(folder, plain, CONFIG)
    return folder


def language_model(artwork: TrainingArtwork, folder: Path) -> LanguageModelRecipe:
    text = TextTokenizer.load(folder / "tokenizer.json")
    recipe = LanguageModelRecipe(TINY, artwork, text, folder)
    recipe.personalisation.load_state_dict(tiny_personalisation().state_dict())
    return recipe


def test_without_styles_histories_have_made_ones_more_often(
    styled: TrainingArtwork, plain: TrainingArtwork, tokenizer_folder: Path
) -> None:
    assert language_model(plain, tokenizer_folder).natural == 0.2
    assert language_model(styled, tokenizer_folder).natural == 0.5


def test_titles_stand_before_the_pictures_of_a_shared_history(
    make: Callable[..., TrainingArtwork], tokenizer_folder: Path
) -> None:
    """A prefix with titles of different lengths gives the logits of separate rows."""
    recipe = language_model(make(PLAIN, scenario="movie"), tokenizer_folder)
    assert recipe.texts.titles is not None
    recipe.set_training(False)
    batch = recipe.samples.draw(2, generator())
    samples = recipe._masked(batch, recipe.codes(batch, generator()), generator())
    targets = batch.target.shape[1]
    given = Conditioning(
        recipe.texts.of(batch.target.flatten(), batch.history.repeat_interleave(targets, 0)),
        samples.history.repeat_interleave(targets, 0),
        samples.history_keep.repeat_interleave(targets, 0),
        samples.reference,
        samples.reference_keep,
    )
    with torch.no_grad():
        shared = recipe.logits(samples)
        apart = read_codes(
            recipe.personalisation, recipe.decoder, recipe.rows, given, samples.shown
        )
        _, present = recipe._prefix_embeddings(samples)
    assert present is not None
    assert not present.all()
    assert torch.allclose(shared, apart, atol=1e-4)


def test_a_catalogue_too_small_to_validate_on_is_trained_on_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shapes = write_shapes(tmp_path, columns=PLAIN, styles=("flat",))
    artwork = load_artwork(load(shapes), SIDE)
    images = ArtworkTensors.of(artwork)
    assert len(images.validation) == 0
    loops = {"autoencoder": quick_loop(2, validate_every=1)}
    config = CONFIG.model_copy(update={"loops": loops})
    with caplog.at_level("WARNING", logger="pigeon_rec.training.recipes"):
        path = run_recipe("autoencoder", config, tmp_path / "run", artwork=artwork)
    assert path.is_file()
    assert "autoencoder: there is nothing to validate on" in caplog.text
