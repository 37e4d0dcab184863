"""The language model that writes a user's visual tokens (paper section 3.3).

Instruction: task text, masked history codes (each picture's behind its own text, where there is
one), target text, reference tokens, response text, image start. Masked codes enter as zero
embeddings; reference tokens come from the masked reference image through tokenizer decoder and
adapter. The model then writes code ids.
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
    """Token ids of the text around the pictures.

    Attributes:
        prefix: int64 `[Lp]`, the same for every sample.
        target: int64 `[B, Lt]`, padded.
        target_mask: bool `[B, Lt]`.
        response: int64 `[Lr]`, the same for every sample.
        history: int64 `[B, images, Lh]`, padded: what stands before each picture of the history,
            such as its title; None where the pictures follow each other.
        history_mask: bool `[B, images, Lh]`; None as `history`.
    """

    prefix: Tensor
    target: Tensor
    target_mask: Tensor
    response: Tensor
    history: Tensor | None = None
    history_mask: Tensor | None = None

    def to(self, device: torch.device) -> InstructionTexts:
        """The same ids on a device."""
        there = {name: ids.to(device) for name, ids in vars(self).items() if ids is not None}
        return InstructionTexts(**there)


@dataclass(frozen=True)
class Relevance:
    """How relevant the codes of histories and references are, in one row each.

    Attributes:
        scores: Of all codes, `[B, images * P + P]`.
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

        One token is the mean over all queries, as published.
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
    """The reference at each place of the patch grid, to guide the code written there."""

    def __init__(self, prompt_width: int, hidden: int, places: int) -> None:
        super().__init__()
        self.proj = nn.Linear(prompt_width, hidden)
        self.mix = nn.Linear(hidden, hidden, bias=False)
        self.places = nn.Parameter(torch.randn(1, places, hidden) * 0.02)
        # Starts at the reference's code itself: what is near to it is near in the output table too.
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)
        nn.init.eye_(self.mix.weight)

    def forward(self, decoded: DecoderOutput, codes: Tensor) -> Tensor:
        """Guides `[B, places, hidden]` of prompts and code embeddings `[B, places, hidden]`."""
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
        """Rows of the language model's table: ids int64 `[...]` -> `[..., hidden]`."""
        return torch.as_tensor(self.language_model.get_input_embeddings()(ids))

    def masks(
        self,
        history: Tensor,
        reference: Tensor,
        history_ratio: float,
        reference_ratio: float,
        gumbel: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Keep decisions for history and reference codes.

        Args:
            history: int64 code rows `[B, images, P]`, `NO_CODE` where there is none.
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
        """What masks of any ratio are drawn from; arguments as of `masks`."""
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
        """As `masks`, of codes that have been scored."""
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
            texts: Token ids around the pictures.
            history: int64 code rows `[B, images, P]`, `NO_CODE` where there is none.
            history_keep: `[B, images, P]`, 0 where masked.

        Returns:
            Rows of one width, whatever is missing: all text, `images * P` codes, the reference
            tokens, and image start.

        Raises:
            ValueError: `texts.history` is not for as many pictures as `history`.
        """
        begun, rest = self._beginning(texts), self._rest(texts)
        text, mask = (torch.cat(parts, 1) for parts in zip(begun, rest, strict=True))
        return self._merge(text, mask, history, history_keep, texts)

    def instruct_beginning(
        self, texts: InstructionTexts, history: Tensor, history_keep: Tensor
    ) -> Instruction:
        """The part of `instruct` that stands before the reference: history and target text.

        What is computed from it can be read on with the reference masked in any way, or away.
        """
        return self._merge(*self._beginning(texts), history, history_keep, texts)

    def instruct_rest(self, texts: InstructionTexts) -> Instruction:
        """The other part: reference places, response, image start."""
        text, mask = self._rest(texts)
        none = ImageTokens.from_rows(text[:, :0], text[:, :0])
        return merge_images(text, mask, none, self.vocabulary, text.shape[1])

    def _beginning(self, texts: InstructionTexts) -> tuple[Tensor, Tensor]:
        """Task text, the places of the pictures, target text: ids and bool mask, both `[B, L]`."""
        opening, mask = self._opening(texts, len(texts.target))
        return torch.cat([opening, texts.target], 1), torch.cat([mask, texts.target_mask], 1)

    def _opening(self, texts: InstructionTexts, batch: int) -> tuple[Tensor, Tensor]:
        """Task text and the places of the pictures: ids and bool mask, both `[B, L]`.

        Each picture has a place behind its own text; where there are no such texts, nothing stands
        between the pictures, and one place does for all.
        """
        place = texts.prefix.new_tensor([self.vocabulary.image_start])
        prefix = texts.prefix.expand(batch, -1)
        if texts.history is None or texts.history_mask is None:
            opening = torch.cat([prefix, place.expand(batch, 1)], 1)
            return opening, torch.ones_like(opening).bool()
        places = place.expand(*texts.history.shape[:2], 1)
        titled = torch.cat([texts.history, places], 2).flatten(1)
        shown = nn.functional.pad(texts.history_mask, (0, 1), value=True).flatten(1)
        mask = torch.cat([torch.ones_like(prefix).bool(), shown], 1)
        return torch.cat([prefix, titled], 1), mask

    def _rest(self, texts: InstructionTexts) -> tuple[Tensor, Tensor]:
        """Reference places, response, image start: ids and bool mask, both `[B, L]`."""
        vocabulary = self.vocabulary
        reference = texts.prefix.new_full((self.adapter.tokens,), vocabulary.image_end)
        start = texts.prefix.new_tensor([vocabulary.image_start])
        rest = torch.cat([reference, texts.response, start]).expand(len(texts.target), -1)
        return rest, torch.ones_like(rest).bool()

    def _merge(
        self, text: Tensor, mask: Tensor, history: Tensor, keep: Tensor, texts: InstructionTexts
    ) -> Instruction:
        if texts.history is None:  # one place, so one image of all codes
            history, keep = (t.flatten(1).unsqueeze(1) for t in (history, keep))
        elif texts.history.shape[1] != history.shape[1]:  # or the written picture's place is filled
            raise ValueError(
                f"{texts.history.shape[1]} texts stand before {history.shape[1]} history pictures"
            )
        images = ImageTokens.from_codes(history, self.vocabulary, keep)
        # The width of full images, so that no row's arithmetic depends on its neighbours.
        width = text.shape[1] - history.shape[1] + history[0].numel()
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
        """States `[..., hidden]` -> scores of image end and every code, `[..., 1 + codes]`.

        Column 0 is image end. Text is never written, so it takes no part.
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
