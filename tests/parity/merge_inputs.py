"""Text and images as one row, its labels, and its padding."""

from __future__ import annotations

import torch

from pigeon_rec.model.mask_generator import PADDING
from pigeon_rec.model.merging import merge_images
from pigeon_rec.model.text_tokenizer import PAD_ID
from pigeon_rec.model.tokens import MASKED, REFERENCE, ImageTokens, Vocabulary
from pigeon_rec.training.preference import IGNORED
from tests.parity.batches import label_last, last_lengths
from tests.parity.checks import Checks
from tests.parity.golden import Golden

__all__ = ["merge_inputs"]


@torch.no_grad()
def merge_inputs(golden: Golden, checks: Checks) -> None:
    """Every case's merged ids, attention and labels; then the padding of the generator's rows."""
    options = golden.settings
    vocabulary = Vocabulary(text=options["img_token"], codes=0)
    for name, ours in (
        ("emb_token", vocabulary.image_end),
        ("visual_offset", vocabulary.first_code),
        ("emb_placeholder", REFERENCE),
        ("masked", MASKED),
        ("pad_token_id", PAD_ID),
        ("ignore", IGNORED),
    ):
        checks.same_setting(name, ours, options[name])
    for case, switches in golden.cases.items():
        _merge(golden, checks, case, switches["inference"], vocabulary)
    if any(name.startswith("out.pad.") for name in golden.unread):
        _pad(golden, checks, vocabulary)


def _merge(
    golden: Golden, checks: Checks, case: str, inference: bool, vocabulary: Vocabulary
) -> None:
    lengths = golden[f"in.{case}.image_lengths"]
    images = ImageTokens.from_rows(golden[f"in.{case}.image_tokens"], lengths)
    text, mask = golden[f"in.{case}.text_ids"], golden[f"in.{case}.text_mask"]
    counts = torch.tensor(golden.cases[case]["images_per_sample"])
    checks.equal(f"{case}: images", (lengths > 0).sum(1), counts)
    merged = merge_images(text, mask.bool(), images, vocabulary)
    checks.equal(f"{case}: input_ids", merged.ids, golden[f"out.{case}.input_ids"])
    attention = golden[f"out.{case}.attention_mask"]
    checks.equal(f"{case}: attention_mask", merged.attention, attention)
    checks.equal(f"{case}: gate", merged.gate == 0, merged.ids == MASKED)
    if not inference:
        labels = label_last(merged.ids, last_lengths(lengths) - 1)
        checks.equal(f"{case}: labels", labels, golden[f"out.{case}.labels"])


def _pad(golden: Golden, checks: Checks, vocabulary: Vocabulary) -> None:
    """Rows of the mask generator, padded right; their images are given by their types."""
    lengths = golden["in.pad.lengths"]
    rows = ImageTokens.from_rows(golden["in.pad.ids"], lengths.unsqueeze(1))
    padding = ~rows.present
    checks.equal("pad: mask", padding, golden["out.pad.mask"])
    checks.equal("pad: pad_count", padding.sum(1), golden["out.pad.pad_count"])
    checks.equal("pad: labels", rows.ids, golden["out.pad.labels"])
    checks.equal("pad: ids", rows.ids.masked_fill(padding, PAD_ID), golden["out.pad.ids"])
    checks.equal("pad: positions", rows.positions, golden["out.pad.positions"])
    given = golden["in.pad.positions"].masked_fill(padding, 0)
    checks.equal("pad: given positions", given, golden["out.pad.positions"])
    types = golden["in.pad.types"].masked_fill(padding, PADDING)
    checks.equal("pad: types", types, golden["out.pad.types"])
