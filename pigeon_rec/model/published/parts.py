"""Builds the parts of a published model on the meta device, which takes no memory."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from pigeon_rec.model.parts import Parts
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.published.encoder import EvaEncoder
from pigeon_rec.model.published.generator import PublishedGenerator
from pigeon_rec.model.published.key_maps import LORA_NAME
from pigeon_rec.model.published.sizes import PublishedSizes
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import VisualTokenizer

__all__ = ["PublishedParts", "add_lora", "build_parts", "computed_buffers"]


@dataclass(frozen=True)
class PublishedParts(Parts[PublishedGenerator]):
    """The published modules: EVA's ViT-g encodes images, LLaMA writes, SDXL renders."""

    def by_file(self) -> dict[str, nn.Module]:
        """Returns the modules by the names of their weight files, without the LoRA adapter."""
        return {
            "visual_encoder": self.tokenizer.encoder,
            "visual_tokenizer": self.tokenizer,
            "tokenizer_decoder": self.decoder,
            "language_model": self.personalisation.language_model,
            "mask_generator": self.personalisation.mask_generator,
            "adapter": self.personalisation.adapter,
            "unet": self.generator.unet,
            "vae": self.generator.vae,
        }


def build_parts(sizes: PublishedSizes, size: tuple[int, int] | None = None) -> PublishedParts:
    """Returns all parts on the meta device, without the language model's adapter.

    `size` is the height and width of images; see `PublishedGenerator`.
    """
    config = sizes.config
    with torch.device("meta"):
        tokenizer = VisualTokenizer(config.tokenizer)
        tokenizer.encoder = EvaEncoder(config.tokenizer)  # type: ignore[assignment]
        personalisation = Personalisation(config)
        personalisation.language_model = LlamaForCausalLM(sizes.llama)
        return PublishedParts(
            tokenizer,
            TokenizerDecoder(config.decoder),
            personalisation,
            PublishedGenerator(sizes.unet, sizes.vae, sizes.scheduler, size, sizes.unconditional),
        )


def computed_buffers(language_model: LlamaForCausalLM, device: str = "cpu") -> None:
    """Computes the rotary frequencies, which no file holds, from the settings."""
    rotary = LlamaRotaryEmbedding(language_model.config)
    language_model.model.rotary_emb = rotary.to(device)


def add_lora(language_model: LlamaForCausalLM, config: LoraConfig) -> None:
    """Adds the adapter's layers in place, on the meta device.

    They are not merged into the weights: stage 2's changes are too small for half-precision and
    quantised weights.
    """
    with warnings.catch_warnings():
        # Weights are loaded from a file afterwards.
        warnings.filterwarnings("ignore", message=".*low_cpu_mem_usage.*")
        inject_adapter_in_model(config, language_model, LORA_NAME, low_cpu_mem_usage=True)
