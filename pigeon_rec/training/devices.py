"""Devices and processes: one or several CPU processes or accelerators, with the same code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["Precision", "autocast", "average_gradients", "new_accelerator"]

Precision = Literal["no", "bf16"]


def new_accelerator(trackers: Sequence[GeneralTracker] = ()) -> Accelerator:
    """The devices of this run, as `accelerate launch` or `torchrun` assigned them."""
    # Set explicitly: without an accelerator, processes started by torchrun would otherwise not
    # find each other, and each would train alone.
    on_cpu = not torch.accelerator.is_available()
    accelerator = Accelerator(cpu=on_cpu, log_with=list(trackers) or None)
    if accelerator.device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True  # all batches have one shape
    return accelerator


@contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    """Runs matrix products in bfloat16 if `precision` is `bf16` and the device supports it."""
    enabled = precision == "bf16" and _has_bfloat16(device)
    with ExitStack() as stack:
        # Not `Accelerator.autocast`: its precision is fixed for the whole process.
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=enabled))
        if enabled and device.type == "cpu":
            # Fused attention on the CPU takes twice as long in bfloat16 as plain products.
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


def _has_bfloat16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def average_gradients(accelerator: Accelerator, parameters: Sequence[nn.Parameter]) -> None:
    """Sets every gradient to its mean over all processes.

    A data-parallel wrapper cannot do this: its hooks run on `forward` of the whole module, and
    recipes call parts of their module separately.
    """
    if accelerator.num_processes == 1:
        return
    for parameter in parameters:
        # All processes must reduce every weight, also where their own batch gave no gradient.
        own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        parameter.grad = accelerator.reduce(own, reduction="mean")
