"""Pigeon end to end: history, reference and text in, candidates of a personalised image out.

`Pipeline` is the interface, `PigeonPipeline` our own model, and
`pigeon_rec.model.published.pipeline.PublishedPipeline` the published one;
`pigeon_rec.model.loading.load_pipeline` loads either.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from pigeon_rec.config import GenerationConfig
from pigeon_rec.data.prompts import PromptTemplate
from pigeon_rec.errors import ModelError
from pigeon_rec.model.base import BATCH_SIZE, BasePipeline
from pigeon_rec.model.card import CardFacts, write_card
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.hub import HubModel, push_folder
from pigeon_rec.model.image_generator import ImageGenerator
from pigeon_rec.model.output import PigeonOutput
from pigeon_rec.model.parts import load_weights, saved_weights, untrained_parts
from pigeon_rec.model.paths import is_published, model_folder
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.placing import check_device, torch_dtype
from pigeon_rec.model.randomness import gumbel_noise
from pigeon_rec.model.requests import CodedRequests, candidate_key
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.model.tokenizer_decoder import DecoderOutput
from pigeon_rec.model.visual_tokenizer import NO_CODE
from pigeon_rec.placement import Placement

__all__ = ["CodedRequests", "PigeonOutput", "PigeonPipeline", "Pipeline", "candidate_key"]

Codes = NDArray[np.int64]
Images = NDArray[np.uint8]


class Pipeline(Protocol):
    """What drawing, evaluation and training need of a model; `BasePipeline` documents it.

    Attributes:
        config: Sizes of the model.
        defaults: Settings used where a caller gives none.
        personalisation: Language model, mask generator and reference adapter.
        batch_size: Requests per batch.
        placement: Devices and dtype.
    """

    config: PigeonConfig
    defaults: ClassVar[GenerationConfig]
    personalisation: Personalisation
    batch_size: int
    placement: Placement

    @property
    def image_shape(self) -> tuple[int, int]: ...

    @property
    def has_previews(self) -> bool: ...

    def __call__(  # noqa: PLR0913 - see `BasePipeline.__call__`
        self,
        history: Images,
        reference: Images,
        targets: Sequence[str],
        *,
        keys: Sequence[str],
        settings: GenerationConfig | None = None,
        scenario: str | PromptTemplate = "sticker",
        history_texts: Sequence[Sequence[str]] | None = None,
    ) -> PigeonOutput: ...

    def encode_images(self, images: Images) -> Codes: ...

    def write(self, requests: CodedRequests, settings: GenerationConfig | None = None) -> Codes: ...

    def preview(self, codes: Codes) -> Images: ...

    def render_candidates(
        self,
        codes: Codes,
        keys: Sequence[str],
        settings: GenerationConfig,
        places: Codes | None = None,
    ) -> Images: ...

    def masks(
        self,
        history: Tensor,
        reference: Tensor,
        keys: Sequence[str],
        history_ratio: float,
        reference_ratios: Sequence[float],
    ) -> tuple[Tensor, Tensor]: ...

    def with_parts(self, **parts: nn.Module) -> Self: ...


class PigeonPipeline(BasePipeline[ImageGenerator]):
    """Our own model, of any size; `from_config` and `from_pretrained` build one."""

    @classmethod
    def from_config(cls, config: PigeonConfig, text: TextTokenizer) -> Self:
        """Returns a pipeline with random weights."""
        return cls(config, untrained_parts(config), text)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        batch_size: int = BATCH_SIZE,
        placement: Placement | None = None,
        *,
        revision: str | None = None,
    ) -> Self:
        """Loads a bundled model by name, a saved one by folder, or `owner/name` from the Hub.

        `revision` is a branch, tag or commit hash of a Hub model.

        Raises:
            ModelError: A file is missing, weights and configuration do not fit, the placement is
                not possible on this machine or with this model, or the folder has the published
                layout (use `load_pipeline`).
        """
        placement, folder = placement or Placement(), model_folder(name_or_path, revision)
        _check_own(folder, placement)
        device, dtype = check_device(placement.device), torch_dtype(placement)
        config = PigeonConfig.load(folder)
        text, parts = TextTokenizer.load(folder / "tokenizer.json"), untrained_parts(config)
        for name, part in parts.modules().items():
            load_weights(part, folder / f"{name}.safetensors")
            part.to(device, dtype)
        return cls(config, parts, text, batch_size, placement)

    def save_pretrained(self, path: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Writes `config.json`, `tokenizer.json`, one safetensors file per part, and a card."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(self.config.model_dump_json(indent=2) + "\n", "utf-8")
        self.text.save(folder / "tokenizer.json")
        for name, part in self.parts().items():
            weights = {
                k: (v.to(dtype) if v.is_floating_point() else v).contiguous()
                for k, v in saved_weights(part, self.config).items()
            }
            save_file(weights, folder / f"{name}.safetensors")
        write_card(folder, CardFacts())

    def push_to_hub(
        self,
        repository: str,
        *,
        branch: str | None = None,
        private: bool | None = None,
        license: str = "other",  # noqa: A002 - as the Hub names it
    ) -> HubModel:
        """Saves this pipeline and uploads it to the Hugging Face Hub.

        A scorer is no part of a pipeline: for a model that nights use, upload its folder with
        `pigeon_rec.model.hub.push_folder` or `pigeon-rec model push`.

        Args:
            repository: `owner/name`; created if it is missing.
            branch: Branch to commit to; None for the default one.
            private: Whether a repository that is created here is private.
            license: Licence of the weights for the card.

        Returns:
            The model at the new commit.

        Raises:
            ModelError: As `push_folder`.
        """
        with TemporaryDirectory() as temporary:
            folder = Path(temporary, self.config.name)
            self.save_pretrained(folder)
            write_card(folder, CardFacts(license=license))
            return push_folder(folder, repository, branch=branch, private=private)

    @property
    def image_shape(self) -> tuple[int, int]:
        side = self.config.tokenizer.image_size
        return side, side

    def decode(self, codes: Tensor, keep: Tensor | None = None) -> DecoderOutput:
        """As `BasePipeline.decode`; a masked code leaves its place empty."""
        present = codes != NO_CODE if keep is None else (codes != NO_CODE) & (keep > 0.5)
        vectors = self.tokenizer.quantize.embedding(codes.clamp(min=0))
        return self.decoder(vectors, present)

    def masks(
        self,
        history: Tensor,
        reference: Tensor,
        keys: Sequence[str],
        history_ratio: float,
        reference_ratios: Sequence[float],
    ) -> tuple[Tensor, Tensor]:
        relevance = self.personalisation.relevance(history, reference)
        shared = gumbel_noise(keys, "mask", (history[0].numel(),))
        masks = []
        for ratio in reference_ratios:
            candidates = [candidate_key(key, ratio) for key in keys]
            own = gumbel_noise(candidates, "mask", (reference.shape[1],))
            noise = torch.cat([shared, own], dim=1).to(self.device)
            masks.append(self.personalisation.keep(relevance, history_ratio, ratio, noise))
        return masks[0][0], torch.stack([kept for _, kept in masks])


def _check_own(folder: Path, placement: Placement) -> None:
    if is_published(folder):
        raise ModelError(
            "the folder has the published layout",
            location=str(folder),
            remedy="Load it with pigeon_rec.model.loading.load_pipeline",
        )
    if placement.memory is not None or placement.quantisation is not None:
        raise ModelError(
            "only a published model can be spread over devices or quantised",
            location=str(folder),
            remedy="Leave `memory` and `quantisation` out of the placement",
        )
