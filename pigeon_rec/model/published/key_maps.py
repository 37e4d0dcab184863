"""Published keys of our weights, part by part, and the check that all keys are accounted for.

Maps go from our names to the published ones, so that a missing key is named as in its file. Every
key of a file must belong to a weight or be listed as unused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from pigeon_rec.errors import ModelError
from pigeon_rec.model.published.weight_files import WeightFiles

__all__ = ["KEY_MAPS", "LORA_NAME", "OWN", "KeyMap", "fill"]

LORA_NAME = "default"
"""Name of the injected adapter, which is part of its keys."""

OWN: Mapping[str, str] = MappingProxyType({"visual_tokenizer": r"^(?!encoder\.)"})
"""Patterns of a part's own weights, for parts whose files hold only some of the module's."""

_SHOWN = 6
_LAYER = r"^vision\.encoder\.layers\.(\d+)\."


@dataclass(frozen=True)
class KeyMap:
    """Our keys -> published keys of one part.

    Attributes:
        renames: Pattern in our key -> its replacement in the published one. The first match counts;
            without a match both keys are the same.
        joined: Pattern of our key -> published keys whose tensors are concatenated; an empty name
            stands for zeros.
        unused: Patterns of published keys that Pigeon does not use.
        old_names: Pattern in a published key -> its newer name, if files have either.
    """

    renames: tuple[tuple[str, str], ...] = ()
    joined: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unused: tuple[str, ...] = ()
    old_names: tuple[tuple[str, str], ...] = ()

    def sources(self, ours: str) -> tuple[str, ...]:
        """Returns the published keys of one of our weights; more than one if they are joined."""
        for pattern, parts in self.joined:
            if re.search(pattern, ours):
                return tuple(re.sub(pattern, part, ours) if part else "" for part in parts)
        for pattern, published in self.renames:
            if re.search(pattern, ours):
                return (re.sub(pattern, published, ours),)
        return (ours,)

    def newest(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors by their newer names."""
        return {self.newer(name): tensor for name, tensor in published.items()}

    def used(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors that Pigeon uses, by their newer names."""
        return {
            name: tensor
            for name, tensor in self.newest(published).items()
            if not any(re.search(pattern, name) for pattern in self.unused)
        }

    def newer(self, name: str) -> str:
        """Returns a published key's newer name, which may be the same."""
        for pattern, newer in self.old_names:
            name = re.sub(pattern, newer, name)
        return name

    def weights(
        self, expected: Mapping[str, Tensor], published: Mapping[str, Tensor], location: str
    ) -> dict[str, Tensor]:
        """Returns our weights, built from published ones.

        Args:
            expected: Our keys, with tensors of their shapes (on any device).
            published: The file's tensors, or their headers on the meta device.
            location: File or folder, for messages.

        Raises:
            ModelError: A key is missing or left over, or a shape differs; the message names the
                published keys.
        """
        published = self.newest(published)
        sources = {ours: self.sources(ours) for ours in expected}
        self._check_names(expected, published, location)
        weights = {ours: _join(names, published) for ours, names in sources.items()}
        wrong = [
            f"{' + '.join(filter(None, sources[ours]))} is {list(found.shape)}, "
            f"expected {list(expected[ours].shape)}"
            for ours, found in weights.items()
            if found.shape != expected[ours].shape
        ]
        if wrong:
            raise ModelError(f"shapes do not fit: {_few(wrong, '; ')}", location=location)
        return weights

    def differences(
        self, expected: Iterable[str], published: Iterable[str]
    ) -> tuple[list[str], list[str]]:
        """Compares our keys with a file's: returns missing keys, and keys that no weight uses."""
        needed = {name for ours in expected for name in self.sources(ours) if name}
        found = {self.newer(name) for name in published}
        unused = {name for name in found if any(re.search(p, name) for p in self.unused)}
        return sorted(needed - found), sorted(found - needed - unused)

    def _check_names(self, expected: Iterable[str], found: Iterable[str], location: str) -> None:
        missing, extra = self.differences(expected, found)
        if missing or extra:
            reasons = [f"missing are {_few(missing)}"] if missing else []
            reasons += [f"unknown are {_few(extra)}"] if extra else []
            raise ModelError(
                f"the keys do not fit: {'; '.join(reasons)}",
                location=location,
                remedy="Every key of a published file must be loaded or known to be unused",
            )


def fill(
    module: nn.Module,
    key_map: KeyMap,
    files: WeightFiles,
    only: str = "",
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> None:
    """Loads a module that was built on the meta device.

    Names and shapes are checked in the headers. Then tensors are moved to their device one by one,
    so that no more than one of them is in memory twice. Weights that do not match the pattern
    `only` are not in the files and stay as they are.

    Raises:
        ModelError: See `KeyMap.weights`.
    """
    expected = {name: w for name, w in module.state_dict().items() if re.search(only, name)}
    key_map.weights(expected, files.headers(), str(files.location))
    needed = {name for ours in expected for name in key_map.sources(ours)}
    read = {
        name: tensor.to(device, dtype)
        for name, tensor in files.tensors()
        if key_map.newer(name) in needed
    }
    weights = key_map.weights(expected, read, str(files.location))
    whole = {name: weight.contiguous() for name, weight in weights.items()}
    module.load_state_dict(whole, strict=False, assign=True)


def _join(names: tuple[str, ...], published: Mapping[str, Tensor]) -> Tensor:
    if len(names) == 1:
        return published[names[0]]
    like = next(published[name] for name in names if name)
    return torch.cat([published[name] if name else torch.zeros_like(like) for name in names])


def _few(names: list[str], between: str = ", ") -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return between.join(names[:_SHOWN]) + more


KEY_MAPS: Mapping[str, KeyMap] = MappingProxyType(
    {
        # EVA-CLIP's ViT-g, as the vision model of BLIP-2 has it: same layers, other names.
        "visual_encoder": KeyMap(
            renames=(
                (r"^vision\.embeddings\.class_embedding$", "cls_token"),
                (r"^vision\.embeddings\.position_embedding$", "pos_embed"),
                (r"^vision\.embeddings\.patch_embedding\.", "patch_embed.proj."),
                (_LAYER + r"self_attn\.qkv\.weight$", r"blocks.\1.attn.qkv.weight"),
                (_LAYER + r"self_attn\.projection\.", r"blocks.\1.attn.proj."),
                (_LAYER + r"layer_norm(\d)\.", r"blocks.\1.norm\2."),
                (_LAYER + r"mlp\.", r"blocks.\1.mlp."),
                (r"^vision\.post_layernorm\.", "norm."),
            ),
            # Keys have no bias.
            joined=(
                (
                    _LAYER + r"self_attn\.qkv\.bias$",
                    (r"blocks.\1.attn.q_bias", "", r"blocks.\1.attn.v_bias"),
                ),
            ),
            unused=(r"^head\.",),  # CLIP's projection of the class token
        ),
        # `vit_proj` feeds features to LaVIT's language model without codes. The encoder was frozen
        # while the tokenizer was trained: its copy here equals that of its own file.
        "visual_tokenizer": KeyMap(unused=(r"^vit_proj\.", r"^encoder\.")),
        "tokenizer_decoder": KeyMap(
            renames=(
                (r"^projections\.0\.", "unet_proj_1."),
                (r"^projections\.1\.", "unet_proj_2."),
                (r"^attnpool\.", "unet_attnpool."),
            )
        ),
        "tokenizer_decoder/lowres": KeyMap(renames=((r"^projections\.0\.", "unet_proj."),)),
        # Older files hold the rotary frequencies, which follow from the settings.
        "language_model": KeyMap(
            unused=(r"^model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$",)
        ),
        "lora": KeyMap(
            renames=((rf"^(.*\.lora_[AB])\.{LORA_NAME}\.weight$", r"base_model.model.\1.weight"),)
        ),
        "mask_generator": KeyMap(renames=((r"^positions$", "position_embedding.pe"),)),
        "adapter": KeyMap(),
        "unet": KeyMap(),
        # Autoencoders saved before diffusers 0.15 have other names in their attention.
        "vae": KeyMap(
            old_names=(
                (r"(attentions\.\d+)\.query\.", r"\1.to_q."),
                (r"(attentions\.\d+)\.key\.", r"\1.to_k."),
                (r"(attentions\.\d+)\.value\.", r"\1.to_v."),
                (r"(attentions\.\d+)\.proj_attn\.", r"\1.to_out.0."),
            )
        ),
    }
)
"""One map for each part of the layout."""
