"""The published-size model on an accelerator: time, memory and arithmetic of every stage.

Weights are random, which changes neither shapes nor speed. One pass counts the floating-point
operations (a multiplication and an addition are two; torch's counter includes the fused attention
of CUDA, not that of CPUs), the next one is timed. It is not part of `make bench`: `make
gpu-profile`, or `python -m benchmarks.gpu_profile --tiny --device cpu`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from peft import LoraConfig
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig

from benchmarks.full_size import FULL_SIZE, full_parts
from benchmarks.result import Figure, Result, machine
from pigeon_rec.model.configuration import (
    AdapterConfig,
    DecoderConfig,
    LanguageModelConfig,
    MaskGeneratorConfig,
    VisualTokenizerConfig,
)
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.placing import torch_dtype
from pigeon_rec.model.published.parts import PublishedParts, computed_buffers
from pigeon_rec.model.published.pipeline import PUBLISHED_GENERATION, PublishedPipeline
from pigeon_rec.model.published.sizes import HEADS, MASK_HEADS, PublishedSizes
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.placement import Placement

__all__ = ["PEAKS", "STAGES", "TINY", "Plan", "profile", "tiny_plan"]

STAGES = ("tokenise", "mask", "write", "decode", "render")

PEAKS: Mapping[str, float] = MappingProxyType(
    {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12}
)
"""Dense half-precision FLOP/s by a part of the device's name, from NVIDIA's data sheets; those of
H100 and H200 (SXM) give twice as much, for sparse matrices."""

HISTORY = 5
_SPREAD = 0.02


def _tiny() -> PublishedSizes:
    """The same layout at small sizes."""
    full, text, codes, hidden = FULL_SIZE.config, 32_000, 48, 32
    config = full.model_copy(
        update={
            "name": "tiny",
            "tokenizer": VisualTokenizerConfig(
                image_size=32, patch_size=8, width=32, encoder_layers=2, heads=HEADS, code_dim=8,
                codebook_size=codes, keep="dynamic", published=True,
            ),
            "decoder": DecoderConfig(
                code_dim=8, width=32, layers=1, heads=HEADS, queries=16, output_width=48,
                projections=(24, 16), pooled=True, preview_patch=0,
            ),
            "mask_generator": MaskGeneratorConfig(
                heads=MASK_HEADS, feedforward=64, max_position=16, published=True
            ),
            "adapter": AdapterConfig(hidden=20, reference_tokens=1),
            "language_model": LanguageModelConfig(
                text_vocabulary=text, hidden=hidden, layers=2, heads=4, intermediate=64,
                tie_embeddings=False,
            ),
        }
    )  # fmt: skip
    llama = LlamaConfig(
        vocab_size=text + 2 + codes, hidden_size=hidden, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=4, tie_word_embeddings=False,
    )  # fmt: skip
    unet = {
        **FULL_SIZE.unet, "sample_size": 8, "layers_per_block": 1, "norm_num_groups": 8,
        "block_out_channels": [16, 32], "attention_head_dim": [2, 4], "cross_attention_dim": 40,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2], "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 16 + 6 * 4,
    }  # fmt: skip
    vae = {
        **FULL_SIZE.vae, "block_out_channels": [8, 16], "norm_num_groups": 4,
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
    }  # fmt: skip
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"])
    return PublishedSizes(config, llama, lora, unet, vae, FULL_SIZE.scheduler)


TINY = _tiny()


@dataclass(frozen=True)
class Plan:
    """Settings of a run.

    Attributes:
        placement: Device and dtype.
        sizes: Sizes of the model.
        assets: Number of requests, each with a history of five images.
        batch: Requests per batch.
        ratios: Mask ratios, one candidate each.
        steps: Steps of the sampler.
        peak: Peak FLOP/s of the device; from `PEAKS` by default.
    """

    placement: Placement
    sizes: PublishedSizes = FULL_SIZE
    assets: int = 8
    batch: int = 8
    ratios: tuple[float, ...] = (0.0,)
    steps: int = 25
    peak: float | None = None


def tiny_plan(device: str, dtype: str = "float32") -> Plan:
    """Returns a plan for any machine."""
    placement = Placement.model_validate({"device": device, "dtype": dtype})
    return Plan(placement, TINY, assets=2, batch=2, steps=2)


@dataclass
class Spent:
    """Cost of one stage; memory is the peak while it ran."""

    seconds: float = 0.0
    flops: int = 0
    memory: int = 0


@dataclass
class Stages:
    """Charges time, operations and memory to the innermost stage that is open."""

    counter: FlopCounterMode | None = None
    spent: dict[str, Spent] = field(default_factory=lambda: {name: Spent() for name in STAGES})
    _open: list[str] = field(default_factory=list)
    _seconds: float = 0.0
    _flops: int = 0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """A stage, from here to the end of the block."""
        self._charge()
        self._open.append(name)
        yield
        self._charge()
        self._open.pop()

    def reset(self) -> dict[str, Spent]:
        """Starts over, without a counter; returns what was spent before."""
        spent, self.spent = self.spent, {name: Spent() for name in STAGES}
        self.counter, self._flops = None, 0
        return spent

    def _charge(self) -> None:
        memory = _synchronised_peak()
        seconds = time.perf_counter()
        flops = self.counter.get_total_flops() if self.counter else 0
        if self._open:
            spent = self.spent[self._open[-1]]
            spent.seconds += seconds - self._seconds
            spent.flops += flops - self._flops
            spent.memory = max(spent.memory, memory)
        self._seconds, self._flops = seconds, flops


def _synchronised_peak() -> int:
    """Waits for the accelerator; returns its peak bytes since the last call, 0 without one."""
    if not torch.accelerator.is_available():
        return 0
    torch.accelerator.synchronize()
    peak = int(torch.accelerator.max_memory_allocated())
    torch.accelerator.reset_peak_memory_stats()
    return peak


_METHODS = {
    "encode_images": "tokenise",
    "masks": "mask",
    "_write_batch": "write",
    "decode": "decode",
    "render": "render",
}
"""Stage of each method of a pipeline; a stage inside another one is counted by itself."""


def _timed(method: Callable[..., Any], stages: Stages, stage: str) -> Callable[..., Any]:
    @wraps(method)
    def timed(*args: Any, **named: Any) -> Any:
        with stages(stage):
            return method(*args, **named)

    return timed


def profile(plan: Plan) -> Result:
    """Runs a plan twice, counting and timing.

    Raises:
        ModelError: The placement's device is not there.
    """
    pipeline, stages = _random_pipeline(plan), Stages()
    for name, stage in _METHODS.items():
        setattr(pipeline, name, _timed(getattr(pipeline, name), stages, stage))
    with FlopCounterMode(display=False) as stages.counter, _unfused():
        _draw(pipeline, plan)
    counted = stages.reset()
    _draw(pipeline, plan)
    for name, spent in stages.spent.items():
        spent.flops = counted[name].flops
    return Result("gpu_profile", _figures(stages.spent, plan))


@contextmanager
def _unfused() -> Iterator[None]:
    """Runs transformer layers unfused: the counter does not see into fused ones."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(fused)


