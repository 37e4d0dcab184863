"""Preference pairs: the choice of candidates, stored columns, and resuming after a kill."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pigeon_rec.errors import TrainingError
from pigeon_rec.training import pairs, recipes
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.bundle import assemble
from pigeon_rec.training.configuration import PairsConfig, TrainingConfig
from pigeon_rec.training.pair_maker import PairMaker, WindowBatch, pick_pairs
from pigeon_rec.training.pair_table import SCHEMA, pair_tensors, read_pairs
from pigeon_rec.training.pairs import make_pairs
from pigeon_rec.training.windows import load_windows
from tests.training.tiny import CONFIG, handful, is_held_out


@pytest.fixture(scope="module")
def table(trained: Path) -> pl.DataFrame:
    return read_pairs(trained)


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training folder after stage 1, without pairs."""
    monkeypatch.setattr(recipes, "load_artwork", handful)
    wanted = shutil.ignore_patterns("align", "checkpoint", "distil", "pairs*")
    shutil.copytree(trained, tmp_path / "run", ignore=wanted)
    return tmp_path / "run"


def with_pairs(**settings: Any) -> TrainingConfig:
    values = CONFIG.pairs.model_dump() | settings
    return CONFIG.model_copy(update={"pairs": PairsConfig.model_validate(values)})


def rule(**settings: Any) -> PairsConfig:
    return PairsConfig.model_validate({"min_margin": 0.0, **settings})


def pick(history: Any, text: Any, settings: PairsConfig, codes: Any = None) -> Any:
    scores = np.array([history], dtype=float), np.array([text], dtype=float)
    own = np.arange(len(history))[None, :, None] if codes is None else np.array([codes])
    chosen, rejected, fit = pick_pairs(*scores, own, settings)
    return (int(chosen[0]), int(rejected[0])) if fit[0] else None


def test_the_published_rule_goes_by_history_alone() -> None:
    history, text = [0.2, 0.9, 0.5], [0.9, 0.0, 0.5]
    assert pick(history, text, rule(text_weight=0.0)) == (1, 0)


def test_a_win_in_one_score_and_a_loss_in_the_other_is_no_pair() -> None:
    assert pick([0.6, 0.9], [0.9, 0.0], rule()) is None
    assert pick([0.6, 0.9, 0.5], [0.9, 0.0, 0.5], rule()) == (0, 2)


def test_ties_and_equal_pictures_make_no_pair() -> None:
    published = rule(text_weight=0.0)
    assert pick([0.5, 0.5, 0.5], [0.1, 0.2, 0.3], published) is None
    assert pick([0.5, 0.6, 0.4], [0, 0, 0], published, codes=[[7], [1], [1]]) == (0, 2)
    assert pick([0.5, 0.6, 0.4], [0, 0, 0], published, codes=[[1], [1], [1]]) is None


def test_a_tie_goes_to_the_first_candidates() -> None:
    assert pick([0.4, 0.6, 0.6, 0.4], [0, 0, 0, 0], rule(text_weight=0.0)) == (1, 0)


def test_a_pair_needs_its_margin_in_both_scores() -> None:
    close, far = [0.50, 0.53], [0.2, 0.8]
    for margin, expected in ((0.02, (1, 0)), (0.04, None)):
        settings = rule(min_margin=margin)
        assert pick(close, far, settings) == pick(far, close, settings) == expected
    assert pick(close, [0, 0], rule(text_weight=0.0, min_margin=0.02)) == (1, 0)
    assert pick([0, 0], close, rule(text_weight=1.0, min_margin=0.02)) == (1, 0)


@given(
    scores=st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=6),
    weight=st.floats(0.1, 0.9),
    margin=st.floats(0, 0.5),
)
def test_no_other_two_candidates_are_a_clearer_pair(
    scores: list[tuple[float, float]], weight: float, margin: float
) -> None:
    history, text = (np.array(column) for column in zip(*scores, strict=True))
    found = pick(history, text, rule(text_weight=weight, min_margin=margin))
    combined = weight * text + (1 - weight) * history
    clear = {
        (a, b): combined[a] - combined[b]
        for a in range(len(scores))
        for b in range(len(scores))
        if text[a] - text[b] >= margin
        and history[a] - history[b] >= margin
        and combined[a] > combined[b]
    }
    assert (found is None) == (not clear)
    assert found is None or clear[found] == max(clear.values())


