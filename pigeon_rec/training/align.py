"""Stage 2, pairwise preference alignment (arXiv 2410.14170, section 3.5): DPO on stored pairs.

The policy starts as the stage-1 model, which is also the reference policy. Only the LoRA adapters
are trained; mask generator, reference adapter and aligned reference are frozen. Both policies read
a pair under the same stored masks and without dropout, so they agree before the first step and the
loss is ln 2. (The published code draws new masks and dropout for each policy, and drops the first
token, so that the first code has no loss; here every code and the image end count.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import torch
from accelerate import PartialState
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pigeon_rec.data.dataset import Dataset
from pigeon_rec.drawing.texts import history_texts
from pigeon_rec.errors import TrainingError
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.instruction import write_texts
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.runtime.digests import file_sha256
from pigeon_rec.training.configuration import AlignConfig
from pigeon_rec.training.frozen import load_part, load_tokenizer
from pigeon_rec.training.lora import add_lora, train_lora_only
from pigeon_rec.training.pair_table import PAIRS, pair_tensors, read_pairs
from pigeon_rec.training.preference import dpo_loss, sequence_log_probabilities
from pigeon_rec.training.provenance import PICTURE_RECIPES, weights_digest
from pigeon_rec.training.recipe import Losses, Recipe
from pigeon_rec.training.teacher_forcing import (
    Conditioning,
    code_labels,
    read_codes,
    select_texts,
)

__all__ = ["AlignRecipe", "belongs_to_stage_one"]

_REFERENCE = "reference.safetensors"
_BATCH = 16
"""Pairs per forward pass when reference log-probabilities are computed."""


class AlignRecipe(Recipe):
    """Raises the chosen candidate of each pair over the rejected one, relative to stage 1.

    Args:
        config: Sizes of the model.
        settings: The loss.
        data: Catalogue and scenario of the pairs.
        folder: Training folder with stage 1 and `pairs.parquet`; reference log-probabilities are
            cached in its `align/reference.safetensors`.

    Raises:
        TrainingError: Stage 1 or the pairs are missing, or another stage 1 made the pairs.
    """

    def __init__(
        self, config: PigeonConfig, settings: AlignConfig, data: Dataset, folder: Path
    ) -> None:
        self.settings, self.folder = settings, folder
        tokenizer, self.decoder = load_tokenizer(config, folder)
        self.rows = tokenizer.quantize.embedding.weight.detach()
        self.personalisation = Personalisation(config)
        add_lora(self.personalisation.language_model)
        load_part(self.personalisation, folder, "reconstruct")
        train_lora_only(self.personalisation)
        self._stage_one = {n: w.detach().clone() for n, w in self._adapters().items()}
        pairs = read_pairs(folder)
        _check_origin(pairs, folder)
        self.pairs = pair_tensors(pairs)
        self.texts = write_texts(
            data.prompt,
            TextTokenizer.load(folder / "tokenizer.json"),
            self.pairs.texts,
            config.language_model,
            history_texts(data.prompt, data.catalogue, pairs["history_ids"].to_list()),
        )
        split = pairs["split"].to_numpy()
        self.train_rows = torch.from_numpy(np.flatnonzero(split == "train"))
        self.valid_rows = torch.from_numpy(np.flatnonzero(split == "valid"))
        self.validates = len(self.valid_rows) > 0
        self.reference = torch.zeros(2, 0)

    def module(self) -> nn.Module:
        return self.personalisation

    def place(self, device: torch.device) -> None:
        super().place(device)
        self.decoder.to(device)
        self.rows = self.rows.to(device)
        self.texts, self.pairs = self.texts.to(device), self.pairs.to(device)
        self.train_rows, self.valid_rows = self.train_rows.to(device), self.valid_rows.to(device)

    def set_training(self, training: bool) -> None:  # noqa: ARG002
        """Keeps dropout off: it would make policy and reference differ by chance."""
        super().set_training(False)

    def start(self, step: int) -> None:
        """Loads or computes the reference log-probabilities `[2, n]`: chosen, rejected.

        Raises:
            TrainingError: The resumed run was started with other pairs or another stage 1.
        """
        path = self.folder / "align" / _REFERENCE
        digest = file_sha256(self.folder / PAIRS)  # pairs name the stage-1 model that made them
        with PartialState().main_process_first():
            cached = _read_reference(path, digest)
            if cached is None and step > 0:
                raise TrainingError(
                    "this run was started with other preference pairs or another stage 1",
                    location=str(path),
                    remedy="Remove the folder to start stage 2 again",
                )
            if cached is None:
                cached = self._reference_log_probabilities()
                path.parent.mkdir(parents=True, exist_ok=True)
                origin = {"pairs": digest, "stage_one": weights_digest(self.folder, "reconstruct")}
                save_file({"log_probabilities": cached}, path, metadata=origin)
        self.reference = cached.to(self.device)

    def losses(self, batch_size: int, random: torch.Generator) -> Losses:
        places = torch.randint(
            len(self.train_rows), (batch_size,), generator=random, device=self.device
        )
        return self._preference(self.train_rows[places])

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:
        for rows in self.valid_rows[:samples].split(batch_size):
            yield self._preference(rows)

    def log_probabilities(self, rows: Tensor) -> Tensor:
        """Log-probabilities float32 `[2, B]` of the chosen and the rejected candidates."""
        pairs, twice = self.pairs, torch.cat([rows, rows])
        conditioning = Conditioning(
            texts=select_texts(self.texts, twice),
            history=pairs.history[twice],
            history_keep=pairs.history_keep[twice],
            reference=pairs.reference[twice],
            reference_keep=pairs.reference_keep[twice],
        )
        codes = torch.cat([pairs.chosen[rows], pairs.rejected[rows]])
        logits = read_codes(self.personalisation, self.decoder, self.rows, conditioning, codes)
        return sequence_log_probabilities(logits, code_labels(codes)).reshape(2, len(rows))

    def _preference(self, rows: Tensor) -> Losses:
        pairs = dpo_loss(
            self.log_probabilities(rows),
            self.reference[:, rows],
            beta=self.settings.beta,
            label_smoothing=self.settings.label_smoothing,
            kind=self.settings.loss,
        )
        return {
            "loss": (self.pairs.weight[rows] * pairs.losses).mean(),
            "margin": pairs.margins.mean(),
            "accuracy": pairs.accuracy,
            "chosen_reward": pairs.chosen_rewards.mean(),
            "rejected_reward": pairs.rejected_rewards.mean(),
        }

    @torch.no_grad()
    def _reference_log_probabilities(self) -> Tensor:
        """Log-probabilities of all pairs under the stage-1 adapters, `[2, n]` on the CPU."""
        own = {name: weight.detach().clone() for name, weight in self._adapters().items()}
        self._set_adapters(self._stage_one)
        batches = torch.arange(len(self.pairs), device=self.device).split(_BATCH)
        computed = torch.cat([self.log_probabilities(rows) for rows in batches], dim=1).cpu()
        self._set_adapters(own)
        return computed

    def _adapters(self) -> dict[str, nn.Parameter]:
        return {n: w for n, w in self.personalisation.named_parameters() if "lora_" in n}

    @torch.no_grad()
    def _set_adapters(self, values: dict[str, Tensor]) -> None:
        for name, weight in self._adapters().items():
            weight.copy_(values[name])


def _check_origin(pairs: pl.DataFrame, folder: Path) -> None:
    if "train" not in set(pairs["split"]):
        raise TrainingError(
            "there is no preference pair to train on",
            location=str(folder / PAIRS),
            remedy="Make more of them, or lower pairs.min_margin in the training configuration",
        )
    if set(pairs["model_digest"]) != {weights_digest(folder, *PICTURE_RECIPES)}:
        raise TrainingError(
            "the preference pairs were made by another stage-1 model",
            location=str(folder / PAIRS),
            remedy="Make them again: pigeon-rec train pairs",
        )


def _read_reference(path: Path, digest: str) -> Tensor | None:
    try:
        with safe_open(path, "pt") as cache:
            if (cache.metadata() or {}).get("pairs") == digest:
                return torch.as_tensor(cache.get_tensor("log_probabilities"))
    except (OSError, SafetensorError):
        pass
    return None


def belongs_to_stage_one(folder: Path) -> bool:
    """Whether stage 2 in `folder` was trained from the stage 1 that is there now."""
    try:
        with safe_open(folder / "align" / _REFERENCE, "pt") as cache:
            origin = cache.metadata() or {}
        return origin.get("stage_one") == weights_digest(folder, "reconstruct")
    except (OSError, SafetensorError, TrainingError):
        return False
