"""What both pipelines share: batches of one shape, keyed noise, and the steps of drawing.

Encode images as codes -> mask history and reference -> decode and adapt the masked reference ->
write visual tokens -> render them by diffusion (paper, figure 2). All randomness is derived from
the caller's keys and batches have one shape, so an image's bytes depend on its own request only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Generic, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pigeon_rec.config import GenerationConfig
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.model._inputs import check_history_texts, check_inputs, check_text
from pigeon_rec.model.arrays import fixed_batches, to_levels, to_pixels
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.instruction import write_texts
from pigeon_rec.model.merging import Instruction
from pigeon_rec.model.output import PigeonOutput
from pigeon_rec.model.parts import Generator, Parts
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.placing import check_device, torch_dtype
from pigeon_rec.model.prefix import ReadPrefix, read_prefix
from pigeon_rec.model.randomness import gumbel_noise, normal_noise
from pigeon_rec.model.requests import CodedRequests, candidate_key
from pigeon_rec.model.sampling import WritingPrompt, sample_codes
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.model.tokenizer_decoder import DecoderOutput, TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import NO_CODE, VisualTokenizer
from pigeon_rec.placement import Placement

__all__ = ["BATCH_SIZE", "BasePipeline"]

BATCH_SIZE = 8
"""Requests per batch, with all their candidates: larger batches are no faster on a CPU, take more
memory, and waste more where fewer requests are left."""


class BasePipeline(ABC, Generic[Generator]):
    """Trained parts, text tokenizer and placement; subclasses mask and decode codes.

    Args:
        config: Sizes the parts were built with.
        parts: Trained modules; they already are on the placement's device, in its dtype.
        text: Text tokenizer.
        batch_size: Requests per batch; a short batch is padded to it. Sums of another shape are
            taken in another order, so another size may change a pixel by one level: it belongs to
            the model, not to the number of requests.
        placement: Device and dtype of the parts; float32 on the CPU by default.

    Raises:
        ModelError: The text tokenizer does not fit the model, or the device does not exist.
    """

    defaults: ClassVar[GenerationConfig] = GenerationConfig()

    def __init__(
        self,
        config: PigeonConfig,
        parts: Parts[Generator],
        text: TextTokenizer,
        batch_size: int = BATCH_SIZE,
        placement: Placement | None = None,
    ) -> None:
        check_text(text, config)
        self.config = config
        self.tokenizer: VisualTokenizer = parts.tokenizer.eval()
        self.decoder: TokenizerDecoder = parts.decoder.eval()
        self.personalisation: Personalisation = parts.personalisation.eval()
        self.generator: Generator = parts.generator.eval()
        self.text = text
        self.batch_size = batch_size
        self.placement = placement or Placement()
        self.device = check_device(self.placement.device)
        self.dtype = torch_dtype(self.placement)

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int]:
        """Height and width of a rendered image."""

    @abstractmethod
    def masks(
        self,
        history: Tensor,
        reference: Tensor,
        keys: Sequence[str],
        history_ratio: float,
        reference_ratios: Sequence[float],
    ) -> tuple[Tensor, Tensor]:
        """Draws keep decisions (1 keep, 0 masked); the noise of a row depends on its key alone.

        The history's mask does not depend on the reference's ratio: all candidates of a request
        share it, and codes are scored once for all of them.

        Args:
            history: int64 code rows `[B, images, P]`.
            reference: int64 code rows `[B, P]`.
            keys: One per request.
            history_ratio: Share of history codes to mask, 0 to 1.
            reference_ratios: Shares of reference codes to mask, at least one.

        Returns:
            Keep decisions of the history `[B, images, P]` and the reference `[ratios, B, P]`.
        """

    @abstractmethod
    def decode(self, codes: Tensor, keep: Tensor | None = None) -> DecoderOutput:
        """Code rows `[B, P]` -> prompt embeddings; `keep [B, P]` is 0 at masked codes."""

    def parts(self) -> dict[str, nn.Module]:
        """Returns the trained parts by name; a saved model has one file for each."""
        return self._parts().modules()

    def with_parts(self, **parts: nn.Module) -> Self:
        """Returns a pipeline of the same class with some parts replaced.

        Placement, batch size and all other parts are this pipeline's; nothing is copied.

        Args:
            parts: `tokenizer`, `decoder`, `personalisation` or `generator`.
        """
        changed: Parts[Generator] = replace(self._parts(), **parts)  # type: ignore[arg-type]
        return type(self)(self.config, changed, self.text, self.batch_size, self.placement)

    def _parts(self) -> Parts[Generator]:
        return Parts(self.tokenizer, self.decoder, self.personalisation, self.generator)

    @torch.inference_mode()
    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """uint8 `[n, H, W, 3]` -> code rows int64 `[n, P]`, padded right with `NO_CODE`."""
        codes = np.full((len(images), self.config.tokenizer.patches), NO_CODE, dtype=np.int64)
        for rows in fixed_batches(len(images), self.batch_size):
            pixels = to_pixels(images[rows]).to(self.device, self.dtype)
            ids = self.tokenizer.encode(pixels).ids.cpu().numpy()
            codes[rows, : ids.shape[1]] = ids
        return codes

    def __call__(  # noqa: PLR0913 - the public call on pixels, as pipelines of the field have it
        self,
        history: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        targets: Sequence[str],
        *,
        keys: Sequence[str],
        settings: GenerationConfig | None = None,
        scenario: str | PromptTemplate = "sticker",
        history_texts: Sequence[Sequence[str]] | None = None,
    ) -> PigeonOutput:
        """Draws all candidates of each request, given as pixels.

        Args:
            history: uint8 `[B, images, H, W, 3]`, the user's interacted items.
            reference: uint8 `[B, H, W, 3]`, the item's image.
            targets: As in `CodedRequests`.
            keys: As in `CodedRequests`.
            settings: Mask ratios, sampling and diffusion steps; `defaults` if not given.
            scenario: As in `CodedRequests`.
            history_texts: As in `CodedRequests`.

        Raises:
            ModelError: Shapes do not agree with each other or with the model.
        """
        check_inputs(self.config, history, reference, targets, keys)
        codes = self.encode_images(history.reshape(-1, *history.shape[2:]))
        requests = CodedRequests(
            codes.reshape(*history.shape[:2], self.config.tokenizer.patches),
            self.encode_images(reference),
            targets,
            keys,
            scenario,
            history_texts,
        )
        return self.generate(requests, settings)

    @torch.inference_mode()
    def generate(
        self, requests: CodedRequests, settings: GenerationConfig | None = None
    ) -> PigeonOutput:
        """Writes and renders all candidates of each request."""
        settings, prompt = settings or self.defaults, load_prompt(requests.scenario)
        codes = self._write(requests, prompt, settings)
        images = self.render_candidates(codes, requests.keys, settings)
        return PigeonOutput(images, codes, tuple(settings.mask_ratios), prompt.aspect)

    @torch.inference_mode()
    def write(
        self, requests: CodedRequests, settings: GenerationConfig | None = None
    ) -> NDArray[np.int64]:
        """Writes the visual tokens of all candidates, int64 `[B, ratios, P]`."""
        return self._write(requests, load_prompt(requests.scenario), settings or self.defaults)

    @property
    def has_previews(self) -> bool:
        """Whether the decoder has a head for `preview`; published decoders have none."""
        return self.config.decoder.preview_patch > 0

    @torch.inference_mode()
    def preview(self, codes: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Code rows int64 `[..., P]` -> rough images uint8 `[..., H, W, 3]`, without diffusion.

        A preview costs a thirtieth of a rendering and resembles it. Images are made one by one, as
        in `render`.

        Raises:
            ValueError: The decoder has no preview head (`has_previews`).
        """
        images = np.zeros((*codes.shape[:-1], *self.image_shape, 3), dtype=np.uint8)
        for row in np.ndindex(codes.shape[:-1]):
            decoded = self.decode(torch.from_numpy(codes[row][None]).to(self.device))
            images[row] = to_levels(self.decoder.preview(decoded))[0].cpu().numpy()
        return images

    @torch.inference_mode()
    def render(
        self, codes: NDArray[np.int64], keys: Sequence[str], settings: GenerationConfig
    ) -> NDArray[np.uint8]:
        """Renders code rows int64 `[n, P]` as images uint8 `[n, H, W, 3]`.

        Images are rendered one by one: the last bits of a convolution depend on the row in the
        batch, and may decide how a pixel is rounded. Noise depends on the image's `candidate_key`.
        """
        images = np.zeros((len(keys), *self.image_shape, 3), dtype=np.uint8)
        for row, key in enumerate(keys):
            decoded = self.decode(torch.from_numpy(codes[row : row + 1]).to(self.device))
            noise = normal_noise([key], "diffusion", self.generator.latent_shape)
            rendered = self.generator(
                decoded, noise.to(self.device), settings.diffusion_steps, settings.render_guidance
            )
            images[row] = rendered[0].cpu().numpy()
        return images

    def render_candidates(
        self,
        codes: NDArray[np.int64],
        keys: Sequence[str],
        settings: GenerationConfig,
        places: NDArray[np.int64] | None = None,
    ) -> NDArray[np.uint8]:
        """Renders candidates that `write` wrote with the same settings.

        Args:
            codes: int64 `[B, ratios, P]`.
            keys: One per request.
            settings: As given to `write`.
            places: Which mask ratios of each request to render, int64 `[B, n]`; all by default.

        Returns:
            uint8 `[B, n, H, W, 3]`.
        """
        if places is None:
            places = np.broadcast_to(np.arange(codes.shape[1]), codes.shape[:2])
        chosen = np.take_along_axis(codes, places[..., None], axis=1)
        candidates = [
            candidate_key(key, settings.mask_ratios[place])
            for key, some in zip(keys, places, strict=True)
            for place in some
        ]
        images = self.render(chosen.reshape(-1, chosen.shape[-1]), candidates, settings)
        return images.reshape(*places.shape, *images.shape[1:])

    def _write(
        self, requests: CodedRequests, prompt: PromptTemplate, settings: GenerationConfig
    ) -> NDArray[np.int64]:
        check_history_texts(prompt, requests)
        shape = (len(requests), len(settings.mask_ratios), self.config.tokenizer.patches)
        codes = np.zeros(shape, dtype=np.int64)
        for rows in fixed_batches(len(requests), self.batch_size):
            written = self._write_batch(requests.rows(rows), prompt, settings)
            codes[rows] = written.cpu().numpy()
        return codes

    def _write_batch(
        self, requests: CodedRequests, prompt: PromptTemplate, settings: GenerationConfig
    ) -> Tensor:
        """One batch at all mask ratios -> codes int64 `[B, ratios, P]`."""
        history, reference = (
            torch.from_numpy(codes).to(self.device)
            for codes in (requests.history, requests.reference)
        )
        sizes = self.config.language_model
        texts = write_texts(prompt, self.text, requests.targets, sizes, requests.history_texts)
        texts = texts.to(self.device)
        keep_history, keep = self.masks(
            history, reference, requests.keys, settings.history_mask_ratio, settings.mask_ratios
        )
        keeps = [keep_history]
        if settings.history_guidance != 1.0:
            keeps.append(torch.zeros_like(keep_history))
        # History and target text are read once: they are the same at every ratio.
        beginnings = [self.personalisation.instruct_beginning(texts, history, k) for k in keeps]
        written = self._write_candidates(
            [read_prefix(self.personalisation, beginning) for beginning in beginnings],
            self.personalisation.instruct_rest(texts),
            reference,
            keep,
            [candidate_key(key, ratio) for ratio in settings.mask_ratios for key in requests.keys],
            settings,
        )
        return written.view(*keep.shape[:2], -1).transpose(0, 1)

    def _write_candidates(
        self,
        prefixes: Sequence[ReadPrefix],
        rest: Instruction,
        reference: Tensor,
        keep: Tensor,
        keys: Sequence[str],
        settings: GenerationConfig,
    ) -> Tensor:
        """References `[B, P]`, masked by `keep [ratios, B, P]` -> candidates `[ratios * B, P]`.

        `prefixes` are the beginnings, and the same without the history for guidance on it.
        """
        scales = settings.language_guidance, settings.history_guidance
        if scales != (1.0, 1.0):
            # The unconditional rows of all candidates: the reference masked away.
            keep = torch.cat([keep, torch.zeros_like(keep[:1])])
        ways, keep = len(keep), keep.flatten(0, 1)
        reference = reference.repeat(ways, 1)
        decoded = self.decode(reference, keep)
        best = min(settings.top_k, 1 + self.config.tokenizer.codebook_size)
        noise = gumbel_noise(keys, "tokens", (self.config.tokenizer.patches, best))
        return sample_codes(
            self.personalisation,
            WritingPrompt(
                _repeated(rest, ways),
                self.personalisation.adapter(decoded),
                self.personalisation.aligned_embeddings(decoded, reference, keep),
                *prefixes,
            ),
            noise.to(self.device),
            settings.temperature,
            *scales,
        )


def _repeated(instruction: Instruction, times: int) -> Instruction:
    parts = (instruction.ids, instruction.gate, instruction.attention)
    return Instruction(*(part.repeat(times, 1) for part in parts))