def test_the_table_has_its_columns_and_its_provenance(table: pl.DataFrame) -> None:
    assert dict(table.schema) == dict(SCHEMA)
    assert 0 < table.height <= 44
    for name in ("model_digest", "config_hash", "seed", "product_version", "torch_version"):
        assert table[name].null_count() == 0
        assert table[name].n_unique() == 1
    assert table["torch_version"][0] == torch.__version__


def test_the_chosen_candidate_wins_both_scores_before_and_after_rendering(
    table: pl.DataFrame,
) -> None:
    own = table.filter(kind="candidates")
    assert own.height > 0
    for row in own.iter_rows(named=True):
        best, worst = (row["mask_ratios"].index(row[f"{x}_ratio"]) for x in ("chosen", "rejected"))
        mixed = 0.5 * np.array(row["text_scores"]) + 0.5 * np.array(row["history_scores"])
        assert row["scores"] == pytest.approx(mixed.tolist())
        for name in ("history_scores", "text_scores"):
            assert row[name][best] >= row[name][worst]
        assert min(row["history_margin"], row["text_margin"]) >= 0
        assert row["chosen_codes"] != row["rejected_codes"]


def test_hard_negatives_are_copies_and_pictures_for_others(folder: Path) -> None:
    """With all windows asked for one, in both kinds."""
    make_pairs(with_pairs(windows=40, validation_windows=0, hard_negatives=1.0), folder)
    hard = read_pairs(folder).filter(pl.col("kind") != "candidates")
    assert set(hard["kind"]) == {"copy", "stranger"}
    for row in hard.iter_rows(named=True):
        assert (row["rejected_codes"] == row["reference_codes"]) == (row["kind"] == "copy")
        assert row["rejected_ratio"] is None
        assert row["history_margin"] > 0
        assert row["text_margin"] >= -0.05
        assert row["chosen_codes"] != row["rejected_codes"]
        assert row["mask_ratios"][int(np.argmax(row["scores"]))] == row["chosen_ratio"]
    make_pairs(with_pairs(windows=40, validation_windows=0, hard_negatives=0.0), folder)
    assert set(read_pairs(folder)["kind"]) == {"candidates"}


def test_windows_are_users_own_and_splits_stay_apart(
    table: pl.DataFrame, artwork: TrainingArtwork
) -> None:
    for split in ("train", "valid"):
        known = load_windows(artwork, split).sequences.select(
            "user_id", "position", "history_ids", "target_id"
        )
        own = table.filter(split=split).select(known.columns)
        assert own.height > 0
        assert own.join(known, on=["user_id", "position", "target_id"], how="anti").height == 0


def test_no_pair_shows_held_out_artwork(table: pl.DataFrame, artwork: TrainingArtwork) -> None:
    row_of = {item: row for row, item in enumerate(artwork.rows["item_id"])}
    named = pl.concat([table["target_id"], table["reference_id"], table["history_ids"].explode()])
    assert not any(is_held_out(artwork, [row_of[item] for item in named]))


