"""Rendering, against the published loops written out: guidance in one batch, DDIM, decoding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from pigeon_rec.model.published.generator import PublishedGenerator
from pigeon_rec.model.published.load import load_published
from pigeon_rec.model.published.pipeline import PublishedPipeline
from pigeon_rec.model.tokenizer_decoder import DecoderOutput
from tests.model.tiny import seeded

STEPS, SCALE = 4, 7.0


@pytest.fixture(scope="module")
def low(low_layout: Path) -> PublishedPipeline:
    return load_published(low_layout)


def generator(pipeline: PublishedPipeline) -> PublishedGenerator:
    return pipeline.generator


def drawn(pipeline: PublishedPipeline, batch: int = 2) -> tuple[DecoderOutput, Tensor]:
    """Prompts of random codes, and noise."""
    with seeded(1), torch.inference_mode():
        codes = torch.randint(0, 48, (batch, 16))
        return pipeline.decode(codes), torch.randn(batch, *generator(pipeline).latent_shape)


def scheduler(folder: Path) -> DDIMScheduler:
    settings = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    made = DDIMScheduler.from_config(settings)
    made.set_timesteps(STEPS)
    return made


def to_levels(pixels: Tensor) -> Tensor:
    levels = (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    return torch.from_numpy((levels * 255).round().astype("uint8"))


@torch.inference_mode()
def test_high_resolution(published: PublishedPipeline, layout: Path) -> None:
    made, (decoded, noise) = generator(published), drawn(published)
    assert decoded.pooled is not None
    prompts = torch.cat([torch.zeros_like(decoded.prompt), decoded.prompt])
    pooled = torch.cat([torch.zeros_like(decoded.pooled), decoded.pooled])
    sizes = torch.tensor([[16.0, 16, 0, 0, 16, 16]]).repeat(4, 1)
    schedule = scheduler(layout / "highres_pixel_decoding")
    latents = noise * schedule.init_noise_sigma
    for timestep in schedule.timesteps:
        both = made.unet(
            torch.cat([latents] * 2),
            timestep,
            encoder_hidden_states=prompts,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
        ).sample
        plain, conditional = both.chunk(2)
        latents = schedule.step(
            plain + SCALE * (conditional - plain), timestep, latents
        ).prev_sample
    wanted = to_levels(made.vae.decode(latents / 0.13025).sample)
    found = made(decoded, noise, STEPS, SCALE)
    assert found.shape == (2, 16, 16, 3)
    assert (found.int() - wanted.int()).abs().max() <= 1
    assert found.float().std() > 1


@torch.inference_mode()
def test_low_resolution_is_guided_away_from_the_empty_text(
    low: PublishedPipeline, low_layout: Path
) -> None:
    made, (decoded, noise) = generator(low), drawn(low)
    assert decoded.pooled is None
    stored = torch.load(low_layout / "pixel_decoding" / "uncond_embeddings.bin", weights_only=True)
    empty, mask = torch.zeros_like(decoded.prompt), torch.zeros(2, 16, dtype=torch.bool)
    empty[:, :5], mask[:, :5] = stored[0], True
    prompts, masks = torch.cat([empty, decoded.prompt]), torch.cat([mask, torch.ones_like(mask)])
    schedule = scheduler(low_layout / "pixel_decoding")
    latents = noise * schedule.init_noise_sigma
    for timestep in schedule.timesteps:
        plain, conditional = made.unet(
            torch.cat([latents] * 2),
            timestep,
            encoder_hidden_states=prompts,
            encoder_attention_mask=masks,
        ).sample.chunk(2)
        latents = schedule.step(
            plain + SCALE * (conditional - plain), timestep, latents
        ).prev_sample
    wanted = to_levels(made.vae.decode(latents / 0.13025).sample)
    found = made(decoded, noise, STEPS, SCALE)
    assert (found.int() - wanted.int()).abs().max() <= 1
    assert not torch.equal(found, made(decoded, noise, STEPS, 1.0))


@torch.inference_mode()
def test_posters_are_upright(layout: Path) -> None:
    pipeline = load_published(layout, size=(24, 16))
    made, (decoded, noise) = generator(pipeline), drawn(pipeline, 1)
    assert made.latent_shape == (4, 12, 8)
    assert pipeline.image_shape == (24, 16)
    upright = made(decoded, noise, STEPS, SCALE)
    assert upright.shape == (1, 24, 16, 3)


@torch.inference_mode()
def test_no_guidance_asks_once(
    published: PublishedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, (decoded, noise) = generator(published), drawn(published, 1)
    seen: list[Tensor] = []
    inner = made._predict

    def counted(noisy: Tensor, timestep: Tensor, prompt: Tensor, *rest: Tensor) -> Tensor:
        seen.append(prompt)
        return inner(noisy, timestep, prompt, *rest)

    monkeypatch.setattr(made, "_predict", counted)
    made(decoded, noise, STEPS, 1.0)
    assert len(seen) == STEPS
    made(decoded, noise, STEPS, SCALE)
    assert len(seen) == 3 * STEPS
