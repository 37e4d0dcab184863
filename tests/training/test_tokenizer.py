"""Codebook averages, and the recipe of tokenizer and decoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from pigeon_rec.model.visual_tokenizer import VectorQuantizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.image_losses import edge_loss, psnr
from pigeon_rec.training.loop import train
from pigeon_rec.training.tokenizer import CodebookAverages, TokenizerRecipe, _shown
from tests.model.tiny import DYNAMIC, TINY, seeded
from tests.training.tiny import generator, quick_loop


def book(rows: int = 8) -> tuple[VectorQuantizer, CodebookAverages]:
    with seeded():
        quantizer = VectorQuantizer(rows, 4)
    return quantizer, CodebookAverages(quantizer, decay=0.9, least_use=0.02)


def units(count: int, seed: int = 1) -> Tensor:
    with seeded(seed):
        return F.normalize(torch.randn(count, 4), dim=-1)


def test_rows_follow_the_average_of_their_vectors() -> None:
    quantizer, averages = book()
    start, unit = quantizer.embedding.weight.detach().clone(), units(5)
    ids = torch.tensor([0, 0, 3, 3, 3])
    averages.update(quantizer, ids, unit)
    sums = 0.9 * start
    sums[0] += 0.1 * (unit[0] + unit[1])
    sums[3] += 0.1 * unit[2:].sum(0)
    assert torch.allclose(averages.sums, sums, atol=1e-6)
    assert averages.counts[[0, 3, 5]].tolist() == pytest.approx([1.1, 1.2, 0.9])
    assert torch.allclose(quantizer.embedding.weight, F.normalize(sums, dim=-1), atol=1e-6)
    rest = [i for i in range(8) if i not in (0, 3)]
    assert torch.allclose(quantizer.embedding.weight[rest], start[rest], atol=1e-6)


def test_a_row_converges_to_a_repeated_vector() -> None:
    quantizer, averages = book()
    unit = units(1)
    for _ in range(100):
        averages.update(quantizer, torch.tensor([2]), unit)
    assert torch.allclose(quantizer.embedding.weight[2], unit[0], atol=1e-3)


def test_unused_rows_restart_at_vectors_of_the_batch() -> None:
    quantizer, averages = book()
    unit = units(6)
    with seeded():
        for _ in range(38):
            averages.update(quantizer, torch.zeros(6, dtype=torch.long), unit)
    # 0.9 to the 38th is under 0.02: all rows but the first have just restarted.
    rows = quantizer.embedding.weight
    nearest = (rows[1:] @ unit.T).amax(1)
    assert torch.allclose(nearest, torch.ones(7), atol=1e-5)
    assert averages.counts[1:].tolist() == [1.0] * 7
    assert averages.counts[0] > 5


def test_a_restart_takes_every_row_from_the_batch() -> None:
    quantizer, averages = book()
    unit = units(3)
    averages.restart(quantizer, unit)
    assert torch.allclose((quantizer.embedding.weight @ unit.T).amax(1), torch.ones(8), atol=1e-5)
    assert averages.counts.tolist() == [1.0] * 8


def test_rows_stay_of_unit_length_and_finite() -> None:
    quantizer, averages = book()
    with seeded():
        for step in range(30):
            averages.update(quantizer, torch.randint(8, (20,)), units(20, seed=step))
    assert torch.allclose(quantizer.embedding.weight.norm(dim=-1), torch.ones(8), atol=1e-5)


def test_perplexity_counts_rows_in_use() -> None:
    _, averages = book()
    assert float(averages.perplexity()) == pytest.approx(8.0)
    averages.counts.copy_(torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0]))
    assert float(averages.perplexity()) == pytest.approx(2.0)


def test_edges_are_differences_of_neighbours() -> None:
    truth = torch.zeros(1, 3, 4, 4)
    drawn = truth + 0.5
    assert float(edge_loss(drawn, truth)) == 0.0
    drawn[..., 2:] += 1.0  # one vertical edge among three columns of differences
    assert float(edge_loss(drawn, truth)) == pytest.approx(1 / 3)


def recipe(artwork: TrainingArtwork, continuous_steps: int) -> TokenizerRecipe:
    with seeded():
        return TokenizerRecipe(TINY, artwork, continuous_steps=continuous_steps)


def test_quantising_starts_after_the_continuous_steps(artwork: TrainingArtwork) -> None:
    made = recipe(artwork, continuous_steps=3)
    for step in range(5):
        assert made.quantising == (step >= 3)
        rows = made.tokenizer.quantize.embedding.weight.clone()
        made.losses(6, generator(step))
        made.after_step(step)
        assert not torch.equal(rows, made.tokenizer.quantize.embedding.weight)


def test_quantising_starts_after_a_fifth_of_a_short_run(artwork: TrainingArtwork) -> None:
    made = recipe(artwork, continuous_steps=400)
    made.progress = 0.19
    assert not made.quantising
    made.progress = 0.2
    assert made.quantising


def test_the_codebook_rests_at_the_end(artwork: TrainingArtwork) -> None:
    made = recipe(artwork, continuous_steps=0)
    for progress, rests in ((0.5, False), (0.84, False), (0.86, True)):
        made.progress = progress
        rows = made.tokenizer.quantize.embedding.weight.clone()
        made.losses(6, generator())
        made.after_step(0)
        assert torch.equal(rows, made.tokenizer.quantize.embedding.weight) == rests


def test_the_saved_codebook_is_the_one_in_use(artwork: TrainingArtwork, tmp_path: Path) -> None:
    made = recipe(artwork, continuous_steps=1)
    weights = load_file(train(made, quick_loop(6), tmp_path))
    rows = weights["tokenizer.quantize.embedding.weight"]
    assert torch.equal(rows, made.tokenizer.quantize.embedding.weight)
    assert not torch.equal(
        weights["decoder.in_proj.weight"], made.decoder.in_proj.weight
    )  # averaged


def test_an_exact_copy_has_the_highest_signal_to_noise_ratio() -> None:
    truth = torch.linspace(-1, 1, 192).view(1, 3, 8, 8)
    assert float(psnr(truth, truth)) == pytest.approx(68.13, abs=0.01)
    assert float(psnr(truth.clamp(max=0.5) * 0 - 1, truth * 0 + 1)) == pytest.approx(0.0, abs=1e-4)


def test_a_resumed_run_continues_to_quantise(artwork: TrainingArtwork, tmp_path: Path) -> None:
    """Killed after quantising has started, it resumes like the unbroken run."""

    class Killed(BaseException):
        pass

    loop = quick_loop(8, checkpoint_every=2)
    train(recipe(artwork, 3), loop, tmp_path / "unbroken")
    for kill_at in (2, 6):
        broken = recipe(artwork, 3)
        after = broken.after_step

        def die(step: int, last: int = kill_at, original: object = after) -> None:
            original(step)  # type: ignore[operator]
            if step == last:
                raise Killed

        broken.after_step = die  # type: ignore[method-assign]
        with pytest.raises(Killed):
            train(broken, loop, tmp_path / "broken")
    train(recipe(artwork, 3), loop, tmp_path / "broken")
    assert losses(tmp_path / "broken") == losses(tmp_path / "unbroken")
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("broken", "unbroken")]
    assert weights[0] == weights[1]


def losses(folder: Path) -> list[tuple[int, float]]:
    rows = map(json.loads, (folder / "metrics.jsonl").read_text("utf-8").splitlines())
    return [(row["step"], row["loss"]) for row in rows]


def test_some_codes_are_hidden_from_the_decoder(artwork: TrainingArtwork) -> None:
    filled = torch.ones(400, 16, dtype=torch.bool)
    seen = _shown(filled, generator())
    share = seen.double().mean(1)
    assert float((share == 1).double().mean()) == pytest.approx(0.66, abs=0.1)
    assert share.min() > 0.1
    assert seen[:, 0].all()


def test_dynamic_tokens_learn_to_keep_their_share(artwork: TrainingArtwork) -> None:
    with seeded():
        made = TokenizerRecipe(DYNAMIC, artwork, keep_rate=0.25, continuous_steps=0)
    weights = [p for p in made.module().parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=3e-3)
    kept = []
    made.tokenizer.causal_encoder.register_forward_pre_hook(
        lambda _, arguments: kept.append(float(arguments[1].detach().mean()))
    )
    for step in range(40):
        torch.manual_seed(step)
        loss = made.losses(16, generator(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert np.mean(kept[:5]) > 0.4
    assert np.mean(kept[-5:]) < np.mean(kept[:5]) - 0.1
