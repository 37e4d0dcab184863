"""Keys of assets: hashes of the settings of a night and of everything that decides one asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from pigeon_rec.config import NightlyConfig, QualityGateConfig, gate_limits
from pigeon_rec.data.aspect import SQUARE
from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.prompts import PromptTemplate
from pigeon_rec.drawing.texts import history_texts, target_texts
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.settings import Settings

__all__ = ["KeyContext", "asset_key", "asset_keys", "settings_hash"]

_FORMAT: Final = 1  # part of every key: increase it if the same inputs give another picture

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


@dataclass(frozen=True)
class KeyContext:
    """The part of every key that all requests of a night share.

    Attributes:
        model_version: Version of the weights.
        settings: `settings_hash` of the night.
        seed: Root of the night's randomness.
    """

    model_version: str
    settings: str
    seed: int


def settings_hash(
    config: NightlyConfig,
    prompt: PromptTemplate,
    gate: QualityGateConfig | None = None,
    scorer: str | None = None,
) -> str:
    """Hashes all settings that decide how a request is drawn and which candidate is published.

    The quality gate is part of it, because it decides between the candidates of a request: under
    another gate, an earlier choice or rejection no longer holds. `gate` has the limits of a
    calibrated night; left out, they are those of `config`. `scorer` is the encoder id of a scorer
    that is not the model's own, whose digest is in the model's version.
    """
    decides = {
        "generation": _hashed(config.generation, _GENERATION),
        "gate": _hashed(gate or gate_limits(config.gate), _GATE),
        "prompt": [prompt.scenario, prompt.prefix, prompt.response, *_lengths(prompt)],
    }
    further = {
        "arithmetic": config.placement.arithmetic,
        "backbone": config.backbone.given,
        "scorer": scorer,
    }
    return digest(decides | {name: value for name, value in further.items() if value})


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


def asset_keys(
    requests: pl.DataFrame, catalogue: Catalogue, prompt: PromptTemplate, context: KeyContext
) -> list[str]:
    """Returns the `asset_key` of each request.

    Args:
        requests: Columns `item_id, history_ids`.
        catalogue: Source of image hashes and texts.
        prompt: Template of the instruction.
        context: Model, settings and seed.

    Raises:
        CatalogueError: The catalogue does not have one of the items.
    """
    references, histories = requests["item_id"].to_list(), requests["history_ids"].to_list()
    used = sorted({*references, *(item for history in histories for item in history)})
    sha256 = dict(zip(used, catalogue.image_hashes(used), strict=True))
    targets = target_texts(prompt, catalogue.rows(references))
    texts = history_texts(prompt, catalogue, histories)
    keys = []
    for row, (reference, history) in enumerate(zip(references, histories, strict=True)):
        facts: list[tuple[str, ...]] = [(item, sha256[item]) for item in history]
        if texts is not None:
            facts = [(*fact, text) for fact, text in zip(facts, texts[row], strict=True)]
        keys.append(asset_key(facts, (reference, sha256[reference]), targets[row], context))
    return keys


def asset_key(
    history: Sequence[tuple[str, ...]],
    reference: tuple[str, str],
    target: str,
    context: KeyContext,
) -> str:
    """Hashes everything that determines one picture; 64 hexadecimal digits.

    Args:
        history: Item id and image hash of each history item, and the text before its image if the
            scenario has one; in the order of the model's input.
        reference: Item id and image hash of the item to be personalised.
        target: Text of the target.
        context: Model, settings and seed.
    """
    return digest(
        {
            "format": _FORMAT,
            "history": [list(item) for item in history],
            "reference": list(reference),
            "target": target,
            "model": context.model_version,
            "settings": context.settings,
            "seed": context.seed,
        }
    )
