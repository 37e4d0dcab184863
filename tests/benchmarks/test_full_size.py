"""Published shapes on the meta device: parameter counts, and parts that fit together."""

from __future__ import annotations

import pytest
import torch

from benchmarks.full_size import (
    FULL_SIZE,
    LOW_RESOLUTION,
    full_parts,
    parameter_counts,
)
from pigeon_rec.model.published.key_maps import KEY_MAPS
from pigeon_rec.model.published.parts import PublishedParts
from pigeon_rec.model.tokenizer_decoder import DecoderOutput


@pytest.fixture(scope="module")
def parts() -> PublishedParts:
    return full_parts()


@pytest.fixture(scope="module")
def counts() -> dict[str, int]:
    return parameter_counts()


def test_nothing_takes_memory(parts: PublishedParts) -> None:
    modules = (parts.tokenizer, parts.decoder, parts.personalisation, parts.generator)
    tensors = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    assert {t.device.type for t in tensors} == {"meta"}
    assert sum(t.numel() for t in tensors) > 11_000_000_000


def linear(out: int, into: int) -> int:
    return out * into + out


def test_counts_follow_from_the_published_sizes(counts: dict[str, int]) -> None:
    width, mlp, hidden = 1408, 6144, 4096
    norm, attention = 2 * width, linear(3 * width, width) + linear(width, width)
    eva = 2 * norm + attention + linear(mlp, width) + linear(width, mlp)
    patches = width + 257 * width + width * 3 * 14 * 14 + width
    assert counts["visual_encoder"] == patches + 40 * eva + norm
    llama = 4 * hidden**2 + 3 * hidden * 11008 + 2 * hidden
    assert counts["language_model"] == 2 * 48386 * hidden + 32 * llama + hidden
    assert counts["lora"] == 32 * 2 * 2 * 8 * hidden
    assert counts["adapter"] == linear(512, 2048) + linear(hidden, 512)
    encoder = linear(3 * hidden, hidden) + linear(hidden, hidden)
    encoder += linear(2048, hidden) + linear(hidden, 2048) + 4 * hidden
    assert counts["mask_generator"] == encoder + 3 * hidden + linear(hidden, hidden) + 2 * hidden
    block = 3 * norm + 2 * attention - linear(3 * width, width) + 3 * linear(width, width)
    block += linear(mlp, width) + linear(width, mlp)
    predictor = norm + linear(width, width) + linear(704, width) + linear(352, 704) + linear(2, 352)
    head = linear(width, width) + linear(32, width) + 16384 * 32
    assert counts["visual_tokenizer"] == predictor + 12 * block + 2 * norm + head
    pool = 257 * width + 3 * linear(width, width) + linear(1280, width)
    ends = linear(width, 32) + 2 * 256 * width + norm + 2 * linear(width, width)
    prompts = linear(768, width) + linear(1280, width)
    assert counts["tokenizer_decoder"] == 12 * block + ends + prompts + pool


def test_counts_that_others_publish(counts: dict[str, int]) -> None:
    """Counts of the diffusion models equal their published, rounded ones: 2.6 B, 860 M, 84 M."""
    assert counts["unet"] == 2_567_463_684
    assert counts["vae"] == 83_653_863
    assert parameter_counts(LOW_RESOLUTION)["unet"] == 859_520_964


@torch.inference_mode()
def test_shapes_fit_from_pixels_to_pixels(parts: PublishedParts) -> None:
    with torch.device("meta"):
        features = parts.tokenizer.encoder(torch.zeros(1, 3, 224, 224))
        assert features.shape == (1, 256, 1408)
        merged = parts.tokenizer.causal_encoder(features, torch.ones(1, 256))
        assert parts.tokenizer.encode_task_layer(merged).shape == (1, 256, 32)
        decoded: DecoderOutput = parts.decoder(
            torch.zeros(1, 90, 32), torch.ones(1, 90, dtype=torch.bool)
        )
        assert decoded.prompt.shape == (1, 256, 2048)
        assert decoded.pooled is not None
        assert decoded.pooled.shape == (1, 1280)
        model = parts.personalisation
        assert model.adapter(decoded).shape == (1, 1, 4096)
        types = torch.ones(1, 40, dtype=torch.long)
        scores = model.mask_generator(torch.zeros(1, 40, 4096), types, types)
        assert scores.cosine.shape == (1, 40)
        states = model.language_model.model(inputs_embeds=torch.zeros(1, 7, 4096)).last_hidden_state
        assert model.code_logits(states).shape == (1, 7, 1 + 16384)
        generator = parts.generator
        assert generator.latent_shape == (4, 128, 128)
        assert generator.size == (1024, 1024)
        noisy, now = torch.zeros(1, *generator.latent_shape), torch.zeros((), dtype=torch.long)
        guess = generator.predict(noisy, now, decoded)
        assert guess.shape == noisy.shape
        assert generator.vae.decode(guess).sample.shape == (1, 3, 1024, 1024)


def test_published_keys_of_the_full_size(parts: PublishedParts) -> None:
    """Published keys of the maps, for parts whose keys can be counted by hand."""
    expected = {
        part: {
            name
            for ours in module.state_dict()
            for name in KEY_MAPS[part].sources(ours)
            if name and not ours.startswith("encoder.vision")
        }
        for part, module in (
            ("visual_encoder", parts.tokenizer.encoder),
            ("tokenizer_decoder", parts.decoder),
            ("mask_generator", parts.personalisation.mask_generator),
        )
    }
    assert len(expected["visual_encoder"]) == 4 + 40 * 13 + 2
    assert {"blocks.39.attn.v_bias", "pos_embed", "norm.bias"} <= expected["visual_encoder"]
    assert len(expected["tokenizer_decoder"]) == 4 + 12 * 22 + 2 + 4 + 4 + 9
    assert len(expected["mask_generator"]) == 12 + 1 + 1 + 2 + 2


def test_the_configuration_is_that_of_the_paper() -> None:
    config = FULL_SIZE.config
    assert config.decoder.prompt_width == 2048
    assert config.tokenizer.patches == config.mask_generator.max_position == 256
    assert FULL_SIZE.lora.r == 8
    assert FULL_SIZE.lora.lora_alpha == 16
