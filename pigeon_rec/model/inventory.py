"""Contents of a model folder and the memory the model needs, from headers alone.

Weights are not read: shapes come from the headers of the files, and expected keys from modules on
the meta device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pigeon_rec.errors import ModelError
from pigeon_rec.model.backbones.kinds import DEFAULTS, Kind, drawn_size, kind_of
from pigeon_rec.model.backbones.weights import weights_of
from pigeon_rec.model.card import CardFacts, read_card
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.hub import cached_model
from pigeon_rec.model.parts import saved_weights, untrained_parts
from pigeon_rec.model.paths import is_published, model_folder
from pigeon_rec.model.published.folder import PublishedFolder
from pigeon_rec.model.published.key_maps import KEY_MAPS, OWN, KeyMap
from pigeon_rec.model.published.parts import add_lora, build_parts
from pigeon_rec.model.published.sizes import PublishedSizes, measure
from pigeon_rec.model.published.weight_files import WeightFiles
from pigeon_rec.model.version import model_version

__all__ = ["Inventory", "PartFacts", "take_inventory"]

_QUANTISED = r"^model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj\.weight$"
_ROW_SCALE, _BLOCK, _BLOCK_SCALE = 4, 64, 4
"""bitsandbytes keeps a float32 scale for each row of 8 bits, or for each block of 64 of 4 bits."""

_Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class PartFacts:
    """One part of a model.

    Attributes:
        name: Name of its files.
        parameters: Number of parameters, including tables that are computed once.
        stored: Dtypes in its files.
        float32: Bytes in memory at this dtype.
        bfloat16: Bytes in memory at this dtype; the same for float16.
        int8: Bytes at bfloat16 with this quantisation; None for models that cannot be quantised.
        int4: As `int8`.
        missing: Keys missing from its files.
        unknown: Keys that no weight uses.
    """

    name: str
    parameters: int
    stored: tuple[str, ...]
    float32: int
    bfloat16: int
    int8: int | None
    int4: int | None
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inventory:
    """A model.

    Attributes:
        folder: The model's folder.
        published: Whether it has LaVIT's layout.
        kind: `pigeon`, or the kind of another backbone.
        image_size: Side in pixels of the pictures that it is given; None where it is not read.
        options: Options of a backbone other than Pigeon, with their defaults.
        parts: The parts whose files exist.
        missing: Missing files and folders.
        problem: Any other reason that it cannot be loaded, found in headers and settings.
        version: The version that its pictures get.
        hub: Repository and commit of a model from the Hugging Face Hub.
        card: The facts of its card.
    """

    folder: Path
    published: bool
    parts: tuple[PartFacts, ...]
    missing: tuple[str, ...]
    problem: str | None = None
    version: str | None = None
    hub: str | None = None
    card: CardFacts | None = None
    kind: Kind = "pigeon"
    image_size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether no file or key is missing and no key is unknown."""
        keys = any(part.missing or part.unknown for part in self.parts)
        return not (self.missing or keys or self.problem)

    def total(self, fact: str) -> int | None:
        """Sums `parameters` or one of the memory sizes over the parts; None if a part has none."""
        values = [getattr(part, fact) for part in self.parts]
        return None if None in values else sum(values)


def take_inventory(name_or_path: str | Path, revision: str | None = None) -> Inventory:
    """Inspects a bundled model, a saved or published one, one of the Hub, or another backbone.

    Raises:
        ModelError: There is no such model, or a file is damaged.
    """
    folder = model_folder(name_or_path, revision)
    kind, source = kind_of(folder), cached_model(folder)
    if kind != "pigeon":
        found = _backbone(kind, folder)
    else:
        found = _published(folder) if is_published(folder) else _saved(folder)
    return replace(
        found,
        version=model_version(folder),
        hub=None if source is None else str(source),
        card=read_card(folder),
    )


