"""Backbone recipe: the language model and adapter, from scratch, on restyling samples.

The published Pigeon starts from a pretrained LaVIT; a small model has no such start, so this recipe
trains one. Masks are random, and the instruction prefix with the history is computed once for all
targets of a user. Stage 1 (`reconstruct`) then adds the mask generator.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.personalisation import Instruction, Personalisation
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.code_recipe import CodeRecipe
from pigeon_rec.training.recipe import Losses
from pigeon_rec.training.restyle import RestyleSamples
from pigeon_rec.training.teacher_forcing import code_losses, select_texts, with_codes

__all__ = ["LanguageModelRecipe", "seed_code_embeddings"]


def seed_code_embeddings(personalisation: Personalisation, rows: Tensor) -> None:
    """Sets code embeddings to a random projection of the codebook: similar codes start near."""
    table = personalisation.language_model.get_parameter("model.embed_tokens.weight")
    generator = torch.Generator().manual_seed(0)
    spread = torch.randn(rows.shape[1], table.shape[1], generator=generator) * 0.02
    with torch.no_grad():
        table[personalisation.vocabulary.first_code :].mul_(0.3).add_(rows @ spread)


class LanguageModelRecipe(CodeRecipe):
    """Predicts target codes from history, text and masked reference.

    Attributes:
        targets_per_user: Targets that share one computed prefix.
        history_ratio: Share of history codes masked at random.
        reference_ratio: Largest share of reference codes masked at random.
    """

    targets_per_user = 8
    history_ratio = 0.2
    reference_ratio = 0.5

    def __init__(
        self, config: PigeonConfig, artwork: TrainingArtwork, text: TextTokenizer, folder: Path
    ) -> None:
        super().__init__(config, artwork, text, folder)
        self.samples = RestyleSamples(artwork)
        self.personalisation = Personalisation(config)
        seed_code_embeddings(self.personalisation, self.rows)

    def module(self) -> nn.Module:
        # Masks are random here; stage 1 trains the mask generator.
        self.personalisation.mask_generator.requires_grad_(False)
        return self.personalisation

    def losses(self, batch_size: int, random: np.random.Generator) -> Losses:
        users = max(1, batch_size // self.targets_per_user)
        batch = self.samples.draw(users, self.targets_per_user, random)
        model = self.personalisation.language_model.model
        prefix = self._prefix(self.codes[batch.history].flatten(1))
        cache = model(inputs_embeds=prefix, use_cache=True).past_key_values
        cache.batch_repeat_interleave(self.targets_per_user)
        reference, target = batch.reference.flatten(), batch.target.flatten()
        instruction = self._suffix(target)
        keep = self._kept(self.codes[reference])
        with torch.no_grad():
            decoded = self.decoder(self.rows[self.codes[reference]], keep > 0)
        embeds = self.personalisation.embed(instruction, self.personalisation.adapter(decoded))
        aligned = self.personalisation.aligned_embeddings(decoded, self.codes[reference], keep)
        embeds = self.personalisation.add_aligned(embeds, aligned)
        before = instruction.attention.new_ones(len(target), prefix.shape[1])
        hidden = model(
            inputs_embeds=embeds,
            attention_mask=torch.cat([before, instruction.attention], dim=1).long(),
            position_ids=instruction.positions + prefix.shape[1],
            past_key_values=cache,
        ).last_hidden_state[:, -self.codes.shape[1] - 1 :]
        logits = self.personalisation.code_logits(hidden)
        return code_losses(logits, self.codes[target])

    def _prefix(self, history: Tensor) -> Tensor:
        """Embeddings of task text and masked history `[users, Lp + images * P, hidden]`."""
        personalisation = self.personalisation
        text = personalisation.token_embeddings(self.texts.prefix).expand(len(history), -1, -1)
        codes = personalisation.token_embeddings(history + personalisation.vocabulary.first_code)
        keep = (torch.rand(history.shape) >= self.history_ratio).unsqueeze(-1)
        return torch.cat([text, codes * keep.to(self.device)], dim=1)

    def _kept(self, codes: Tensor) -> Tensor:
        """Random 0/1 `[B, P]`: each image drops a share of its own, up to `reference_ratio`.

        One image in ten drops all codes, which trains the unconditional side of guidance.
        """
        ratio = torch.rand(len(codes), 1) * self.reference_ratio
        ratio = ratio.masked_fill(torch.rand(len(codes), 1) < 0.1, 1.0)
        return (torch.rand(codes.shape) >= ratio).float().to(self.device)

    def _suffix(self, target: Tensor) -> Instruction:
        """Target text, reference places, response and the target's codes."""
        texts = select_texts(self.texts, target % (len(self.codes) // 2))
        texts = replace(texts, prefix=texts.prefix[:0])  # `_prefix` computes it once per user
        nothing = self.codes.new_zeros(len(target), 0)
        instruction = self.personalisation.instruct(texts, nothing, nothing.float())
        return with_codes(
            instruction, self.codes[target], self.personalisation.vocabulary.first_code
        )
