"""Backbone recipe: the language model and adapter, on restyling samples in random views.

The published Pigeon starts from a pretrained LaVIT; a small model has no such start, so this recipe
trains one. Masks are random, and the instruction prefix with the history is computed once for all
targets of a user. Stage 1 (`reconstruct`) then adds the mask generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.personalisation import Instruction, InstructionTexts, Personalisation
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.code_recipe import CodeRecipe
from pigeon_rec.training.draws import uniform
from pigeon_rec.training.frozen import near_codes, swap_codes
from pigeon_rec.training.recipe import Losses
from pigeon_rec.training.restyle import RestyleBatch, RestyleSamples
from pigeon_rec.training.teacher_forcing import code_losses, read_sharing, with_codes
from pigeon_rec.training.text import artwork_texts

__all__ = ["CodedSamples", "LanguageModelRecipe", "seed_code_embeddings"]


def seed_code_embeddings(personalisation: Personalisation, rows: Tensor) -> None:
    """Sets code embeddings to a random projection of the codebook: similar codes start near."""
    table = personalisation.language_model.get_parameter("model.embed_tokens.weight")
    generator = torch.Generator().manual_seed(0)
    spread = torch.randn(rows.shape[1], table.shape[1], generator=generator) * 0.02
    with torch.no_grad():
        table[personalisation.vocabulary.first_code :].mul_(0.3).add_(rows @ spread)


@dataclass(frozen=True)
class CodedSamples:
    """Coded samples of some users, each with `T` targets.

    Attributes:
        batch: Artwork rows, for the texts.
        history: int64 `[users, images, P]`.
        history_keep: Float `[users, images, P]`, 0 where masked.
        reference: int64 `[users * T, P]`.
        reference_keep: Float `[users * T, P]`, likewise.
        target: int64 `[users * T, P]`.
        shown: int64 `[users * T, P]`, the target's codes as the model reads them.
    """

    batch: RestyleBatch
    history: Tensor
    history_keep: Tensor
    reference: Tensor
    reference_keep: Tensor
    target: Tensor
    shown: Tensor


class LanguageModelRecipe(CodeRecipe):
    """Predicts target codes from history, text and masked reference.

    Views are drawn at every step. Validation is on natural views of pairs that are never trained
    on, without masks.

    Attributes:
        natural_without_styles: As `natural`, for artwork whose styles have no names.
        history_ratio: Share of history codes masked at random.
        reference_ratio: Largest share of reference codes masked at random.
        no_history: Share of users without history, for guidance on the history.
        no_reference: Share of targets without reference, for guidance on the reference.
        swap: Largest share of the codes already written that are swapped for near ones.
        dropout: Rate on both residual branches of every block.
        label_smoothing: Of the training loss.
    """

    history_ratio = 0.2
    reference_ratio = 0.5
    natural_without_styles = 0.2
    no_history = 0.08
    no_reference = 0.1
    swap = 0.15
    dropout = 0.1
    label_smoothing = 0.02

    def __init__(
        self, config: PigeonConfig, artwork: TrainingArtwork, text: TextTokenizer, folder: Path
    ) -> None:
        super().__init__(config, artwork, folder)
        if not artwork.named_styles:
            self.natural = self.natural_without_styles
        category = np.unique(artwork.rows["category"].to_numpy().astype(str), return_inverse=True)[
            1
        ]
        self.samples = RestyleSamples(self.images, torch.from_numpy(category))
        self.validates = len(self.samples.known) > 0
        self.near = near_codes(self.rows)
        self.personalisation = Personalisation(config)
        seed_code_embeddings(self.personalisation, self.rows)
        self._drop_branches()
        self.texts = artwork_texts(artwork, text, config.language_model)
        # Target text, reference places and response of every row: what follows the history.
        targets, nothing = self.texts.targets, torch.zeros(len(artwork), 0, dtype=torch.long)
        self.asked = self.personalisation.instruct(
            replace(targets, prefix=targets.prefix[:0]), nothing, nothing.float()
        )

    def module(self) -> nn.Module:
        # Masks are random here; stage 1 trains the mask generator.
        self.personalisation.mask_generator.requires_grad_(False)
        return self.personalisation

    def place(self, device: torch.device) -> None:
        super().place(device)
        self.samples = self.samples.to(device)
        self.near, self.texts = self.near.to(device), self.texts.to(device)
        self.asked = Instruction(*(values.to(device) for values in vars(self.asked).values()))
        if device.type == "cuda":
            for block in self.personalisation.language_model.model.layers:
                block.compile(dynamic=False)  # one compilation serves all blocks

    def losses(self, batch_size: int, random: torch.Generator) -> Losses:
        batch = self.samples.draw(max(1, batch_size // self.samples.targets), random)
        samples = self._masked(batch, self.codes(batch, random), random)
        return code_losses(self.logits(samples), samples.target, self.label_smoothing)

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:
        batch = self.samples.validation(samples)
        users = max(1, batch_size // self.samples.targets)
        parts = (values.split(users) for values in vars(batch).values())
        for some in (RestyleBatch(*part) for part in zip(*parts, strict=True)):
            history, reference, target = self.codes(some)
            kept = torch.ones_like(history).float(), torch.ones_like(reference).float()
            coded = CodedSamples(some, history, kept[0], reference, kept[1], target, target)
            yield code_losses(self.logits(coded), target)

    def logits(self, samples: CodedSamples) -> Tensor:
        """As `read_codes`, `[users * T, P + 1, 1 + codebook]`."""
        model, users = self.personalisation, len(samples.history)
        keep = samples.reference_keep
        with torch.no_grad():
            decoded = self.decoder(self.rows[samples.reference.clamp(min=0)], keep > 0)
        rows = samples.batch.target.flatten()
        asked = Instruction(*(values[rows] for values in vars(self.asked).values()))
        instruction = with_codes(asked, samples.shown, model.vocabulary.first_code)
        embeds = model.embed(instruction, model.adapter(decoded))
        aligned = model.aligned_embeddings(decoded, samples.reference, keep)
        prefix, present = self._prefix_embeddings(samples)
        hidden = read_sharing(
            model,
            prefix,
            model.add_aligned(embeds, aligned).unflatten(0, (users, -1)),
            instruction.attention.unflatten(0, (users, -1)),
            present,
        )
        return model.code_logits(hidden.flatten(0, 1)[:, -samples.target.shape[1] - 1 :])

    def _prefix_embeddings(self, samples: CodedSamples) -> tuple[Tensor, Tensor | None]:
        """Embeddings of task text and masked history `[users, L, hidden]`, and where they are.

        The latter is bool `[users, L]`, False at padding; None if there is none.
        """
        model, history, keep = self.personalisation, samples.history, samples.history_keep
        task = self.texts.targets.prefix
        if self.texts.titles is None:
            text = model.token_embeddings(task).expand(len(history), -1, -1)
            codes = model.token_embeddings(history.flatten(1) + model.vocabulary.first_code)
            return torch.cat([text, codes * keep.flatten(1).unsqueeze(-1)], dim=1), None
        silent = self.texts.targets.target[:0].new_zeros(len(history), 0)
        texts = InstructionTexts(
            task, silent, silent.bool(), task[:0], **self.texts.of_histories(samples.batch.history)
        )
        begun = model.instruct_beginning(texts, history, keep)
        return model.embed(begun, begun.gate.new_zeros(0)), begun.attention

    def _masked(
        self,
        batch: RestyleBatch,
        codes: tuple[Tensor, Tensor, Tensor],
        random: torch.Generator,
    ) -> CodedSamples:
        """Draws masks, and swaps codes already written."""
        history, reference, target = codes

        keep_history = uniform(random, *history.shape) >= self.history_ratio
        keep_history &= uniform(random, len(history), 1, 1) >= self.no_history
        ratio = uniform(random, len(reference), 1) * self.reference_ratio
        ratio = ratio.masked_fill(uniform(random, len(reference), 1) < self.no_reference, 1.0)
        keep_reference = uniform(random, *reference.shape) >= ratio
        return CodedSamples(
            batch,
            history,
            keep_history.float(),
            reference,
            keep_reference.float(),
            target,
            swap_codes(target, self.near, self.swap, random),
        )

    def _drop_branches(self) -> None:
        """Adds dropout behind attention and feed-forward of every block."""

        def drop(module: nn.Module, _given: object, output: Any) -> Any:
            if isinstance(output, tuple):  # attention returns its weights, too
                return F.dropout(output[0], self.dropout, module.training), *output[1:]
            return F.dropout(output, self.dropout, module.training)

        for block in self.personalisation.language_model.model.layers:
            block.self_attn.register_forward_hook(drop)
            block.mlp.register_forward_hook(drop)
