"""The published loop and a night's way of drawing, technique by technique, on the same weights.

The loop draws as the published code does: each sample alone, all its pictures tokenised again for
each of 11 mask ratios, each ratio a full pass, 25 DDIM steps guided away from zero prompts, and a
scorer loaded again for each metric of each ratio. It is spared what costs most there: a new process
and model for each ratio, and the four beams.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import GenerationConfig, QualityGateConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing import Request
from pigeon_rec.drawing.drawer import Drawer
from pigeon_rec.model.backbones.pigeon import PigeonBackbone
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.published.pipeline import PUBLISHED_GENERATION
from pigeon_rec.placement import Placement
from pigeon_rec.scoring import clip_text_score, combine_scores, history_similarity
from pigeon_rec.scoring.scorer import load_scorer

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import LlamaModel

__all__ = [
    "ALL",
    "MODEL",
    "NAMES",
    "NONE",
    "OPTIONAL_NAMES",
    "Techniques",
    "draw",
    "drawer_for",
    "label",
    "pipeline_for",
    "selection_scores",
    "write",
]

MODEL: Final = "sticker-64"

Images = NDArray[np.uint8]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Techniques:
    """What a way of drawing does for speed or quality; the published loop does none of it."""

    codes: bool = field(metadata={"label": "every picture tokenised once"})
    prefix: bool = field(metadata={"label": "shared-prefix key/value cache for all mask ratios"})
    batches: bool = field(metadata={"label": "eight cases in a batch"})
    previews: bool = field(metadata={"label": "only the shortlist of previews rendered"})
    solver: bool = field(metadata={"label": "few multistep solver steps, not 25 of DDIM"})
    unguided: bool = field(metadata={"label": "no render guidance"})
    writing: bool = field(metadata={"label": "language guidance, lower temperature"})
    scorer: bool = field(metadata={"label": "one scorer, each picture embedded once"})
    # Not part of a night by default.
    bfloat16: bool = field(default=False, metadata={"label": "bfloat16 (`placement.dtype`)"})
    eight_bits: bool = field(
        default=False, metadata={"label": "language model in 8 bits (torch's dynamic quantisation)"}
    )
    compiled: bool = field(
        default=False, metadata={"label": "renderer by `torch.compile`, its compiling not counted"}
    )
    planes: bool = field(
        default=False, metadata={"label": "renderer with channels outermost, not innermost"}
    )

    @property
    def settings(self) -> GenerationConfig:
        """The night's settings where a technique is on, the published ones where it is off."""
        night, published = GenerationConfig(), PUBLISHED_GENERATION
        return GenerationConfig(
            mask_ratios=(night if self.previews else published).mask_ratios,
            rendered=(night if self.previews else published).rendered,
            diffusion_steps=(night if self.solver else published).diffusion_steps,
            render_guidance=(night if self.unguided else published).render_guidance,
            temperature=(night if self.writing else published).temperature,
            language_guidance=(night if self.writing else published).language_guidance,
        )


NAMES: Final = tuple(
    technique.name for technique in fields(Techniques) if technique.default is MISSING
)
OPTIONAL_NAMES: Final = tuple(
    technique.name for technique in fields(Techniques) if technique.default is False
)
ALL: Final = Techniques(*(True for _ in NAMES))
NONE: Final = Techniques(*(False for _ in NAMES))


def label(name: str) -> str:
    """The technique's label in tables."""
    return str(next(t.metadata["label"] for t in fields(Techniques) if t.name == name))


def drawer_for(techniques: Techniques, model: str = MODEL) -> Drawer:
    """A bundled or saved model with the techniques' settings, over the bundled catalogue."""
    return Drawer(
        backbone=PigeonBackbone(pipeline_for(techniques, model), model),
        scorer=load_scorer(model),
        catalogue=load_catalogue("bundled"),
        prompt=load_prompt("sticker"),
        generation=techniques.settings,
        gate=QualityGateConfig(),
    )


def draw(drawer: Drawer, requests: Sequence[Request], techniques: Techniques) -> Images:
    """Renders the requests' candidates, `[requests, candidates, H, W, 3]`.

    Args:
        drawer: From `drawer_for` with the same techniques.
        requests: With histories of one length.
        techniques: What is switched on.
    """
    codes = write(drawer, requests, techniques)
    if not techniques.previews:  # without a shortlist, the loop must not pay for its scores
        return drawer.render(codes, requests)
    conditions = drawer.conditions(requests, drawer.items(requests))
    return drawer.render(codes, requests, drawer.shortlist(codes, conditions))


