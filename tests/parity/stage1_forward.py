"""Stage 1 from patch features to the loss and the adapter's gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pigeon_rec.model.merging import Instruction, merge_images
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.published.masking import MaskedImages, decode_kept
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.tokens import ImageTokens
from pigeon_rec.training.preference import IGNORED, sequence_log_probabilities, token_losses
from tests.parity.batches import label_last, mask_images
from tests.parity.checks import GRADIENT, LOGITS, Checks
from tests.parity.decoders import build_decoder
from tests.parity.golden import Golden
from tests.parity.language_model import build_personalisation, logits, merged_ids, token_ids
from tests.parity.mask_generator import generator_config, load_generator
from tests.parity.sequences import label_counts, shifted
from tests.parity.visual_tokenizer import build_tokenizer, compare_ids, tokenize

__all__ = ["stage1_forward"]


@dataclass(frozen=True)
class _Parts:
    personalisation: Personalisation
    decoder: TokenizerDecoder
    codebook: Tensor
    history: ImageTokens
    target: ImageTokens


def stage1_forward(golden: Golden, checks: Checks) -> None:
    """Codes of every image, then every case from masks to scores."""
    parts = _build(golden, checks)
    for case, options in golden.cases.items():
        _compare_case(golden, checks, parts, case, options)


@torch.no_grad()
def _build(golden: Golden, checks: Checks) -> _Parts:
    sizes, images = golden.settings, golden.settings["images_per_sample"]
    own = sizes["visual_tokenizer"]
    tokenizer = build_tokenizer(
        golden.under("param.visual_tokenizer."), own["num_patches"], own["heads"], own["layers"]
    )
    weights = golden.under("param.mask_generator.")
    generator = generator_config(sizes["mask_generator"], weights)
    model = build_personalisation(golden, checks, generator)
    load_generator(model.mask_generator, weights, checks)
    decoder = build_decoder(sizes["decoder"], golden.under("param.tokenizer_decoder."))
    found = tokenize(tokenizer, golden["in.encoder_features"], golden["in.tokenizer_gumbel"]).ids
    compare_ids(checks, golden, found, model.vocabulary.first_code)
    codes = found.view(-1, images, found.shape[1])
    history, target = (
        ImageTokens.from_codes(part, model.vocabulary) for part in (codes[:, :-1], codes[:, -1:])
    )
    # As published, the target's opening and closing ids are scored with its codes.
    target = target.wrapped(model.vocabulary)
    return _Parts(model, decoder, tokenizer.quantize.embedding.weight, history, target)


def _compare_case(
    golden: Golden, checks: Checks, parts: _Parts, case: str, options: dict[str, Any]
) -> None:
    model, inference = parts.personalisation, options["inference"]
    history, target = parts.history, parts.target
    if options.get("with_mask", True):
        masked = mask_images(
            model,
            (history, target),
            (options["hist_mask_ratio"], options["mask_ratio"]),
            golden[f"in.{case}.mask_gumbel"],
            rebuild=not inference,
        )
        _compare_masks(golden, checks, case, masked)
        history, target = masked.history, masked.target
    decoded = decode_kept(parts.decoder, parts.codebook, target, model.vocabulary)
    checks.close(f"{case}: ref_embed", decoded.prompt.mean(1), golden[f"out.{case}.ref_embed"])
    reference = model.adapter(decoded)
    checks.close(f"{case}: adapter", reference[:, 0], golden[f"out.{case}.adapter"])
    instruction = _merge(golden, checks, case, parts, (history, target), inference)
    embeds = model.embed(instruction, reference)
    seen = torch.where(instruction.attention.unsqueeze(-1), embeds, 0.0)
    checks.close(f"{case}: inputs_embeds", seen, golden[f"out.{case}.inputs_embeds"])
    scores = logits(model, instruction, embeds)
    if inference:
        _compare_next(golden, checks, case, parts, scores[:, -1])
    else:
        _compare_loss(golden, checks, case, parts, instruction, scores)


def _compare_masks(golden: Golden, checks: Checks, case: str, masked: MaskedImages) -> None:
    positions = golden[f"out.{case}.mask_position_ids"]
    checks.equal(f"{case}: mask_position_ids", masked.row.positions, positions)
    checks.equal(f"{case}: mask_type_ids", masked.types, golden[f"out.{case}.mask_type_ids"])
    checks.close(f"{case}: cos_sim", masked.scores.cosine, golden[f"out.{case}.cos_sim"])
    checks.equal(f"{case}: keep", masked.row.keep.long(), golden[f"out.{case}.keep"])


def _merge(
    golden: Golden,
    checks: Checks,
    case: str,
    parts: _Parts,
    masked: tuple[ImageTokens, ImageTokens],
    inference: bool,
) -> Instruction:
    """History and, in training, the whole target in their places of the text.

    Args:
        golden: The file.
        checks: Takes the comparisons.
        case: Name of the case.
        parts: The target as it is.
        masked: The masked history, and the masked copy of the target.
        inference: Whether the target is left to be written.
    """
    vocabulary = parts.personalisation.vocabulary
    history, copy = masked
    if golden.settings["add_special"]:
        history, copy = history.wrapped(vocabulary), copy.wrapped(vocabulary)
    checks.equal(f"{case}: masked_target", token_ids(copy), golden[f"out.{case}.masked_target"])
    images = history if inference else history.join(parts.target)
    checks.equal(f"{case}: masked_images", token_ids(images), golden[f"out.{case}.masked_images"])
    checks.equal(f"{case}: image_lengths", images.lengths, golden[f"out.{case}.image_lengths"])
    text, mask = golden["in.text_ids"], golden["in.text_mask"]
    instruction = merge_images(text, mask.bool(), images, vocabulary)
    checks.equal(f"{case}: input_ids", merged_ids(instruction), golden[f"out.{case}.input_ids"])
    attention = golden[f"out.{case}.attention_mask"]
    checks.equal(f"{case}: attention_mask", instruction.attention, attention)
    return instruction


def _compare_next(golden: Golden, checks: Checks, case: str, parts: _Parts, scores: Tensor) -> None:
    """Scores of the first token to write `[B, V]`, and what it should be."""
    rows = golden["in.vocab_rows"]
    checks.close(f"{case}: next_logits", scores[:, rows], golden[f"out.{case}.next_logits"], LOGITS)
    total = scores.logsumexp(-1)
    checks.close(f"{case}: next_logsumexp", total, golden[f"out.{case}.next_logsumexp"], LOGITS)
    checks.equal(f"{case}: labels", token_ids(parts.target), golden[f"out.{case}.labels"])


def _compare_loss(
    golden: Golden,
    checks: Checks,
    case: str,
    parts: _Parts,
    instruction: Instruction,
    scores: Tensor,
) -> None:
    """Labels, scores `[B, M, V]` where they are predicted, the loss, and the adapter's gradient."""
    labels = label_last(instruction.ids, parts.target.lengths[:, -1] - 1)
    checks.equal(f"{case}: labels", labels, golden[f"out.{case}.labels"])
    batch, place = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    checks.equal(f"{case}: label_batch", batch, golden[f"out.{case}.label_batch"])
    checks.equal(f"{case}: label_position", place, golden[f"out.{case}.label_position"])
    predicted, rows = scores[batch, place], golden["in.vocab_rows"]
    checks.close(f"{case}: logits", predicted[:, rows], golden[f"out.{case}.logits"], LOGITS)
    total = predicted.logsumexp(-1)
    checks.close(f"{case}: logsumexp", total, golden[f"out.{case}.logsumexp"], LOGITS)
    each = token_losses(*shifted(scores, labels))[batch, place]
    checks.close(f"{case}: token_loss", each, golden[f"out.{case}.token_loss"])
    logps = sequence_log_probabilities(*shifted(scores, labels))
    loss = -logps.sum() / label_counts(labels).sum()
    checks.close(f"{case}: loss", loss, golden[f"out.{case}.loss"])
    for part in ("encoder", "decoder"):
        weight = parts.personalisation.adapter.get_parameter(f"{part}.weight")
        (gradient,) = torch.autograd.grad(loss, weight, retain_graph=True)
        wanted = golden[f"out.{case}.grad.adapter_{part}_weight"]
        checks.close(f"{case}: gradient of the adapter's {part}", gradient, wanted, GRADIENT)
