"""Content hashes of the settings of a night and of everything that decides one asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.aspect import SQUARE
from pigeon_rec.data.prompts import PromptTemplate
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.settings import Settings

__all__ = ["asset_key", "settings_hash"]

_FORMAT: Final = 1  # part of every key: raise it if the same inputs come to mean another picture

_GENERATION: Final = frozenset(
    {
        *("diffusion_steps", "history_mask_ratio", "image_format", "language_guidance"),
        *("mask_ratios", "render_guidance", "rendered", "temperature", "top_k"),
    }
)
_GATE: Final = frozenset(
    {
        *("max_reference_similarity", "max_unsafe_score", "min_pixel_std"),
        *("min_reference_difference", "min_text_score"),
    }
)
"""Settings that always enter the hash. Never add to these sets: a newer setting enters only where
it differs from its default, so that adding one does not redraw every asset."""

_HASHED_AS: Final[Mapping[str, str]] = {
    "language_guidance": "reference_guidance",
    "render_guidance": "guidance_scale",
}
"""Hashed names of renamed settings: a new name must not redraw assets either."""


def settings_hash(config: NightlyConfig, prompt: PromptTemplate) -> str:
    """Hashes all settings that decide how a request is drawn and which candidate is published.

    The quality gate is part of it, because it decides between the candidates of a request: under
    another gate, an earlier choice or rejection no longer holds.
    """
    decides = {
        "generation": _hashed(config.generation, _GENERATION),
        "gate": _hashed(config.gate, _GATE),
        "prompt": [prompt.scenario, prompt.prefix, prompt.response, *_lengths(prompt)],
    }
    arithmetic = config.placement.arithmetic
    return digest(decides | {"arithmetic": arithmetic} if arithmetic else decides)


def _hashed(settings: Settings, always: frozenset[str]) -> dict[str, Any]:
    """Returns the settings that enter the hash, as JSON values by their hashed names.

    These are the settings in `always` unless they are None, and all others that differ from
    their defaults.
    """
    fields = type(settings).model_fields
    defaults = {name: f.get_default(call_default_factory=True) for name, f in fields.items()}
    left_out = {
        name
        for name, default in defaults.items()
        if getattr(settings, name) == (None if name in always else default)
    }
    values = settings.model_dump(mode="json", exclude=left_out)
    return {_HASHED_AS.get(name, name): value for name, value in values.items()}


def _lengths(prompt: PromptTemplate) -> list[object]:
    """Returns a template's text lengths and aspect; empty if all are defaults."""
    lengths: list[object] = [prompt.target_tokens, prompt.history_tokens, str(prompt.aspect)]
    return [] if lengths == [None, None, str(SQUARE)] else lengths


def asset_key(
    history: Sequence[tuple[str, ...]],
    reference: tuple[str, str],
    target: str,
    *,
    model_version: str,
    settings: str,
    seed: int,
) -> str:
    """Hashes everything that decides one asset; 64 hexadecimal digits.

    Args:
        history: Item id and image hash of each history item, and the text before its image where
            the scenario has one; in the order of the instruction.
        reference: Item id and image hash of the reference.
        target: Text of the target.
        model_version: Version of the weights.
        settings: `settings_hash` of the night.
        seed: Root of the night's randomness.
    """
    return digest(
        {
            "format": _FORMAT,
            "history": [list(item) for item in history],
            "reference": list(reference),
            "target": target,
            "model": model_version,
            "settings": settings,
            "seed": seed,
        }
    )
