"""What a training task tells the loop: its module, its losses, and what it can be validated on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Losses", "Recipe"]

Losses = Mapping[str, Tensor]
"""Named scalar losses; the one named `loss` is minimised, the others are told."""


class Recipe(ABC):
    """A training task; the loop calls `place`, `set_training`, `start`, then step by step.

    Attributes:
        device: Where batches are computed; tables that batches are cut from live there too.
        validates: Whether `validation` yields anything.
    """

    device = torch.device("cpu")
    validates = False

    @abstractmethod
    def module(self) -> nn.Module:
        """The module to train; parameters without `requires_grad` stay as they are."""

    @abstractmethod
    def losses(self, batch_size: int, random: np.random.Generator) -> Losses:
        """Losses of a fresh batch, drawn from `random` and torch's own generator."""

    def place(self, device: torch.device) -> None:
        """Moves the module, and whatever batches are made of, to the device of the run."""
        self.device = device
        self.module().to(device)

    def set_training(self, training: bool) -> None:
        """Switches dropout and the like; off while the recipe is validated."""
        self.module().train(training)

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Takes the weights of a finished model, in the module's names, before the first step.

        What the model does not have stays as it was drawn.

        Raises:
            RuntimeError: A weight has another shape, or the module lacks it.
        """
        unknown = self.module().load_state_dict(dict(weights), strict=False).unexpected_keys
        if unknown:
            raise RuntimeError(f"unknown weights: {', '.join(unknown)}")

    def start(self, step: int) -> None:  # noqa: B027 - a hook
        """Told once, before the first step: 0, or where a resumed run goes on."""

    def after_step(self, step: int) -> None:  # noqa: B027 - a hook
        """Work between steps that is no gradient step (a codebook update, for example)."""

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:  # noqa: ARG002
        """Losses of batches, `samples` samples at most, that no step learns from; always the same.

        Called without gradient, and with `set_training(False)`.
        """
        yield from ()
