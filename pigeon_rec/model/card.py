"""The model card: README.md of a model folder, with metadata that the Hugging Face Hub reads.

Facts are kept in the metadata, and the text is written from them and from the folder: sizes from
the configuration, figures from `evaluation.json` if it is there. A card depends on nothing else, so
the same model always has the same card. It is no part of the model's version.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from pigeon_rec.errors import ModelError
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.runtime.digests import weights_sha256
from pigeon_rec.runtime.files import read_json, write_bytes, write_text

__all__ = ["CARD", "EVALUATION", "CardFacts", "add_evaluation", "read_card", "write_card"]

CARD: Final = "README.md"
EVALUATION: Final = "evaluation.json"
"""Results of `pigeon-rec evaluate`, as copied into a model folder."""

_TAGS: Final = ("pigeon-rec", "recommender-systems", "personalization", "image-generation")
_LONGEST_HEADER: Final = 100_000_000  # as the safetensors format allows


@dataclass(frozen=True)
class CardFacts:
    """What a model folder cannot tell by itself.

    Attributes:
        license: Licence of the weights, as the Hub spells it (`apache-2.0`); `other` until the
            owner of the weights chooses one.
        trained_on: What the model was trained on, in a sentence each.
        base_model: The model that training started from: `owner/name` of the Hub, or a version.
    """

    license: str = "other"
    trained_on: tuple[str, ...] = ()
    base_model: str | None = None


def read_card(folder: Path) -> CardFacts | None:
    """Returns the facts of a model folder's card; None without a readable one."""
    metadata = _metadata(folder)
    if metadata is None:
        return None
    own = metadata.get("pigeon_rec")
    own = own if isinstance(own, dict) else {}
    trained_on = own.get("trained_on")
    base = own.get("base_model") or metadata.get("base_model")
    return CardFacts(
        str(metadata.get("license", "other")),
        tuple(map(str, trained_on)) if isinstance(trained_on, list) else (),
        base if isinstance(base, str) else None,
    )


def write_card(folder: Path, facts: CardFacts | None = None, **changes: Any) -> Path:
    """Writes the card of a saved model anew.

    Args:
        folder: The folder, with its `config.json` and weights.
        facts: By default those of the present card, if there is one.
        changes: Fields of `CardFacts` to change.

    Raises:
        ModelError: The folder holds no saved model.
    """
    facts = replace(facts or read_card(folder) or CardFacts(), **changes)
    config = PigeonConfig.load(folder)
    metadata: dict[str, Any] = {
        "license": facts.license,
        "library_name": "pigeon-rec",
        "pipeline_tag": "image-to-image",
        "tags": list(_TAGS),
    }
    if facts.base_model is not None and "/" in facts.base_model:
        metadata["base_model"] = facts.base_model
    metadata["pigeon_rec"] = {
        "name": config.name,
        "trained_on": list(facts.trained_on),
        "base_model": facts.base_model,
    }
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=100)
    write_text(f"---\n{head}---\n\n{_text(folder, config, facts)}", folder / CARD)
    return folder / CARD


