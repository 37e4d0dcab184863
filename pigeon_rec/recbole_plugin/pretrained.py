"""Pretrained parts: base models that read a checkpoint of another run when they are made.

NeuMF, ConvNCF and NAIS load parameters by the names that their own class gives them. In a
checkpoint of the wrapper these begin with `base.`; one of plain RecBole holds pickled code, which
torch refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pickle import UnpicklingError  # noqa: TID251 - what torch raises when it refuses a file
from typing import Any, Final

import torch

from pigeon_rec.errors import ModelError

__all__ = ["pretrained_parts"]

_PREFIX: Final = "base."


@contextmanager
def pretrained_parts() -> Iterator[None]:
    """Within its block, `torch.load` gives a wrapper's checkpoint with the names of its base.

    Raises:
        ModelError: A file that is loaded in the block is refused by torch.
    """
    original = torch.load

    def load(file: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return _of_base(original(file, *args, **kwargs))
        except UnpicklingError as error:
            raise ModelError(
                f"torch refuses the pretrained parameters: {str(error).splitlines()[0][:200]}",
                location=str(file),
                remedy="Pretrain that base with the wrapper, or save only its state dict: "
                "checkpoints of plain RecBole hold pickled code",
            ) from error

    torch.load = load  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.load = original


def _of_base(state: Any) -> Any:
    """The base's part of a wrapper's checkpoint or state dict; anything else as it is."""
    if not isinstance(state, Mapping):
        return state
    if "state_dict" in state:
        return {**state, "state_dict": _of_base(state["state_dict"])}
    inner = {
        name.removeprefix(_PREFIX): value
        for name, value in state.items()
        if isinstance(name, str) and name.startswith(_PREFIX)
    }
    return inner or state
