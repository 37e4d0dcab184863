"""The network behind a judge: convolutions, one embedding, one prototype for each class."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

__all__ = ["JudgeConfig", "JudgeNetwork"]

Positive = Annotated[int, Field(ge=1)]


class JudgeConfig(BaseModel):
    """Sizes of a judge, and what it tells apart.

    Attributes:
        classes: Names of the classes, in the order of the prototypes.
        widths: Channels of the stages; each stage halves height and width.
        embedding: Length of the embedding.
        image_size: Height and width in pixels.
        scale: Factor of the cosines before the softmax.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    widths: Annotated[tuple[Positive, ...], Field(min_length=1)]
    embedding: Positive
    image_size: Positive = 64
    scale: Annotated[float, Field(gt=0.0)] = 16.0


class JudgeNetwork(nn.Module):
    """Residual convolutions (the scorer is a patch transformer) and a cosine classifier."""

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        stages: list[nn.Module] = []
        before = 3
        for width in config.widths:
            stages += [_convolution(before, width, stride=2), nn.ReLU(), _Residual(width)]
            before = width
        side = config.image_size // 2 ** len(config.widths)
        self.tower = nn.Sequential(*stages)
        self.head = nn.Linear(before * side * side, config.embedding)
        self.prototypes = nn.Parameter(torch.randn(len(config.classes), config.embedding))

    def embed(self, pixels: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` in [-1, 1] -> unit vectors float32 `[B, embedding]`."""
        x = self.tower(pixels.contiguous(memory_format=torch.channels_last))
        return F.normalize(self.head(x.flatten(1)).float(), dim=-1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` in [-1, 1] -> logits float32 `[B, classes]`."""
        return self.logits(self.embed(pixels))

    def logits(self, embeddings: Tensor) -> Tensor:
        """Unit vectors `[B, embedding]` -> `scale` times the cosine with each prototype."""
        return self.config.scale * embeddings @ F.normalize(self.prototypes.float(), dim=-1).T


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = _convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))
