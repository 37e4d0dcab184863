"""The language model that writes a user's visual tokens (paper section 3.3).

Instruction: task text, masked history codes (each image after its own text, if any), target text,
reference tokens, response text, image start. Masked codes enter as zero embeddings; reference
tokens are the masked reference image after tokenizer decoder and adapter. The model then writes
code ids.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from pigeon_rec.model.configuration import AdapterConfig, LanguageModelConfig, PigeonConfig
from pigeon_rec.model.mask_generator import HISTORY, TARGET, MaskGenerator, MaskScores
from pigeon_rec.model.merging import Instruction, merge_images
from pigeon_rec.model.tokenizer_decoder import DecoderOutput
from pigeon_rec.model.tokens import REFERENCE, ImageTokens, Vocabulary
from pigeon_rec.model.visual_tokenizer import NO_CODE

__all__ = [
    "Instruction",
    "InstructionTexts",
    "Personalisation",
    "ReferenceAdapter",
    "Relevance",
    "Vocabulary",
]


@dataclass(frozen=True)
class InstructionTexts:
    """Token ids of the text around the images.

    Attributes:
        prefix: int64 `[Lp]`, the same for every sample.
        target: int64 `[B, Lt]`, padded.
        target_mask: bool `[B, Lt]`, False at padding.
        response: int64 `[Lr]`, the same for every sample.
        history: int64 `[B, images, Lh]`, padded: text before each history image, such as its title;
            None if there is none.
        history_mask: bool `[B, images, Lh]`; None if `history` is.
    """

    prefix: Tensor
    target: Tensor
    target_mask: Tensor
    response: Tensor
    history: Tensor | None = None
    history_mask: Tensor | None = None

    def to(self, device: torch.device) -> InstructionTexts:
        """Returns the same ids on a device."""
        moved = {name: ids.to(device) for name, ids in vars(self).items() if ids is not None}
        return InstructionTexts(**moved)


@dataclass(frozen=True)
class Relevance:
    """Relevance of the codes of histories and references, one row per request.

    Attributes:
        scores: Scores of all codes, `[B, images * P + P]`.
        types: Token types int64 `[B, images * P + P]`.
        history: Shape of the histories, `[B, images, P]`.
    """

    scores: MaskScores
    types: Tensor
    history: torch.Size


class ReferenceAdapter(nn.Module):
    """Prompt embeddings of the reference to reference tokens (linear, linear, tanh)."""

    def __init__(self, prompt_width: int, hidden: int, config: AdapterConfig) -> None:
        super().__init__()
        self.tokens = config.reference_tokens
        self.encoder = nn.Linear(prompt_width, config.hidden)
        self.decoder = nn.Linear(config.hidden, hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, decoded: DecoderOutput) -> Tensor:
        """Prompts `[B, queries, prompt_width]` -> `[B, reference_tokens, hidden]`.

        A single token is the mean over all queries, as published.
        """
        x = self.dropout(self.encoder(_tile_means(decoded.prompt, self.tokens)))
        return torch.as_tensor(self.dropout(torch.tanh(self.decoder(x))))


def _tile_means(prompt: Tensor, tiles: int) -> Tensor:
    """Means over the tiles of the query grid: `[B, Q, D]` -> `[B, tiles, D]`, row by row."""
    side, across = round(prompt.shape[1] ** 0.5), round(tiles**0.5)
    if side == across:
        return prompt
    grid = prompt.unflatten(1, (across, side // across, across, side // across))
    return grid.mean((2, 4)).flatten(1, 2)


class AlignedReference(nn.Module):
    """The reference at each place of the patch grid, added where the code there is written."""

    def __init__(self, prompt_width: int, hidden: int, places: int) -> None:
        super().__init__()
        self.proj = nn.Linear(prompt_width, hidden)
        self.mix = nn.Linear(hidden, hidden, bias=False)
        self.places = nn.Parameter(torch.randn(1, places, hidden) * 0.02)
        # Starts as the embedding of the reference's code, near which lie the codes most like it.
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)
        nn.init.eye_(self.mix.weight)

    def forward(self, decoded: DecoderOutput, codes: Tensor) -> Tensor:
        """Prompts and code embeddings `[B, places, hidden]` -> `[B, places, hidden]`."""
        return torch.as_tensor(self.proj(decoded.prompt) + self.mix(codes) + self.places)


class Personalisation(nn.Module):
    """Language model, mask generator and reference adapter."""

    def __init__(self, config: PigeonConfig) -> None:
        super().__init__()
        sizes = config.language_model
        self.vocabulary = Vocabulary(sizes.text_vocabulary, config.tokenizer.codebook_size)
        self.tied = sizes.tie_embeddings
        self.fixed_length = config.tokenizer.keep == "all"
        self.language_model = LlamaForCausalLM(_llama_config(sizes, self.vocabulary))
        self.mask_generator = MaskGenerator(sizes.hidden, config.mask_generator)
        width, places = config.decoder.prompt_width, config.decoder.queries
        self.adapter = ReferenceAdapter(width, sizes.hidden, config.adapter)
        aligned = config.adapter.aligned
        self.aligned = AlignedReference(width, sizes.hidden, places) if aligned else None

    def token_embeddings(self, ids: Tensor) -> Tensor:
        """Embeds ids int64 `[...]` -> `[..., hidden]`."""
        return torch.as_tensor(self.language_model.get_input_embeddings()(ids))

    def masks(
        self,
        history: Tensor,
        reference: Tensor,
        history_ratio: float,
        reference_ratio: float,
        gumbel: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Draws keep decisions for history and reference codes.

        Args:
            history: int64 code rows `[B, images, P]`, padded with `NO_CODE`.
            reference: int64 code rows `[B, P]`.
            history_ratio: Share of history codes to mask.
            reference_ratio: Share of reference codes to mask.
            gumbel: Gumbel noise `[B, images * P + P]`.

        Returns:
            History keep `[B, images, P]` and reference keep `[B, P]`, 0/1, straight-through;
            without gradient where the mask generator is `published`.
        """
        relevance = self.relevance(history, reference)
        return self.keep(relevance, history_ratio, reference_ratio, gumbel)

    def relevance(self, history: Tensor, reference: Tensor) -> Relevance:
        """Scores codes, for masks of any ratio; arguments as of `masks`."""
        codes = torch.cat([history, reference.unsqueeze(1)], dim=1)  # [B, images + 1, P]
        types = torch.full_like(codes, HISTORY)
        types[:, -1] = TARGET
        types = types.masked_fill(codes == NO_CODE, 0).flatten(1)
        places = torch.arange(1, codes.shape[-1] + 1, device=codes.device).expand_as(codes)
        places = places.flatten(1).masked_fill(types == 0, 0)
        ids = (codes.flatten(1) + self.vocabulary.first_code).clamp(min=0)
        scores = self.mask_generator(self.token_embeddings(ids), places, types)
        return Relevance(scores, types, history.shape)

    def keep(
        self, relevance: Relevance, history_ratio: float, reference_ratio: float, gumbel: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `masks`, for codes that have been scored."""
        generator, scores, types = self.mask_generator, relevance.scores, relevance.types
        kept_history = generator.keep_history(scores, types, history_ratio, gumbel)
        kept_reference = generator.keep_target(scores, types, reference_ratio, gumbel)
        keep = generator.decisions(kept_history + kept_reference)
        split = relevance.history[1:].numel()
        return keep[:, :split].view(relevance.history), keep[:, split:]

    def instruct(
        self, texts: InstructionTexts, history: Tensor, history_keep: Tensor
    ) -> Instruction:
        """Merges text, history codes and reference places into left-padded rows.

        Args:
            texts: Token ids around the images.
            history: int64 code rows `[B, images, P]`, padded with `NO_CODE`.
            history_keep: `[B, images, P]`, 0 where masked.

        Returns:
            Rows of one width, that of full images: all text, `images * P` codes, the reference
            tokens, and image start.

        Raises:
            ValueError: `texts.history` and `history` differ in the number of images.
        """
        images = self._images(texts, history, history_keep)
        begun, rest = self._beginning(texts, images), self._rest(texts)
        text, mask = (torch.cat(parts, 1) for parts in zip(begun, rest, strict=True))
        return self._merge(text, mask, images, history[0].numel())

    def instruct_beginning(
        self, texts: InstructionTexts, history: Tensor, history_keep: Tensor
    ) -> Instruction:
        """The part of `instruct` before the reference: task text, history and target text.

        Keys and values computed from it serve every mask of the reference.
        """
        images = self._images(texts, history, history_keep)
        return self._merge(*self._beginning(texts, images), images, history[0].numel())

    def instruct_rest(self, texts: InstructionTexts) -> Instruction:
        """The other part of `instruct`: reference places, response text, image start."""
        text, mask = self._rest(texts)
        none = ImageTokens.from_rows(text[:, :0], text[:, :0])
        return merge_images(text, mask, none, self.vocabulary, text.shape[1])

    def _images(self, texts: InstructionTexts, history: Tensor, keep: Tensor) -> ImageTokens:
        """The history's images; as one image where no text separates them."""
        if texts.history is None:
            history, keep = (t.flatten(1).unsqueeze(1) for t in (history, keep))
        elif texts.history.shape[1] != history.shape[1]:
            raise ValueError(
                f"there are {texts.history.shape[1]} texts for {history.shape[1]} history images"
            )
        return ImageTokens.from_codes(history, self.vocabulary, keep)

    def _beginning(self, texts: InstructionTexts, images: ImageTokens) -> tuple[Tensor, Tensor]:
        """Task text, places of the images, target text: ids and bool mask, both `[B, L]`."""
        places = images.lengths.new_full((*images.lengths.shape, 1), self.vocabulary.image_start)
        shown = (images.lengths > 0).unsqueeze(2)  # an absent image has no place
        if texts.history is not None and texts.history_mask is not None:
            places = torch.cat([texts.history, places], 2)
            shown = torch.cat([texts.history_mask, shown], 2)
        prefix = texts.prefix.expand(len(texts.target), -1)
        ids = torch.cat([prefix, places.flatten(1), texts.target], 1)
        return ids, torch.cat(
            [torch.ones_like(prefix).bool(), shown.flatten(1), texts.target_mask], 1
        )

    def _rest(self, texts: InstructionTexts) -> tuple[Tensor, Tensor]:
        """Reference places, response text, image start: ids and bool mask, both `[B, L]`."""
        vocabulary = self.vocabulary
        reference = texts.prefix.new_full((self.adapter.tokens,), vocabulary.image_end)
        start = texts.prefix.new_tensor([vocabulary.image_start])
        rest = torch.cat([reference, texts.response, start]).expand(len(texts.target), -1)
        return rest, torch.ones_like(rest).bool()

    def _merge(self, text: Tensor, mask: Tensor, images: ImageTokens, codes: int) -> Instruction:
        """Merges at the width of full images, so that a row does not depend on its neighbours."""
        width = text.shape[1] - images.lengths.shape[1] + codes
        return merge_images(text, mask, images, self.vocabulary, width)

    def embed(self, instruction: Instruction, reference: Tensor) -> Tensor:
        """Input embeddings `[B, M, hidden]`; `reference [B, reference_tokens, hidden]`."""
        embeds = self.token_embeddings(instruction.ids.clamp(min=0))
        embeds = embeds * instruction.gate.unsqueeze(-1).to(embeds.dtype)
        places = (instruction.ids == REFERENCE).unsqueeze(-1)
        return embeds.masked_scatter(places, reference.to(embeds.dtype))

    def aligned_embeddings(
        self, decoded: DecoderOutput, reference: Tensor, keep: Tensor
    ) -> Tensor | None:
        """Returns the reference at each place to be written, `[B, P, hidden]`.

        None for models without `AlignedReference`.

        Args:
            decoded: Prompt embeddings of the masked reference.
            reference: Its code rows int64 `[B, P]`.
            keep: `[B, P]`, 0 where masked; a masked code contributes nothing.
        """
        if self.aligned is None:
            return None
        codes = self.token_embeddings(reference + self.vocabulary.first_code)
        return torch.as_tensor(self.aligned(decoded, codes * keep.unsqueeze(-1).to(codes.dtype)))

    @staticmethod
    def add_aligned(embeds: Tensor, aligned: Tensor | None) -> Tensor:
        """Adds `aligned_embeddings` to an instruction that ends with image start and all P codes.

        The embedding of place i is added to the token before code i, which predicts it.
        """
        if aligned is None:
            return embeds
        before = embeds.shape[1] - aligned.shape[1] - 1
        return embeds + nn.functional.pad(aligned, (0, 0, before, 1)).to(embeds.dtype)

    def code_logits(self, hidden: Tensor) -> Tensor:
        """States `[..., hidden]` -> logits of image end (column 0) and every code.

        `[..., 1 + codes]`; text ids are left out, since the model never writes them.
        """
        head = self.language_model.lm_head.weight[self.vocabulary.image_end :]
        return hidden @ head.T.to(hidden.dtype)


def _llama_config(sizes: LanguageModelConfig, vocabulary: Vocabulary) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary.size,
        hidden_size=sizes.hidden,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=2048,
        tie_word_embeddings=sizes.tie_embeddings,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
