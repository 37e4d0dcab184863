"""A recorded file through the check of its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

from safetensors import SafetensorError

from pigeon_rec.errors import PigeonError
from tests.parity.adapter import adapter
from tests.parity.checks import Checks
from tests.parity.decoders import highres_decoder, lowres_decoder
from tests.parity.dpo_loss import check_dpo_loss
from tests.parity.golden import Golden
from tests.parity.mask_generator import mask_generator
from tests.parity.merge_inputs import merge_inputs
from tests.parity.selection import selection
from tests.parity.stage1_forward import stage1_forward
from tests.parity.stage2_forward import stage2_forward
from tests.parity.token_merger import token_merger
from tests.parity.token_predictor import token_predictor
from tests.parity.vector_quantizer import vector_quantizer
from tests.parity.visual_tokenizer import visual_tokenizer

__all__ = ["SUBJECTS", "Result", "check_file"]

SUBJECTS: dict[str, Callable[[Golden, Checks], None]] = {
    "adapter": adapter,
    "dpo_loss": check_dpo_loss,
    "highres_decoder": highres_decoder,
    "lowres_decoder": lowres_decoder,
    "mask_generator": mask_generator,
    "merge_inputs": merge_inputs,
    "selection": selection,
    "stage1_forward": stage1_forward,
    "stage2_forward": stage2_forward,
    "token_merger": token_merger,
    "token_predictor": token_predictor,
    "vector_quantizer": vector_quantizer,
    "visual_tokenizer": visual_tokenizer,
}
"""Kind of file -> its check."""

# What a damaged file can lead to on its way through our modules.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    PigeonError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Result:
    """Outcome of one file; `summary` says what was compared, or what is wrong."""

    name: str
    passed: bool
    summary: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.passed else 'FAIL'} {self.name}: {self.summary}"


def check_file(path: Path) -> Result:
    """Loads a file and compares all that is in it; no damage ends the run."""
    try:
        golden = Golden.load(path)
        subject = SUBJECTS.get(golden.kind)
        if subject is None:
            return Result(path.stem, False, f"unknown kind {golden.kind!r}")
        checks = Checks()
        subject(golden, checks)
    except _DAMAGE as error:
        summary = shorten(f"{type(error).__name__}: {error}", 200)
        return Result(path.stem, False, summary)
    if golden.unread:
        return Result(path.stem, False, f"not looked at: {', '.join(golden.unread[:6])}")
    return Result(path.stem, checks.passed, checks.summary())