def add_evaluation(folder: Path, results: Path) -> None:
    """Copies the results of an evaluation of this model into its folder.

    Raises:
        ModelError: They cannot be read, or are those of another model.
    """
    try:
        version = str(read_json(results)["model_version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the results cannot be read: {error}",
            location=str(results),
            remedy=f"Give the {EVALUATION} that `pigeon-rec evaluate` wrote",
        ) from error
    digest = weights_sha256(folder)[:12]
    if version.rpartition("-")[2] != digest:
        raise ModelError(
            f"the results are those of the model {version!r}, this one ends with {digest!r}",
            location=str(results),
            remedy="Evaluate this model: pigeon-rec evaluate run --model DIR",
        )
    write_bytes(results.read_bytes(), folder / EVALUATION)


def _metadata(folder: Path) -> Mapping[str, Any] | None:
    try:
        _, head, _ = (folder / CARD).read_text("utf-8").split("---\n", 2)
        found = yaml.safe_load(head)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(folder: Path, config: PigeonConfig, facts: CardFacts) -> str:
    side = config.tokenizer.image_size
    trained = [f"- {line}" for line in facts.trained_on] or ["- not recorded"]
    held_out = (folder / "held_out.csv").is_file()
    scorer = (folder / "scorer" / "config.json").is_file()
    return "\n".join(
        [
            f"# {config.name}",
            "",
            "A Pigeon model for the Python package `pigeon-rec`: it draws a "
            "personalised picture of an item from the pictures in a user's history, the item's own "
            "picture and its text. The method is that of *Personalized Image Generation with Large "
            "Multimodal Models* (arXiv:2410.14170).",
            "",
            "## The model",
            "",
            "| | |",
            "|---|---|",
            f"| picture | {side} x {side} pixels, {config.tokenizer.patches} visual tokens |",
            f"| codebook | {config.tokenizer.codebook_size:,} codes |",
            f"| language model | {config.language_model.layers} layers, width "
            f"{config.language_model.hidden} |",
            f"| parameters | {_parameters(folder):,} |",
            f"| scorer | {'in `scorer/`' if scorer else 'none: a night needs one'} |",
            "",
            "## Trained on",
            "",
            *trained,
            f"- Started from: {facts.base_model or 'random weights, or not recorded'}",
            *(["- `held_out.csv` lists the items that training never saw"] if held_out else []),
            "",
            "## Evaluation",
            "",
            *_evaluation(folder),
            "",
            "## Limits",
            "",
            f"- Pictures have {side} x {side} pixels. A catalogue whose pictures look unlike those "
            "of the training needs a further training.",
            "- The model can copy the reference, lose what it shows, or draw something that has no "
            "sense. Serve pictures that passed the quality gate, and no others.",
            "- Nothing in the model checks what a picture shows: switch on `gate.safety` where "
            "a catalogue or its users could lead to unsafe pictures.",
            "- A model that was trained on users' interactions was shaped by them.",
            "",
            "## Use",
            "",
            "```python",
            "import pigeon_rec as pr",
            "",
            'pigeon = pr.load_pipeline("owner/name", revision="main")  # or the folder',
            "```",
            "",
            "In a night, set `model: hf://owner/name@<commit>` in its settings. "
            "`pigeon-rec model info owner/name` shows what is in it.",
            "",
        ]
    )


def _parameters(folder: Path) -> int:
    """Counts the numbers in the weight files of the pipeline, from their headers."""
    return sum(map(_numbers, sorted(folder.glob("*.safetensors"))))


def _numbers(path: Path) -> int:
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8).ljust(8, b"\0"))
        header = json.loads(stream.read(min(length, _LONGEST_HEADER)) or b"{}")
    return sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")


def _evaluation(folder: Path) -> list[str]:
    try:
        summary = read_json(folder / EVALUATION)
        methods, confidence = summary["methods"], summary["settings"]["confidence"]
        names = sorted({name for m in methods.values() for name in m["metrics"]})
        rows = [
            f"| {m['label']} | {m['cases']} | "
            + " | ".join(_figure(m["metrics"].get(name)) for name in names)
            + " |"
            for m in methods.values()
        ]
        data = f"{summary['data']['name']}, {confidence:.0%} bootstrap intervals"
    except FileNotFoundError:
        return ["No figures are in this folder. `pigeon-rec evaluate` measures them."]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [f"`{EVALUATION}` is there, but cannot be read."]
    return [
        f"On {data}; `{EVALUATION}` has all of it.",
        "",
        "| method | cases | " + " | ".join(names) + " |",
        "|---|---:|" + "---:|" * len(names),
        *rows,
    ]


def _figure(found: Mapping[str, Any] | None) -> str:
    if not found or found.get("mean") is None:
        return ""
    low, high = found.get("low"), found.get("high")
    inside = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return f"{found['mean']:.3f}{inside}"
