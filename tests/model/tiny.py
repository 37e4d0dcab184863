"""A whole Pigeon model of a few thousand weights, seeded, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pigeon_rec.config import GenerationConfig
from pigeon_rec.model.configuration import (
    AdapterConfig,
    AutoencoderConfig,
    DecoderConfig,
    LanguageModelConfig,
    MaskGeneratorConfig,
    PigeonConfig,
    RendererConfig,
    VisualTokenizerConfig,
)
from pigeon_rec.model.personalisation import Instruction, InstructionTexts, Personalisation
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.prefix import ReadPrefix
from pigeon_rec.model.sampling import WritingPrompt, sample_codes
from pigeon_rec.model.text_tokenizer import TextTokenizer

__all__ = [
    "DYNAMIC",
    "QUICK",
    "TINY",
    "pictures",
    "random_codes",
    "references",
    "seeded",
    "texts",
    "tiny_personalisation",
    "tiny_pipeline",
    "tiny_text",
    "titled",
    "write",
]

TINY = PigeonConfig(
    name="tiny",
    tokenizer=VisualTokenizerConfig(
        image_size=16, patch_size=4, width=32, encoder_layers=1, heads=2, code_dim=8,
        codebook_size=32, mlp_ratio=2.0,
    ),
    decoder=DecoderConfig(
        code_dim=8, width=32, layers=1, heads=2, mlp_ratio=2.0, queries=16, output_width=32,
        projections=(8, 16), preview_patch=4,
    ),
    mask_generator=MaskGeneratorConfig(heads=2, feedforward=32, max_position=16),
    adapter=AdapterConfig(hidden=16, reference_tokens=4, aligned=True),
    language_model=LanguageModelConfig(
        text_vocabulary=280, hidden=32, layers=1, heads=2, intermediate=64, max_text_tokens=12
    ),
    autoencoder=AutoencoderConfig(patch=2, latent_channels=4, channels=(8,), norm_groups=4),
    renderer=RendererConfig(channels=(8, 16), head_width=8, norm_groups=4, grid_channels=4),
)  # fmt: skip

DYNAMIC = TINY.model_copy(
    update={
        "tokenizer": TINY.tokenizer.model_copy(update={"keep": "dynamic"}),
        "adapter": TINY.adapter.model_copy(update={"aligned": False}),
    }
)
"""Images as lists of different lengths."""

QUICK = GenerationConfig(mask_ratios=(0.0, 0.5), diffusion_steps=2, top_k=8)


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Seeds torch inside the block and restores its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def tiny_text() -> TextTokenizer:
    """A byte-pair tokenizer of a few words."""
    return TextTokenizer.learn(["a red apple", "a small sticker of a cat"], 280)


def tiny_personalisation(config: PigeonConfig = TINY, seed: int = 0) -> Personalisation:
    """A personalisation module whose choices depend visibly on what it reads."""
    with seeded(seed):
        personalisation = Personalisation(config).eval()
    with torch.no_grad():
        for weight in personalisation.language_model.parameters():
            # With the usual standard deviation of 0.02, all codes would be equally likely.
            weight.mul_(1.0 if weight.dim() == 1 else 10.0)
    return personalisation


def tiny_pipeline(config: PigeonConfig = TINY, seed: int = 0) -> PigeonPipeline:
    """A pipeline of untrained parts that takes four rows at once."""
    with seeded(seed):
        pipeline = PigeonPipeline.from_config(config, tiny_text())
    pipeline.personalisation.load_state_dict(tiny_personalisation(config, seed).state_dict())
    pipeline.batch_size = 4
    return pipeline


def write(  # noqa: PLR0913 - the fields of a prompt
    personalisation: Personalisation,
    instruction: Instruction,
    reference: Tensor,
    gumbel: Tensor,
    *,
    aligned: Tensor | None = None,
    prefix: ReadPrefix | None = None,
    no_history: ReadPrefix | None = None,
    **settings: float,
) -> Tensor:
    """`sample_codes` of a prompt given by its fields."""
    prompt = WritingPrompt(instruction, reference, aligned, prefix, no_history)
    return sample_codes(personalisation, prompt, gumbel, **settings)


def pictures(*shape: int, seed: int = 0, side: int = 16) -> NDArray[np.uint8]:
    """Random uint8 pictures `[*shape, side, side, 3]` of 4x4 blocks of one colour."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (*shape, side // 4, side // 4, 3), dtype=np.uint8)
    return blocks.repeat(4, axis=-3).repeat(4, axis=-2)


def texts(*lengths: int) -> InstructionTexts:
    """Prefix 5 6, response 7, and target texts of the given lengths, of ids 10, 11, ..."""
    widest = max(lengths)
    mask = torch.arange(widest) < torch.tensor(lengths)[:, None]
    ids = torch.where(mask, torch.arange(10, 10 + widest), 2)
    return InstructionTexts(torch.tensor([5, 6]), ids, mask, torch.tensor([7]))


def titled(made: InstructionTexts, lengths: Sequence[Sequence[int]]) -> InstructionTexts:
    """The same texts with titles of the given lengths `[B][images]`, of ids 100, 101, ..."""
    widest = max(max(row) for row in lengths) + 1
    mask = torch.arange(widest) < torch.tensor(lengths)[..., None]
    numbers = 100 + torch.arange(mask.numel()).view(mask.shape)
    return replace(made, history=torch.where(mask, numbers, 2), history_mask=mask)


def random_codes(*shape: int, seed: int = 0) -> Tensor:
    """Random code rows."""
    with seeded(seed):
        return torch.randint(0, 32, shape)


def references(batch: int, tokens: int = 4, seed: int = 5) -> Tensor:
    """Random reference tokens `[batch, tokens, 32]`."""
    with seeded(seed):
        return torch.randn(batch, tokens, 32)