def _backbone(kind: Kind, folder: Path) -> Inventory:
    """Parts of a backbone of a library; only the library knows which keys they must have."""
    parts, missing, problem, side = [], list[str](), None, None
    try:
        side = drawn_size(kind, folder)
        files, missing = weights_of(kind, folder)
        missing += [path for its in files.values() for path in _absent(its.paths)]
        present = {name: its for name, its in files.items() if not _absent(its.paths)}
        parts = [_facts(name, None, its.headers(), KeyMap()) for name, its in present.items()]
    except ModelError as error:
        problem = str(error)
    return Inventory(
        folder,
        published=False,
        parts=tuple(parts),
        missing=tuple(missing),
        problem=problem,
        kind=kind,
        image_size=side,
        options=DEFAULTS[kind],
    )


def _saved(folder: Path) -> Inventory:
    config = PigeonConfig.load(folder)
    with torch.device("meta"):
        modules = untrained_parts(config).modules()
    parts, missing = [], _absent([folder / "tokenizer.json"])
    for name, module in modules.items():
        path = folder / f"{name}.safetensors"
        if path.is_file():
            headers = WeightFiles((path,), path).headers()
            parts.append(_facts(name, saved_weights(module, config), headers, KeyMap()))
        else:
            missing.append(str(path))
    side = config.tokenizer.image_size
    return Inventory(folder, False, tuple(parts), tuple(missing), image_size=side)


def _published(root: Path) -> Inventory:
    folder = PublishedFolder.find(root)
    files, missing = folder.found()
    present = {name: its for name, its in files.items() if not _absent(its.paths)}
    missing += [path for its in files.values() for path in _absent(its.paths)]
    headers = {name: its.headers() for name, its in present.items()}
    expected: Mapping[str, _Weights] = {}
    problem = None
    if not missing:
        try:
            expected = _expected(measure(folder, files))
        except ModelError as error:
            problem = str(error)
    parts = []
    for name, found in headers.items():
        key_map = KEY_MAPS.get(f"{name}/{folder.resolution}", KEY_MAPS.get(name, KeyMap()))
        parts.append(_facts(name, expected.get(name), found, key_map, published=True))
    return Inventory(root, True, tuple(parts), tuple(missing), problem)


def _expected(sizes: PublishedSizes) -> dict[str, _Weights]:
    """Returns the weights each part of these sizes must have, on the meta device."""
    parts = build_parts(sizes)
    expected = {
        name: {
            key: w for key, w in module.state_dict().items() if re.search(OWN.get(name, ""), key)
        }
        for name, module in parts.by_file().items()
    }
    language_model = parts.personalisation.language_model
    add_lora(language_model, sizes.lora)
    state = language_model.state_dict().items()
    return expected | {"lora": {key: weight for key, weight in state if ".lora_" in key}}


def _facts(
    name: str,
    expected: _Weights | None,
    headers: _Weights,
    key_map: KeyMap,
    *,
    published: bool = False,
) -> PartFacts:
    """Facts of one part, of the expected weights if known, otherwise of the stored ones."""
    stored = {str(weight.dtype).removeprefix("torch.") for weight in headers.values()}
    missing, unknown = ([], []) if expected is None else key_map.differences(expected, headers)
    weights = key_map.used(headers) if expected is None else expected
    # SDXL's autoencoder is kept in float32, as its settings require; see `load_published`.
    half = 4 if published and name == "vae" else 2
    return PartFacts(
        name,
        sum(weight.numel() for weight in weights.values()),
        tuple(sorted(stored)),
        _bytes(weights, 4),
        _bytes(weights, half),
        _bytes(weights, half, bits=8) if published else None,
        _bytes(weights, half, bits=4) if published else None,
        tuple(missing),
        tuple(unknown),
    )


def _bytes(weights: _Weights, width: int, bits: int | None = None) -> int:
    """Bytes at `width` bytes per number, the language model's layers quantised to `bits`."""
    total = 0
    for name, weight in weights.items():
        if bits is None or not re.search(_QUANTISED, name):
            total += weight.numel() * width
        elif bits == 8:
            total += weight.numel() + weight.shape[0] * _ROW_SCALE
        else:
            total += weight.numel() // 2 + -(-weight.numel() // _BLOCK) * _BLOCK_SCALE
    return total


def _absent(paths: Iterable[Path]) -> list[str]:
    return [str(path) for path in paths if not path.is_file()]