def write(drawer: Drawer, requests: Sequence[Request], techniques: Techniques) -> NDArray[np.int64]:
    """Writes the visual tokens of every candidate, int64 `[requests, ratios, P]`."""
    ratios, size = drawer.generation.mask_ratios, drawer.pipeline.batch_size
    # One pass for all ratios that share a prefix, or one pass per ratio.
    passes = [ratios] if techniques.prefix else [(ratio,) for ratio in ratios]
    rows = range(len(requests))
    batches = [rows[start : start + size] for start in range(0, len(requests), size)]
    shared = drawer.items(requests) if techniques.codes else None
    patches = drawer.pipeline.config.tokenizer.patches
    codes = np.zeros((len(requests), len(ratios), patches), dtype=np.int64)
    for some in passes:
        one_pass = drawer.with_generation(mask_ratios=some)
        places = [ratios.index(ratio) for ratio in some]
        for batch in batches:
            own = [requests[row] for row in batch]
            items = one_pass.items(own) if shared is None else shared
            codes[np.ix_(batch, places)] = one_pass.write(own, items)
    return codes


def pipeline_for(techniques: Techniques, model: str = MODEL) -> PigeonPipeline:
    """The model with the techniques' numeric type, batch size, solver and renderer."""
    placement = Placement(dtype="bfloat16" if techniques.bfloat16 else "float32")
    pipeline = PigeonPipeline.from_pretrained(model, placement=placement)
    if techniques.eight_bits:
        pipeline.personalisation.language_model.model = _in_eight_bits(pipeline)
    if techniques.planes:
        _use_planes(pipeline.generator.renderer.unet)
    if techniques.compiled:
        pipeline.generator.renderer.compile()
    if not techniques.batches:
        pipeline.batch_size = 1
    if not techniques.solver:
        # DDIM on the schedule that the model was trained with.
        pipeline.generator.sampler = pipeline.generator.noise_schedule  # type: ignore[method-assign]
    return pipeline


def _in_eight_bits(pipeline: PigeonPipeline) -> LlamaModel:
    """The language model with 8-bit weights, and activations quantised at run time."""
    import torch
    from torch.ao.quantization import quantize_dynamic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates it in favour of a separate package
        model: LlamaModel = quantize_dynamic(  # type: ignore[no-untyped-call]
            pipeline.personalisation.language_model.model, {torch.nn.Linear}
        )
    return model


def _use_planes(unet: UNet2DConditionModel) -> None:
    """Uses torch's default memory format, channels outermost."""
    import torch

    def plain(_: object, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return given[0].contiguous(memory_format=torch.contiguous_format), *given[1:]

    unet.to(memory_format=torch.contiguous_format)
    unet.register_forward_pre_hook(plain)


def selection_scores(
    drawer: Drawer,
    requests: Sequence[Request],
    images: Images,
    *,
    keep_scorer: bool,
    model: str = MODEL,
) -> Scores:
    """Selection scores `[requests, candidates]` of rendered candidates.

    Args:
        drawer: The scorer and the catalogue.
        requests: Requests of the images.
        images: `[requests, candidates, H, W, 3]`.
        keep_scorer: Score with one scorer; else load one for each metric of each candidate.
        model: Model whose scorer is loaded again.
    """
    items = drawer.items(requests)
    if keep_scorer:
        scores = drawer.conditions(requests, items).scores(drawer.embed(images))
        return scores["selection_score"]
    histories = items.images[np.stack([items.rows(request.history) for request in requests])]
    described = drawer.catalogue.rows([request.described_by for request in requests])
    texts, columns = described["semantics"].to_list(), []
    for column in images.swapaxes(0, 1):
        scorer = load_scorer(model)
        text = clip_text_score(scorer.encode_images(column), scorer.encode_texts(texts))
        scorer = load_scorer(model)
        flat = scorer.encode_images(histories.reshape(-1, *histories.shape[2:]))
        history = flat.reshape(*histories.shape[:2], -1)
        likeness = history_similarity(scorer.encode_images(column), history)
        columns.append(combine_scores(text, likeness))
    return np.stack(columns, axis=1)
