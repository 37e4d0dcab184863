"""Content hashes: of settings, of tables, and of everything that decides one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.aspect import SQUARE
from pigeon_rec.data.prompts import PromptTemplate
from pigeon_rec.runtime.digests import digest

__all__ = ["asset_key", "settings_hash"]

_FORMAT: Final = 1  # part of every key: raise it if the same inputs come to mean another picture


_HASHED_AS: Final[Mapping[str, str]] = {
    "language_guidance": "reference_guidance",
    "render_guidance": "guidance_scale",
}
"""Hashed names of renamed settings: a new name must not redraw assets."""


def settings_hash(config: NightlyConfig, prompt: PromptTemplate) -> str:
    """Hash of how pictures are drawn and judged, wherever and for whomever.

    The gate is part of it, because it decides between the candidates of a request: under another
    gate, an earlier choice or refusal no longer holds.
    """
    decides = {
        # What is None changes nothing, and leaves the keys that there were before it.
        "generation": {
            _HASHED_AS.get(name, name): value
            for name, value in config.generation.model_dump(mode="json", exclude_none=True).items()
        },
        "gate": config.gate.model_dump(mode="json"),
        "prompt": [prompt.scenario, prompt.prefix, prompt.response, *_lengths(prompt)],
    }
    arithmetic = config.placement.arithmetic
    return digest(decides | {"arithmetic": arithmetic} if arithmetic else decides)


def _lengths(prompt: PromptTemplate) -> list[object]:
    """Where a template cuts its texts, and the proportions it draws in; nothing for a plain one."""
    told: list[object] = [prompt.target_tokens, prompt.history_tokens, str(prompt.aspect)]
    return [] if told == [None, None, str(SQUARE)] else told


def asset_key(
    history: Sequence[tuple[str, ...]],
    reference: tuple[str, str],
    target: str,
    *,
    model_version: str,
    settings: str,
    seed: int,
) -> str:
    """Names one picture by all that decides it; 64 hexadecimal digits.

    Args:
        history: Item id and image hash of each history item, and the text before its picture
            where the scenario has one; in the order the model sees them.
        reference: Item id and image hash of the item to be personalised.
        target: The text that tells the model what to draw.
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
