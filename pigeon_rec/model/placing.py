"""Moves weights to the devices of a `Placement`, by accelerate's device maps."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping

import torch
from torch import nn

from pigeon_rec.errors import ModelError
from pigeon_rec.placement import Placement

__all__ = [
    "DeviceMap",
    "check_device",
    "device_maps",
    "dispatch",
    "refuse_quantisation",
    "set_threads",
    "torch_dtype",
    "weight_bytes",
]

DeviceMap = dict[str, int | str]
"""Device of each submodule by name: `cpu`, `disk` or the number of an accelerator."""


def set_threads(count: int) -> None:
    """Sets the number of CPU threads of torch; 0 keeps torch's own choice."""
    if count:
        torch.set_num_threads(count)


def torch_dtype(placement: Placement) -> torch.dtype:
    """Returns the dtype of weights and activations."""
    dtype = getattr(torch, placement.dtype)
    assert isinstance(dtype, torch.dtype)  # noqa: S101 - for the type checker
    return dtype


def refuse_quantisation(placement: Placement, what: str) -> None:
    """Checks that a model that cannot be quantised is not to be; `what` names it in the message.

    Raises:
        ModelError: The placement asks for quantisation.
    """
    if placement.quantisation is not None:
        raise ModelError(
            f"{what} cannot be quantised here",
            location="placement.quantisation",
            remedy="Leave it out, or take a smaller dtype",
        )


def check_device(name: str) -> torch.device:
    """Returns the device of this name.

    Raises:
        ModelError: torch has no such device type, or this machine no such device.
    """
    try:
        device = torch.device(name)
        there = torch.get_device_module(device)
        count = there.device_count() if device.type != "cpu" and there.is_available() else 0
    except RuntimeError as error:
        raise ModelError(
            f"there is no kind of device {name!r}",
            location="placement.device",
            remedy="Name it as torch does: cpu, cuda or cuda:1",
        ) from error
    if device.type != "cpu" and (device.index or 0) >= count:
        raise ModelError(
            f"this machine has no device {name!r}: torch sees {count} of its kind",
            location="placement.device",
            remedy="Use device cpu, or a build of torch and a machine that have it",
        )
    return device


def weight_bytes(module: nn.Module, dtype: torch.dtype) -> int:
    """Returns the bytes of a module's parameters when converted to `dtype`."""
    return sum(weight.numel() for weight in module.parameters()) * dtype.itemsize


def device_maps(
    modules: Mapping[str, nn.Module], placement: Placement, taken: int
) -> dict[str, DeviceMap]:
    """Spreads modules over the budgets of a placement, layer by layer, in their order.

    Args:
        modules: By name, on any device; `_no_split_modules` names classes that must stay whole.
        placement: With a `memory`.
        taken: Bytes of other weights on `placement.device`.

    Raises:
        ModelError: A budget is for a device that does not exist, or the budgets are too small and
            there is no `offload` folder.
    """
    from accelerate import infer_auto_device_map

    together = nn.ModuleDict(modules)
    whole = {kind for m in modules.values() for kind in getattr(m, "_no_split_modules", None) or ()}
    location = infer_auto_device_map(
        together,
        max_memory=_budgets(placement, taken),
        no_split_module_classes=sorted(whole),
        dtype=torch_dtype(placement),
    )
    homeless = [name for name, device in location.items() if device == "disk"]
    if homeless and placement.offload is None:
        raise ModelError(
            f"the budgets have no room for {', '.join(homeless[:3]) or 'anything'}",
            location="placement.memory",
            remedy="Give more memory, a smaller dtype, or a folder as `offload`",
        )
    return {name: _below(name, location) for name in modules}


def dispatch(name: str, module: nn.Module, location: DeviceMap, placement: Placement) -> None:
    """Moves a loaded module's weights to their devices; at run time its inputs follow them.

    Args:
        name: Name of the module, for its files in the offload folder.
        module: Its weights are in memory.
        location: See `device_maps`.
        placement: Device of inputs and outputs, and the offload folder.
    """
    from accelerate import dispatch_model

    if location == {"": "disk"}:  # accelerate saves the weights of named modules only
        location = {part: "disk" for part, _ in module.named_children()}
    folder = None
    if "disk" in location.values() and placement.offload is not None:
        placement.offload.mkdir(parents=True, exist_ok=True)
        # A new folder for every load: accelerate reuses any weights it finds there.
        folder = tempfile.mkdtemp(prefix=f"{name}-", dir=placement.offload)
        weakref.finalize(module, shutil.rmtree, folder, ignore_errors=True)
    dispatch_model(
        module,
        location,
        main_device=_accelerates_name(check_device(placement.device)),
        offload_dir=folder,
        skip_keys=getattr(module, "_skip_keys_device_placement", None),
    )


def _budgets(placement: Placement, taken: int) -> dict[int | str, int]:
    """Bytes by accelerate's device names, less `taken` on the main device."""
    from accelerate.utils.modeling import convert_file_size_to_int

    home, left = _accelerates_name(check_device(placement.device)), {}
    for name, size in (placement.memory or {}).items():
        device = _accelerates_name(check_device(name))
        room = int(convert_file_size_to_int(size.replace(" ", "")))
        room -= taken if device == home else 0
        if room < 0:
            raise ModelError(
                f"{size} on {name} are {-room:,} bytes too few for the parts that are not spread",
                location="placement.memory",
                remedy="Give the device more memory, or take another one as `device`",
            )
        left[device] = room
    return left


def _accelerates_name(device: torch.device) -> int | str:
    """Accelerate's name of a device: `cpu`, or an accelerator's number."""
    return "cpu" if device.type == "cpu" else device.index or 0


def _below(name: str, location: DeviceMap) -> DeviceMap:
    """The entries of a device map for one module, by names inside it."""
    inside = {
        key.removeprefix(name).removeprefix("."): device
        for key, device in location.items()
        if key == name or key.startswith(f"{name}.")
    }
    return inside or {"": location[""]}