def test_the_stored_masks_are_those_the_chosen_picture_was_written_under(
    table: pl.DataFrame, trained: Path
) -> None:
    """The stored codes and masks give the same candidate again."""
    from pigeon_rec.data.prompts import load_prompt
    from pigeon_rec.model.instruction import write_texts
    from pigeon_rec.model.pipeline import candidate_key
    from pigeon_rec.model.randomness import gumbel_noise
    from pigeon_rec.model.sampling import WritingPrompt, sample_codes

    pipeline, held = assemble(CONFIG, trained, "reconstruct"), pair_tensors(table)
    settings = CONFIG.pairs.candidates
    assert 0 < held.history_keep.mean() < 1
    for place, row in enumerate(table.iter_rows(named=True)):
        one = slice(place, place + 1)
        key = candidate_key(f"0/{row['user_id']}/{row['position']}", row["chosen_ratio"])
        decoded = pipeline.decode(held.reference[one], held.reference_keep[one])
        prompt = write_texts(
            load_prompt("sticker"), pipeline.text, [row["target_text"]], CONFIG.model.language_model
        )
        with torch.inference_mode():
            model = pipeline.personalisation
            instruction = model.instruct(prompt, held.history[one], held.history_keep[one])
            reference = held.reference[one], held.reference_keep[one]
            aligned = model.aligned_embeddings(decoded, *reference)
            noise = gumbel_noise([key], "tokens", (16, settings.top_k))
            given = WritingPrompt(instruction, model.adapter(decoded), aligned)
            written = sample_codes(model, given, noise, settings.temperature)
        assert written[0].tolist() == row["chosen_codes"]


def test_tensors_are_the_columns(table: pl.DataFrame) -> None:
    held = pair_tensors(table)
    assert held.history.shape == held.history_keep.shape == (table.height, 5, 16)
    assert held.chosen[0].tolist() == table["chosen_codes"][0].to_list()
    assert held.history[-1].flatten().tolist() == table["history_codes"][-1].to_list()
    assert held.reference_keep[-1].bool().tolist() == table["reference_keep"][-1].to_list()


def test_a_killed_run_goes_on_where_it_was(
    folder: Path, table: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    real = PairMaker.pairs

    def dying(maker: PairMaker, batch: WindowBatch) -> Any:
        drawn.append(len(batch))
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return real(maker, batch)

    monkeypatch.setattr(PairMaker, "pairs", dying)
    with pytest.raises(KeyboardInterrupt):
        make_pairs(CONFIG, folder)
    assert not (folder / "pairs.parquet").exists()
    reports: list[tuple[int, int, float]] = []

    def progress(label: str, done: int, total: int, **fields: float) -> None:
        reports.append((done, total, fields["pairs"]))

    path = make_pairs(CONFIG, folder, progress=progress)
    assert drawn == [4, 16, 2, 2]  # the third batch twice, the first two once
    assert [done for done, _, _ in reports] == [4, 20, 22]
    assert reports[-1] == (22, 22, table.height)
    assert read_pairs(folder).equals(table)
    assert path.parent == folder
    assert not (folder / "pairs").exists()


def test_pairs_that_are_there_are_not_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pairs(with_pairs(windows=40, validation_windows=0), folder)
    assert set(read_pairs(folder)["split"]) == {"train"}

    def refuse(*_: object) -> PairMaker:
        raise AssertionError("loaded again")

    monkeypatch.setattr(PairMaker, "load", refuse)
    make_pairs(with_pairs(windows=40, validation_windows=0), folder)
    for other in ({"seed": 1}, {"text_weight": 0.0}):
        with pytest.raises(AssertionError, match="loaded again"):
            make_pairs(with_pairs(windows=40, validation_windows=0, **other), folder)


def test_pairs_can_be_cut_short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = with_pairs(minutes=1.0)
    with monkeypatch.context() as patch:
        clock = iter(range(0, 10_000, 40))  # seconds at each look
        patch.setattr(pairs, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        make_pairs(settings, folder)
    few = read_pairs(folder)
    assert few.height > 0
    assert set(few["split"]) <= {"valid", "train"}
    monkeypatch.setattr(PairMaker, "load", None)  # a table that is cut short is kept
    make_pairs(settings, folder)
    assert read_pairs(folder).height == few.height


def test_without_any_pair_the_setting_at_fault_is_named(folder: Path) -> None:
    with pytest.raises(TrainingError, match="none of 8 windows gave a pair") as refused:
        make_pairs(with_pairs(windows=4, min_margin=2.0), folder)
    assert refused.value.location == "pairs.min_margin"


def test_without_stage_one_there_are_no_pairs(folder: Path) -> None:
    shutil.rmtree(folder / "reconstruct")
    with pytest.raises(TrainingError, match="pigeon-rec train reconstruct"):
        make_pairs(CONFIG, folder)
