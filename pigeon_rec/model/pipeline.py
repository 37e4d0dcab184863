"""Pigeon end to end: history, reference and text in, personalised images out.

Tokenise (once per image) -> mask history and reference -> decode and adapt the reference -> write
visual tokens -> decode them -> render by diffusion (paper, figure 2). Every random draw is keyed
by the caller, and batches have one fixed shape, so an image's bytes depend on its own inputs only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from pigeon_rec.config import GenerationConfig
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.errors import ModelError
from pigeon_rec.model._inputs import check_history_texts, check_inputs, check_text
from pigeon_rec.model.arrays import fixed_batches, to_levels, to_pixels
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.image_generator import ImageGenerator
from pigeon_rec.model.instruction import write_texts
from pigeon_rec.model.merging import Instruction
from pigeon_rec.model.output import PigeonOutput
from pigeon_rec.model.parts import PigeonParts, load_weights, saved_weights, untrained_parts
from pigeon_rec.model.paths import is_published, model_folder
from pigeon_rec.model.personalisation import InstructionTexts, Personalisation
from pigeon_rec.model.placing import check_device, torch_dtype
from pigeon_rec.model.prefix import ReadPrefix, read_prefix
from pigeon_rec.model.randomness import gumbel_noise, normal_noise
from pigeon_rec.model.sampling import sample_codes
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.model.tokenizer_decoder import DecoderOutput, TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import NO_CODE, VisualTokenizer
from pigeon_rec.placement import Placement

__all__ = [
    "PigeonOutput",
    "PigeonPipeline",
    "candidate_key",
]

_BATCH = 8
"""Requests of one batch, with all their candidates: more are no faster on a CPU, take more memory,
and waste more where fewer are asked for."""


def candidate_key(key: str, ratio: float) -> str:
    """The key of all randomness of one request at one reference mask ratio."""
    return f"{key}/{ratio}"


class PigeonPipeline:
    """All trained parts of one Pigeon model, and the text tokenizer.

    Args:
        config: Sizes the parts were built with.
        tokenizer: Images to codes.
        decoder: Codes to prompt embeddings.
        personalisation: Language model, mask generator and adapter.
        generator: Prompt embeddings to images.
        text: Text tokenizer.
        batch_size: Requests of one batch of arithmetic; short batches are filled up to it. Sums of
            another shape are taken in another order, so another size may move a pixel by one
            level: it belongs to the model, not to how many pictures are asked for at once.
        placement: Where the parts live already, and the type of their weights.
    """

    defaults: ClassVar[GenerationConfig] = GenerationConfig()
    """Settings where a caller gives none."""

    def __init__(
        self,
        config: PigeonConfig,
        tokenizer: VisualTokenizer,
        decoder: TokenizerDecoder,
        personalisation: Personalisation,
        generator: ImageGenerator,
        text: TextTokenizer,
        batch_size: int = _BATCH,
        placement: Placement | None = None,
    ) -> None:
        check_text(text, config)
        self.config = config
        self.tokenizer = tokenizer.eval()
        self.decoder = decoder.eval()
        self.personalisation = personalisation.eval()
        self.generator = generator.eval()
        self.text = text
        self.batch_size = batch_size
        self._settle(placement or Placement())

    def _settle(self, placement: Placement) -> None:
        """Notes where the parts live: what they read has to be there, and of their type."""
        self.placement = placement
        self.device, self.dtype = check_device(placement.device), torch_dtype(placement)

    @classmethod
    def from_config(cls, config: PigeonConfig, text: TextTokenizer) -> PigeonPipeline:
        """A pipeline with fresh, untrained weights."""
        return cls(config, *untrained_parts(config), text)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        batch_size: int = _BATCH,
        placement: Placement | None = None,
    ) -> PigeonPipeline:
        """Loads a bundled model by name, or a saved or published one by folder.

        A published folder is LaVIT's with Pigeon's checkpoint in it; see `load_published`.

        Args:
            name_or_path: The model.
            batch_size: Requests of one batch of arithmetic.
            placement: Where and in which numbers it computes; float32 on the CPU by default.

        Raises:
            ModelError: A file is missing, weights and configuration do not fit, or the placement is
                not possible on this machine or with this model.
        """
        placement = placement or Placement()
        folder = model_folder(name_or_path)
        if is_published(folder):
            from pigeon_rec.model.published.load import load_published

            return load_published(folder, batch_size=batch_size, placement=placement)
        if placement.memory is not None or placement.quantisation is not None:
            raise ModelError(
                "only a published model is spread over devices or quantised",
                location=str(folder),
                remedy="Leave `memory` and `quantisation` out of the placement",
            )
        try:
            config = PigeonConfig.model_validate_json((folder / "config.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(
                f"the model's config.json is unusable: {error}", location=str(folder)
            ) from error
        pipeline = cls.from_config(config, TextTokenizer.load(folder / "tokenizer.json"))
        for name, part in pipeline.parts().items():
            load_weights(part, folder / f"{name}.safetensors")
        pipeline.batch_size = batch_size
        pipeline._settle(placement)
        for part in pipeline.parts().values():
            part.to(pipeline.device, pipeline.dtype)
        return pipeline

    def save_pretrained(self, path: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Writes `config.json`, `tokenizer.json` and one safetensors file per part."""
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

    def parts(self) -> dict[str, nn.Module]:
        """The trained parts by file name."""
        parts = PigeonParts(self.tokenizer, self.decoder, self.personalisation, self.generator)
        return parts.by_file()

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of a drawn picture."""
        side = self.config.tokenizer.image_size
        return side, side

    @torch.inference_mode()
    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """uint8 `[n, H, W, 3]` -> code rows int64 `[n, P]`, `NO_CODE` where a list is shorter."""
        codes = np.full((len(images), self.config.tokenizer.patches), NO_CODE, dtype=np.int64)
        for rows in fixed_batches(len(images), self.batch_size):
            pixels = to_pixels(images[rows]).to(self.device, self.dtype)
            ids = self.tokenizer.encode(pixels).ids.cpu().numpy()
            codes[rows, : ids.shape[1]] = ids
        return codes

    def decode(self, codes: Tensor, keep: Tensor | None = None) -> DecoderOutput:
        """Code rows `[B, P]` -> prompt embeddings; `keep [B, P]` masks codes in their places."""
        present = codes != NO_CODE if keep is None else (codes != NO_CODE) & (keep > 0.5)
        vectors = self.tokenizer.quantize.embedding(codes.clamp(min=0))
        return self.decoder(vectors, present)

    def __call__(
        self,
        history: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        targets: Sequence[str],
        *,
        keys: Sequence[str],
        settings: GenerationConfig | None = None,
        scenario: str = "sticker",
        history_texts: Sequence[Sequence[str]] | None = None,
    ) -> PigeonOutput:
        """Draws each user's picture of each reference.

        Args:
            history: uint8 `[B, images, H, W, 3]`, the user's interacted items.
            reference: uint8 `[B, H, W, 3]`, the picture everyone else sees.
            targets: Text of each reference (see `PromptTemplate.target`).
            keys: One string per row; all randomness of a row derives from it.
            settings: Mask ratios, sampling and diffusion steps.
            scenario: Instruction template.
            history_texts: Text before each history picture (see `PromptTemplate.history`), for
                scenarios that have one.

        Raises:
            ModelError: Shapes do not agree with each other or with the model.
        """
        check_inputs(self.config, history, reference, targets, keys)
        patches = self.config.tokenizer.patches
        flat = history.reshape(-1, *history.shape[2:])
        history_codes = self.encode_images(flat).reshape(*history.shape[:2], patches)
        return self.generate(
            history_codes,
            self.encode_images(reference),
            targets,
            keys=keys,
            settings=settings,
            scenario=scenario,
            history_texts=history_texts,
        )

    @torch.inference_mode()
    def generate(
        self,
        history: NDArray[np.int64],
        reference: NDArray[np.int64],
        targets: Sequence[str],
        *,
        keys: Sequence[str],
        settings: GenerationConfig | None = None,
        scenario: str = "sticker",
        history_texts: Sequence[Sequence[str]] | None = None,
    ) -> PigeonOutput:
        """As `__call__`, from code rows: `history [B, images, P]`, `reference [B, P]`."""
        settings = settings or self.defaults
        prompt, ratios = load_prompt(scenario), tuple(settings.mask_ratios)
        codes = self._write_all(history, reference, targets, keys, settings, prompt, history_texts)
        images = self.render_candidates(codes, keys, settings)
        return PigeonOutput(images, codes, ratios, prompt.aspect)

    @torch.inference_mode()
    def write(
        self,
        history: NDArray[np.int64],
        reference: NDArray[np.int64],
        targets: Sequence[str],
        *,
        keys: Sequence[str],
        settings: GenerationConfig | None = None,
        scenario: str = "sticker",
        history_texts: Sequence[Sequence[str]] | None = None,
    ) -> NDArray[np.int64]:
        """The first half of `generate`: visual tokens int64 `[B, ratios, P]`, nothing rendered."""
        settings, prompt = settings or self.defaults, load_prompt(scenario)
        return self._write_all(history, reference, targets, keys, settings, prompt, history_texts)

    def _write_all(
        self,
        history: NDArray[np.int64],
        reference: NDArray[np.int64],
        targets: Sequence[str],
        keys: Sequence[str],
        settings: GenerationConfig,
        prompt: PromptTemplate,
        history_texts: Sequence[Sequence[str]] | None,
    ) -> NDArray[np.int64]:
        check_history_texts(prompt, history_texts, (len(history), history.shape[1]))
        sizes = self.config.language_model
        shape = (len(keys), len(settings.mask_ratios), self.config.tokenizer.patches)
        codes = np.zeros(shape, dtype=np.int64)
        for rows in fixed_batches(len(keys), self.batch_size):
            written = self._write(
                torch.from_numpy(history[rows]).to(self.device),
                torch.from_numpy(reference[rows]).to(self.device),
                write_texts(
                    prompt,
                    self.text,
                    [targets[i] for i in rows],
                    sizes,
                    None if history_texts is None else [history_texts[i] for i in rows],
                ).to(self.device),
                [keys[i] for i in rows],
                settings,
            )
            codes[rows] = written.cpu().numpy()
        return codes

    @property
    def has_previews(self) -> bool:
        """Whether `preview` can be asked for; published decoders have no head for it."""
        return self.config.decoder.preview_patch > 0

    @torch.inference_mode()
    def preview(self, codes: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Code rows int64 `[..., P]` as rough images uint8 `[..., H, W, 3]`, without diffusion.

        They cost a thirtieth of a rendered image and show what it will be. One by one, as `render`.

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
        """Draws code rows int64 `[n, P]` as images uint8 `[n, H, W, 3]`.

        One by one: the last bits of a convolution depend on the row in a batch, and a pixel may
        round either way by them. Codes are whole numbers and do not mind.

        Args:
            codes: Visual tokens of each image.
            keys: `candidate_key` of each, for its noise.
            settings: Diffusion steps and guidance.
        """
        images = np.zeros((len(keys), *self.image_shape, 3), dtype=np.uint8)
        for row, key in enumerate(keys):
            decoded = self.decode(torch.from_numpy(codes[row : row + 1]).to(self.device))
            noise = normal_noise([key], "diffusion", self.generator.latent_shape)
            drawn = self.generator(
                decoded, noise.to(self.device), settings.diffusion_steps, settings.render_guidance
            )
            images[row] = drawn[0].cpu().numpy()
        return images

    def render_candidates(
        self,
        codes: NDArray[np.int64],
        keys: Sequence[str],
        settings: GenerationConfig,
        places: NDArray[np.int64] | None = None,
    ) -> NDArray[np.uint8]:
        """The second half of `generate`: pictures of what `write` wrote with the same settings.

        Args:
            codes: `[B, ratios, P]`.
            keys: One per request.
            settings: As they were written with.
            places: Ratios to render of each request, int64 `[B, n]`; None renders all.

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

    def masks(
        self,
        history: Tensor,
        reference: Tensor,
        keys: Sequence[str],
        history_ratio: float,
        reference_ratios: Sequence[float],
    ) -> tuple[Tensor, Tensor]:
        """Keep decisions as `Personalisation.masks`, each row's noise drawn for its key alone.

        The history's do not depend on the reference's ratio: all candidates of a request share
        them, and what both are drawn from is scored once.

        Args:
            history: int64 code rows `[B, images, P]`.
            reference: int64 code rows `[B, P]`.
            keys: One per request.
            history_ratio: Share of history codes to mask.
            reference_ratios: Shares of reference codes to mask, at least one.

        Returns:
            History keep `[B, images, P]`, and reference keep `[ratios, B, P]`.
        """
        relevance = self.personalisation.relevance(history, reference)
        past = gumbel_noise(keys, "mask", (history[0].numel(),))
        masks = []
        for ratio in reference_ratios:
            candidates = [candidate_key(key, ratio) for key in keys]
            own = gumbel_noise(candidates, "mask", (reference.shape[1],))
            noise = torch.cat([past, own], dim=1).to(self.device)
            masks.append(self.personalisation.keep(relevance, history_ratio, ratio, noise))
        return masks[0][0], torch.stack([kept for _, kept in masks])

    def _write(
        self,
        history: Tensor,
        reference: Tensor,
        texts: InstructionTexts,
        keys: Sequence[str],
        settings: GenerationConfig,
    ) -> Tensor:
        """One batch at all mask ratios -> codes int64 `[B, ratios, P]`."""
        keep_history, keep = self.masks(
            history, reference, keys, settings.history_mask_ratio, settings.mask_ratios
        )
        # All before the reference is read once: it is the same at every ratio.
        begun = self.personalisation.instruct_beginning(texts, history, keep_history)
        written = self._write_on(
            read_prefix(self.personalisation, begun),
            self.personalisation.instruct_rest(texts),
            reference,
            keep,
            [candidate_key(key, ratio) for ratio in settings.mask_ratios for key in keys],
            settings,
        )
        return written.view(*keep.shape[:2], -1).transpose(0, 1)

    def _write_on(
        self,
        prefix: ReadPrefix,
        rest: Instruction,
        reference: Tensor,
        keep: Tensor,
        keys: Sequence[str],
        settings: GenerationConfig,
    ) -> Tensor:
        """Candidates `[ratios * B, P]` of references `[B, P]` that `keep [ratios, B, P]` masks."""
        scale = settings.language_guidance
        if scale != 1.0:
            # What all of a request are guided away from: the reference masked away.
            keep = torch.cat([keep, torch.zeros_like(keep[:1])])
        ways, keep = len(keep), keep.flatten(0, 1)
        reference = reference.repeat(ways, 1)
        decoded = self.decode(reference, keep)
        best = min(settings.top_k, 1 + self.config.tokenizer.codebook_size)
        return sample_codes(
            self.personalisation,
            _repeated(rest, ways),
            self.personalisation.adapter(decoded),
            gumbel_noise(keys, "tokens", (self.config.tokenizer.patches, best)).to(self.device),
            settings.temperature,
            self.personalisation.guides(decoded, reference, keep),
            scale,
            prefix,
        )


def _repeated(instruction: Instruction, times: int) -> Instruction:
    """All rows, so many times."""
    parts = (instruction.ids, instruction.gate, instruction.attention)
    return Instruction(*(part.repeat(times, 1) for part in parts))
