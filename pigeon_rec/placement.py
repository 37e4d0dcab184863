"""Devices, memory budgets and dtypes of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pigeon_rec.runtime.settings import Settings

__all__ = ["Dtype", "Placement", "Quantisation"]

Dtype = Literal["float32", "bfloat16", "float16"]
Quantisation = Literal["int8", "int4"]

_SIZE = r"^\d+(\.\d+)?\s*[KMGT]i?B$"


class Placement(Settings):
    """Where and how a pipeline computes; the default is float32 on the CPU, all in memory.

    Attributes:
        dtype: Dtype of weights and activations. Sampling, guidance and noise stay in float32.
        device: Device of all computation, as torch names it: `cpu`, `cuda`, `cuda:1`.
        memory: Budget of weights per device, such as `{"cuda:0": "20GB", "cpu": "60GB"}`. Language
            model and UNet are spread over the devices, the fastest first; all other parts are on
            `device`. None puts all parts there.
        offload: Folder for the weights that exceed the budgets; they are read from it when needed.
        quantisation: Quantisation of the language model's linear layers: `int8` (arXiv 2208.07339)
            or `int4` (NF4, arXiv 2305.14314).
    """

    dtype: Dtype = "float32"
    device: Annotated[str, Field(pattern=r"^[a-z]+(:\d+)?$")] = "cpu"
    memory: Mapping[str, Annotated[str, Field(pattern=_SIZE)]] | None = None
    offload: Path | None = None
    quantisation: Quantisation | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Placement:
        if self.offload is not None and self.memory is None:
            raise ValueError("`offload` needs a `memory` budget")
        if self.quantisation is not None and self.memory is not None:
            raise ValueError("a quantised language model is on one device: leave `memory` out")
        return self

    @property
    def arithmetic(self) -> dict[str, str]:
        """The fields that change results and differ from the default."""
        values = {"dtype": self.dtype, "quantisation": self.quantisation}
        usual = {"dtype": "float32", "quantisation": None}
        return {name: value for name, value in values.items() if value and value != usual[name]}