def _draw(pipeline: PublishedPipeline, plan: Plan) -> None:
    side, random = plan.sizes.config.tokenizer.image_size, np.random.default_rng(0)
    pictures = random.integers(0, 256, (plan.assets, HISTORY + 1, side, side, 3), dtype=np.uint8)
    pipeline(
        pictures[:, :HISTORY],
        pictures[:, HISTORY],
        ["a picture of something that somebody may like"] * plan.assets,
        keys=[str(asset) for asset in range(plan.assets)],
        settings=PUBLISHED_GENERATION.model_copy(
            update={"mask_ratios": plan.ratios, "diffusion_steps": plan.steps}
        ),
    )


def _random_pipeline(plan: Plan) -> PublishedPipeline:
    parts = full_parts(plan.sizes)
    _fill(parts, plan.placement)
    text = TextTokenizer.load(model_folder("sticker-64") / "tokenizer.json")
    return PublishedPipeline(plan.sizes.config, parts, text, plan.batch, plan.placement)


@torch.no_grad()
def _fill(parts: PublishedParts, placement: Placement) -> None:
    """Fills parts on the meta device with random weights: norms near one, all else near zero."""
    modules = (parts.tokenizer, parts.decoder, parts.personalisation, parts.generator)
    for module in modules:
        module.to(torch_dtype(placement))
    parts.generator.vae.float()  # as `load_published` keeps it
    random = torch.Generator(placement.device).manual_seed(0)
    for module in modules:
        module.to_empty(device=placement.device).requires_grad_(False)
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            scale = tensor.dim() == 1 and name.endswith("weight")
            tensor.normal_(mean=float(scale), std=_SPREAD, generator=random)
    computed_buffers(parts.personalisation.language_model, placement.device)


