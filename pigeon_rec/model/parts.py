"""The modules of a Pigeon model, and their weight files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Generic, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pigeon_rec.errors import ModelError
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.denoising import DiffusionGenerator
from pigeon_rec.model.image_generator import ImageGenerator
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import VisualTokenizer

__all__ = ["Parts", "load_weights", "saved_weights", "untrained_parts"]

_EMBEDDINGS = "language_model.model.embed_tokens.weight"
_TIED = "language_model.lm_head.weight"
"""The same weights as `_EMBEDDINGS` if the configuration ties them; then not saved."""


Generator = TypeVar("Generator", bound=DiffusionGenerator)


@dataclass(frozen=True)
class Parts(Generic[Generator]):
    """The trained modules of a pipeline.

    Attributes:
        tokenizer: Images to codes.
        decoder: Codes to prompt embeddings.
        personalisation: Language model, mask generator and reference adapter.
        generator: Prompt embeddings to images.
    """

    tokenizer: VisualTokenizer
    decoder: TokenizerDecoder
    personalisation: Personalisation
    generator: Generator

    def modules(self) -> dict[str, nn.Module]:
        """Returns the modules by name; a saved model has one file for each."""
        return {
            "visual_tokenizer": self.tokenizer,
            "tokenizer_decoder": self.decoder,
            "personalisation": self.personalisation,
            "image_generator": self.generator,
        }


def untrained_parts(config: PigeonConfig) -> Parts[ImageGenerator]:
    """Returns modules of these sizes with random weights."""
    return Parts(
        VisualTokenizer(config.tokenizer),
        TokenizerDecoder(config.decoder),
        Personalisation(config),
        ImageGenerator(
            config.renderer, config.decoder, config.autoencoder, config.tokenizer.image_size
        ),
    )


def saved_weights(part: nn.Module, config: PigeonConfig) -> dict[str, Tensor]:
    """Returns the state of a part, with tied weights once."""
    tied = config.language_model.tie_embeddings
    return {k: v for k, v in part.state_dict().items() if not (tied and k == _TIED)}


def load_weights(part: nn.Module, path: Path) -> None:
    """Loads a part's weights from its file, as float32.

    Raises:
        ModelError: The file is missing or damaged, or has other shapes.
    """
    try:
        weights = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
        if isinstance(part, Personalisation) and part.tied and _EMBEDDINGS in weights:
            weights[_TIED] = weights[_EMBEDDINGS]
        part.load_state_dict(weights)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"weights cannot be loaded: {shorten(str(error), 300)}",
            location=str(path),
            remedy="Restore the model folder; every part has one safetensors file",
        ) from error
