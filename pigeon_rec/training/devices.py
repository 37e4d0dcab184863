"""Devices and processes: one CPU, one accelerator or several of either, by the same code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["Precision", "autocast", "average_gradients", "new_accelerator"]

Precision = Literal["no", "bf16"]


def new_accelerator() -> Accelerator:
    """The devices of this run, as `accelerate launch` or `torchrun` laid them out."""
    # Told outright, or processes that torchrun started on a machine without an accelerator
    # would each train alone.
    return Accelerator(cpu=not torch.accelerator.is_available())


@contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    """Matrix products in bfloat16 where asked for and where the device has it."""
    enabled = precision == "bf16" and _has_bfloat16(device)
    with ExitStack() as stack:
        # Not the accelerator's own: its precision is one for the whole process, once and for all.
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=enabled))
        if enabled and device.type == "cpu":
            # Its fused attention takes twice as long in bfloat16 as plain products do.
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


def _has_bfloat16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def average_gradients(accelerator: Accelerator, parameters: Sequence[nn.Parameter]) -> None:
    """Sets every gradient to its mean over the processes; nothing to do for one process.

    Recipes call parts of their module one by one, so the hooks of a data-parallel wrapper, which
    hang on the whole module's `forward`, would never be called.
    """
    if accelerator.num_processes == 1:
        return
    for parameter in parameters:
        # Every process takes part for every weight, whether its own batch touched it or not.
        own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        parameter.grad = accelerator.reduce(own, reduction="mean")
