"""The interface between a recipe and the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from pigeon_rec.training.artwork import ArtworkTensors, TrainingArtwork

__all__ = ["ImageRecipe", "Losses", "Recipe"]

Losses = Mapping[str, Tensor]
"""Named scalars; `loss` is minimised, the others are only logged."""


class Recipe(ABC):
    """How one part is trained; the loop calls `place`, `set_training` and `start`, then each step.

    Attributes:
        device: Device of the module and of the tables that batches are taken from.
        validates: Whether `validation` yields anything.
        progress: Share of the run that is done, in [0, 1]; set by the loop before each step.
    """

    device = torch.device("cpu")
    validates = False
    progress = 0.0

    @abstractmethod
    def module(self) -> nn.Module:
        """The module to train; parameters without `requires_grad` are frozen."""

    @abstractmethod
    def losses(self, batch_size: int, random: torch.Generator) -> Losses:
        """Losses of a new batch, drawn with `random`, which is on the device of the recipe."""

    def place(self, device: torch.device) -> None:
        """Moves the module and the tables of the batches to the device of the run."""
        self.device = device
        # The fastest memory format of convolutions on most devices.
        self.module().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def set_training(self, training: bool) -> None:
        """Switches between training and validation mode (dropout)."""
        self.module().train(training)

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Initialises the module with weights of a finished model; others keep their random start.

        Raises:
            RuntimeError: A weight has another shape, or the module has no weight of its name.
        """
        unknown = self.module().load_state_dict(dict(weights), strict=False).unexpected_keys
        if unknown:
            raise RuntimeError(f"unknown weights: {', '.join(unknown)}")

    def start(self, step: int) -> None:  # noqa: B027 - a hook
        """Called once before the first step: 0, or the next step of a resumed run."""

    def after_step(self, step: int) -> None:  # noqa: B027 - a hook
        """Called after each gradient step, for example to update a codebook."""

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:  # noqa: ARG002
        """Losses of the validation batches, `samples` samples at most; the same at every call.

        Called without gradient, after `set_training(False)`.
        """
        yield from ()


class ImageRecipe(Recipe):
    """A recipe that cuts its batches from the images of the artwork.

    Attributes:
        artwork: The artwork as arrays.
        images: The same on the device, with the split into training and validation.
    """

    def __init__(self, artwork: TrainingArtwork) -> None:
        self.artwork = artwork
        self.images = ArtworkTensors.of(artwork)
        self.validates = len(self.images.validation) > 0

    def place(self, device: torch.device) -> None:
        super().place(device)
        self.images = self.images.to(device)

    def validation_rows(self, batch_size: int, samples: int) -> Iterator[Tensor]:
        """Rows of the validation batches, int64; spread over all styles."""
        rows = self.images.validation
        places = torch.linspace(0, len(rows) - 1, min(samples, len(rows))).round().long()
        yield from rows[places.to(rows.device)].split(batch_size)