def _figures(spent: Mapping[str, Spent], plan: Plan) -> Sequence[Figure]:
    peak, figures = plan.peak or _known_peak(plan.placement), []
    for name, its in spent.items():
        figures.append(Figure(f"{name}: seconds", its.seconds, "s", f"{plan.assets} assets"))
        figures.append(Figure(f"{name}: operations", its.flops / 1e12, "TFLOP"))
        if its.memory:
            figures.append(Figure(f"{name}: peak memory", its.memory / 1e9, "GB"))
        if peak:
            share = its.flops / its.seconds / peak
            figures.append(Figure(f"{name}: share of peak", 100 * share, "%", f"of {peak:.3g}/s"))
    seconds = sum(its.seconds for its in spent.values())
    return [*figures, Figure("all: assets per hour", 3600 * plan.assets / seconds, "per hour")]


def _known_peak(placement: Placement) -> float | None:
    if not placement.device.startswith("cuda") or placement.dtype == "float32":
        return None
    name = torch.cuda.get_device_name(placement.device)
    return next((peak for piece, peak in PEAKS.items() if piece in name), None)


def _options() -> tuple[Plan, bool]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", help="by default the machine's accelerator")
    parser.add_argument("--dtype", default="bfloat16", help="float32, bfloat16 or float16")
    parser.add_argument("--tiny", action="store_true", help="sizes of a test, for any machine")
    parser.add_argument("--assets", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=25, help="of the sampler")
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.0], help="mask ratios")
    parser.add_argument("--peak", type=float, help="peak FLOP/s of the device")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    device = options.device
    if device is None:
        found = torch.accelerator.current_accelerator(check_available=True)
        if found is None:
            parser.exit(
                1,
                "gpu-profile needs an accelerator, and torch sees none on this machine. "
                "Without one: python -m benchmarks.gpu_profile --tiny --device cpu\n",
            )
        device = found.type
    if options.tiny:
        return tiny_plan(device, options.dtype), options.json
    placement = Placement.model_validate({"device": device, "dtype": options.dtype})
    ratios = tuple(options.ratios)
    plan = Plan(placement, FULL_SIZE, options.assets, options.batch, ratios, options.steps,
                options.peak)  # fmt: skip
    return plan, options.json


def main() -> None:
    """Runs the command line: prints the figures and the machine."""
    plan, as_json = _options()
    found, facts = profile(plan), machine() | {"placement": plan.placement.model_dump_json()}
    if as_json:
        print(json.dumps({"machine": facts, "results": [found.as_json()]}))
    else:
        print(found.table())
        print("machine\n" + "\n".join(f"  {name}: {value}" for name, value in facts.items()))


if __name__ == "__main__":
    main()
