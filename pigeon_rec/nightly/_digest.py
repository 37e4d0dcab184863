"""Content hashes: of settings, of tables, and of everything that decides one picture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Final

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.aspect import SQUARE
from pigeon_rec.data.prompts import PromptTemplate

__all__ = ["asset_key", "digest", "frame_sha256", "settings_hash"]

_SLICE_ROWS: Final = 1 << 18
_FORMAT: Final = 1  # part of every key: raise it if the same inputs come to mean another picture


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`: sorted keys, no spaces, UTF-8."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def frame_sha256(frame: pl.DataFrame) -> str:
    """SHA-256 of the rows of a frame, in their order, as one JSON object a line."""
    total = hashlib.sha256(" ".join(frame.columns).encode())
    for part in frame.iter_slices(_SLICE_ROWS):
        total.update(part.write_ndjson().encode())
    return total.hexdigest()


def settings_hash(config: NightlyConfig, prompt: PromptTemplate) -> str:
    """Hash of how pictures are drawn and judged, wherever and for whomever.

    The gate is part of it, because it decides between the candidates of a picture: under another
    gate, yesterday's choice and yesterday's refusals say nothing.
    """
    decides = {
        # What is None changes nothing, and leaves the keys that there were before it.
        "generation": config.generation.model_dump(mode="json", exclude_none=True),
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
