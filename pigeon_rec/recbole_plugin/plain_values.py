"""Values of RecBole as plain ones that torch's restricted unpickler reads, and back.

Settings become numbers, strings, lists and mappings. What a base keeps beside its parameters
(`other_parameter`) may be SciPy matrices and NumPy arrays, as of EASE and ItemKNN: they become
mappings of tensors, marked by the key `kind`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.sparse as sp  # type: ignore[import-untyped]
import torch
from torch import nn

from pigeon_rec.errors import ModelError

__all__ = ["plain_parameters", "plain_setting", "restored_parameters"]

_KIND: Final = "pigeon_kind"
_SPARSE: Final = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")


def plain_setting(key: str, value: Any) -> Any:
    """Converts the value of a setting to numbers, strings, lists and mappings.

    Raises:
        ModelError: The value cannot be converted.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return float(value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Path | torch.device):
        return str(value)
    if isinstance(value, Mapping):
        return {plain_setting(key, k): plain_setting(key, part) for k, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_setting(key, part) for part in value]
    raise ModelError(
        f"the setting {key} is of type {type(value).__name__}, which a checkpoint cannot hold",
        location=key,
        remedy="Use numbers, strings, lists and mappings in RecBole's configuration",
    )


def plain_parameters(model: nn.Module) -> dict[str, Any]:
    """Converts what a base keeps beside its parameters; its submodules are in its state already.

    Raises:
        ModelError: A value is of a type that a checkpoint cannot hold.
    """
    kept: dict[str, Any] = model.other_parameter() or {}  # type: ignore[operator]
    submodules = {id(module) for module in model.modules()}
    return {
        name: _plain(name, value) for name, value in kept.items() if id(value) not in submodules
    }


def restored_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Undoes `plain_parameters`."""
    return {name: _restored(value) for name, value in values.items()}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value
    if sp.issparse(value):
        rows, container = value.tocoo(), "array" if isinstance(value, sp.sparray) else "matrix"
        return {
            _KIND: f"sparse {value.format} {container}",
            "values": torch.from_numpy(np.ascontiguousarray(rows.data)),
            "places": torch.from_numpy(np.stack([rows.row, rows.col]).astype(np.int64)),
            "shape": list(value.shape),
        }
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        kind = "matrix" if isinstance(value, np.matrix) else "array"
        array = np.array(value, order="C", subok=False)
        return {_KIND: kind, "values": torch.from_numpy(array)}
    return plain_setting(name, value)


def _restored(value: Any) -> Any:
    if not isinstance(value, Mapping) or _KIND not in value:
        return value
    kind, array = str(value[_KIND]), value["values"].cpu().numpy()
    if kind == "array":
        return array
    if kind == "matrix":
        return np.asmatrix(array)  # EASE, for example, computes with it
    _, form, container = kind.split()
    if form not in _SPARSE:
        raise ModelError(f"a checkpoint holds a sparse matrix of the unknown format {form!r}")
    make = sp.coo_array if container == "array" else sp.coo_matrix
    rows, columns = value["places"].cpu().numpy()
    return make((array, (rows, columns)), shape=tuple(value["shape"])).asformat(form)
