"""Stage 1, masked preference reconstruction (paper section 3.5.1).

The language model writes the target's codes from a masked history and a masked reference. Trained
are LoRA adapters on the query and value projections, the mask generator and the reference adapter.
Keep decisions gate embeddings straight-through, so that the mask generator receives gradient (in
the published code it receives none). Cases come from the simulated users' own sequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.data.sequences import make_sequences
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.instruction import write_texts
from pigeon_rec.model.personalisation import Instruction, InstructionTexts, Personalisation
from pigeon_rec.model.randomness import gumbel_noise
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.frozen import load_part, load_tokenizer, sticker_codes
from pigeon_rec.training.language_model import code_loss, target_texts
from pigeon_rec.training.stickers import TrainingStickers

__all__ = ["ReconstructRecipe", "add_lora", "training_windows"]


def add_lora(language_model: nn.Module) -> nn.Module:
    """Adds the paper's adapters in place: rank 8, alpha 16, dropout 0.05, queries and values."""
    config = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["q_proj", "v_proj"])
    return inject_adapter_in_model(config, language_model)


def training_windows(stickers: TrainingStickers) -> tuple[Tensor, Tensor]:
    """Histories int64 `[n, 5]` and targets int64 `[n]` as sticker rows, from the train split.

    Left out are windows with a picture that is not among `stickers`, and those with fewer than two
    history pictures in the target's style: nothing in such a history tells what to draw.
    """
    catalogue = load_catalogue("bundled")
    interactions, _ = load_interactions("bundled", catalogue)
    sequences = make_sequences(interactions).filter(pl.col("split") == "train")
    row_of = {item: row for row, item in enumerate(stickers.rows["item_id"])}
    history = np.array([[row_of.get(i, -1) for i in ids] for ids in sequences["history_ids"]])
    target = np.array([row_of.get(i, -1) for i in sequences["target_id"]])
    known = (history >= 0).all(1) & (target >= 0)
    same = (stickers.style[history] == stickers.style[target][:, None]).sum(1)
    chosen = known & (same >= 2)
    return torch.from_numpy(history[chosen]), torch.from_numpy(target[chosen])


class ReconstructRecipe:
    """Stage 1 on real sequences with the mask generator in the loop.

    Args:
        same_reference: Share of references that are the target itself, as published; the others
            show the same concept in another style.
        history_ratio: Share of history codes the mask generator drops.
    """

    def __init__(
        self,
        config: PigeonConfig,
        stickers: TrainingStickers,
        text: TextTokenizer,
        folder: Path,
        same_reference: float = 0.25,
        history_ratio: float = 0.2,
    ) -> None:
        self.stickers = stickers
        self.same_reference, self.history_ratio = same_reference, history_ratio
        tokenizer, self.decoder = load_tokenizer(config, folder)
        self.rows = tokenizer.quantize.embedding.weight.detach()
        self.codes = sticker_codes(tokenizer, stickers, folder)
        self.texts = write_texts(
            load_prompt("sticker"), text, target_texts(stickers), config.language_model
        )
        self.history, self.target = training_windows(stickers)
        self.personalisation = Personalisation(config)
        load_part(self.personalisation, folder, "language-model")
        self.personalisation.language_model.requires_grad_(False)
        add_lora(self.personalisation.language_model)

    def module(self) -> nn.Module:
        return self.personalisation

    def start(self, step: int) -> None:
        """Nothing depends on the step."""

    def after_step(self, step: int) -> None:
        """Nothing to do between steps."""

    def losses(self, batch_size: int, random: np.random.Generator) -> Mapping[str, Tensor]:
        chosen = torch.from_numpy(random.integers(0, len(self.target), batch_size))
        target = self.target[chosen]
        history = self.codes[self.history[chosen]]  # [B, images, P]
        reference = self.codes[self._references(target, random)]  # [B, P]
        ratio = float(random.random())
        noise = gumbel_noise([str(random.integers(2**62))], "mask", self._noise_shape(history))[0]
        keep_history, keep_reference = self.personalisation.masks(
            history, reference, self.history_ratio, ratio, noise
        )
        decoded = self.decoder(
            self.rows[reference] * keep_reference.unsqueeze(-1), keep_reference > 0.5
        )
        adapted = self.personalisation.adapter(decoded)
        instruction = self._with_target(history, keep_history, target)
        embeds = self.personalisation.embed(instruction, adapted)
        guides = self.personalisation.guides(decoded, reference, keep_reference)
        embeds = self.personalisation.guide_written(embeds, guides)
        codes = self.codes[target]
        hidden = self.personalisation.language_model.model(
            inputs_embeds=embeds,
            attention_mask=instruction.attention.long(),
            position_ids=instruction.positions,
        ).last_hidden_state[:, -codes.shape[1] - 1 :]
        logits = self.personalisation.code_logits(hidden)
        hit = (logits[:, :-1].argmax(-1) == codes + 1).float().mean()
        return {"loss": code_loss(logits, codes), "accuracy": hit}

    def _noise_shape(self, history: Tensor) -> tuple[int, int]:
        batch, images, patches = history.shape
        return batch, (images + 1) * patches

    def _references(self, target: Tensor, random: np.random.Generator) -> Tensor:
        """Rows of another style of each target's concept, or the target's own."""
        rows = target.numpy()
        pictures = self.stickers.at[self.stickers.concept[rows]]
        order = random.random(pictures.shape)
        order[pictures < 0] = 2.0
        order[np.arange(len(rows)), self.stickers.style[rows]] = 2.0
        best = order.argmin(1)
        itself = (order[np.arange(len(rows)), best] >= 2.0) | (
            random.random(len(rows)) < self.same_reference
        )
        return torch.from_numpy(np.where(itself, rows, pictures[np.arange(len(rows)), best]))

    def _with_target(self, history: Tensor, keep: Tensor, target: Tensor) -> Instruction:
        """The instruction followed by the target's own codes, to predict each from those before."""
        texts = InstructionTexts(
            self.texts.prefix,
            self.texts.target[target],
            self.texts.target_mask[target],
            self.texts.response,
        )
        asked = self.personalisation.instruct(texts, history, keep)
        codes = self.codes[target] + self.personalisation.vocabulary.first_code
        return Instruction(
            ids=torch.cat([asked.ids, codes], dim=1),
            gate=torch.cat([asked.gate, asked.gate.new_ones(codes.shape)], dim=1),
            attention=torch.cat([asked.attention, torch.ones_like(codes).bool()], dim=1),
        )
