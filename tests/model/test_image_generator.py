"""Prompt embeddings to pixels: latents, denoising, guidance."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pigeon_rec.model.configuration import DecoderConfig, RendererConfig
from pigeon_rec.model.image_generator import ImageGenerator, LatentCodec
from pigeon_rec.model.tokenizer_decoder import DecoderOutput
from tests.model.tiny import TINY, seeded


def make(
    renderer: RendererConfig = TINY.renderer, decoder: DecoderConfig = TINY.decoder
) -> ImageGenerator:
    with seeded():
        return ImageGenerator(renderer, decoder, TINY.autoencoder, 16).eval()


@pytest.fixture(scope="module")
def generator() -> ImageGenerator:
    return make()


def prompts(batch: int = 3, seed: int = 1) -> DecoderOutput:
    with seeded(seed):
        prompt = torch.randn(batch, 16, 24)
        return DecoderOutput(prompt, torch.randn(batch, 16), prompt)


def noise(batch: int = 3, seed: int = 2) -> Tensor:
    with seeded(seed):
        return torch.randn(batch, 4, 8, 8)


def test_pictures_are_bytes_of_the_asked_size(generator: ImageGenerator) -> None:
    images = generator(prompts(), noise(), steps=2)
    assert images.shape == (3, 16, 16, 3)
    assert images.dtype == torch.uint8
    assert generator.latent_shape == (4, 8, 8)


def test_noise_and_prompt_decide_and_nothing_else(generator: ImageGenerator) -> None:
    images = generator(prompts(), noise(), steps=3)
    assert torch.equal(images, generator(prompts(), noise(), steps=3))
    assert not torch.equal(images, generator(prompts(), noise(seed=9), steps=3))
    assert not torch.equal(images, generator(prompts(seed=9), noise(), steps=3))


def test_a_row_does_not_depend_on_its_neighbours(generator: ImageGenerator) -> None:
    images, decoded, order = generator(prompts(), noise(), steps=2), prompts(), [2, 0, 1]
    assert decoded.pooled is not None
    turned = DecoderOutput(decoded.prompt[order], decoded.pooled[order], decoded.hidden[order])
    assert torch.equal(generator(turned, noise()[order], steps=2), images[order])


class Calls:
    """Counts passes through the renderer and keeps their prompts."""

    def __init__(self, generator: ImageGenerator) -> None:
        self.prompts: list[Tensor] = []
        self.hook = generator.renderer.register_forward_pre_hook(self)

    def __call__(self, _module: Any, arguments: tuple[Tensor, ...]) -> None:
        self.prompts.append(arguments[2])


def test_guidance_of_one_is_plain_sampling(generator: ImageGenerator) -> None:
    calls = Calls(generator)
    plain = generator(prompts(), noise(), steps=3)
    assert len(calls.prompts) == 3
    assert torch.equal(generator(prompts(), noise(), 3, render_guidance=1.0), plain)
    assert len(calls.prompts) == 6
    guided = generator(prompts(), noise(), 3, render_guidance=7.0)
    calls.hook.remove()
    assert len(calls.prompts) == 12
    assert all(p.abs().max() == 0 for p in calls.prompts[7::2])
    assert not torch.equal(guided, plain)


def test_guidance_away_from_nothing_is_nothing(generator: ImageGenerator) -> None:
    zero = DecoderOutput(torch.zeros(3, 16, 24), torch.zeros(3, 16), torch.zeros(3, 16, 24))
    plain = generator(zero, noise(), steps=2)
    assert torch.equal(generator(zero, noise(), 2, render_guidance=7.0), plain)


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
@pytest.mark.parametrize("steps", [1, 4, 8])
def test_perfect_guesses_end_at_the_truth(
    prediction: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Solver and training schedule agree: perfect predictions give the clean latents."""
    generator = make(TINY.renderer.model_copy(update={"prediction": prediction}))
    truth = noise(seed=5)
    schedule = generator.noise_schedule()

    def perfect(noisy: Tensor, timestep: Tensor, _prompt: Tensor, _pooled: Tensor) -> Tensor:
        if prediction == "sample":
            return truth
        alpha = schedule.alphas_cumprod[timestep].sqrt()
        sigma = (1 - alpha**2).sqrt()
        return torch.as_tensor(alpha * (noisy - alpha * truth) / sigma - sigma * truth)

    monkeypatch.setattr(generator.renderer, "forward", perfect)
    found = generator(prompts(), noise(), steps=steps).float()
    with torch.inference_mode():
        wanted = generator.codec.decode_normalised(truth).permute(0, 2, 3, 1)
    assert (found - ((wanted + 1) * 127.5).clamp(0, 255)).abs().max() <= 1.0


def test_the_noise_schedule_is_the_one_models_were_trained_with(generator: ImageGenerator) -> None:
    signal = generator.noise_schedule().alphas_cumprod[[0, 249, 499, 749, 999]]
    wanted = [0.99915, 0.654189, 0.242359, 0.033171, 0.0]
    assert signal.tolist() == pytest.approx(wanted, abs=1e-6)


def test_the_prompt_grid_is_the_picture_grid(generator: ImageGenerator) -> None:
    """Query 6 of a 4x4 grid stands in row 1, column 2: two latents a side."""
    prompt = torch.zeros(1, 16, 24)
    empty = generator.renderer._grid(prompt)
    prompt[0, 6] = 1.0
    touched = (generator.renderer._grid(prompt) != empty).any(1)[0]
    wanted = torch.zeros(8, 8, dtype=torch.bool)
    wanted[2:4, 4:6] = True
    assert torch.equal(touched, wanted)


def test_without_grid_the_prompt_enters_by_attention_alone() -> None:
    generator = make(TINY.renderer.model_copy(update={"grid_channels": 0}))
    assert generator.renderer.grid_proj is None
    images = generator(prompts(), noise(), steps=2)
    assert not torch.equal(images, generator(prompts(seed=9), noise(), steps=2))


def test_without_pooled_vector() -> None:
    generator = make(decoder=TINY.decoder.model_copy(update={"pooled": False}))
    with_it = prompts()
    decoded = DecoderOutput(with_it.prompt, None, with_it.hidden)
    assert generator(decoded, noise(), 2, render_guidance=3.0).shape == (3, 16, 16, 3)


@pytest.fixture(scope="module")
def codec() -> LatentCodec:
    with seeded():
        made = LatentCodec(TINY.autoencoder).eval()
    made.latent_mean.copy_(torch.tensor([1.0, -2.0, 0.5, 0.0]).view(1, 4, 1, 1))
    made.latent_std.copy_(torch.tensor([0.5, 2.0, 1.0, 3.0]).view(1, 4, 1, 1))
    return made


@torch.inference_mode()
def test_normalised_latents_are_undone_by_decoding(codec: LatentCodec) -> None:
    pixels = torch.rand(2, 3, 16, 16) * 2 - 1
    raw = codec.posterior(pixels).mode()
    assert raw.shape == (2, 4, 8, 8)
    normal = (raw - codec.latent_mean) / codec.latent_std
    assert torch.allclose(codec.decode_normalised(normal), codec.decode(raw), atol=1e-5)
    assert codec.decode(raw).shape == (2, 3, 16, 16)
