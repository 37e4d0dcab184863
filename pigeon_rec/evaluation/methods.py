"""The methods that are compared: baselines, ablations, and the points of curves.

A method describes its candidates; `pigeon_rec.evaluation.candidates` draws them. Methods with equal
candidates share their drawings, because all randomness belongs to the case and the mask ratio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pigeon_rec.config import GenerationConfig
from pigeon_rec.drawing import Request

__all__ = [
    "BASELINES",
    "CURVES",
    "DEFAULT_METHODS",
    "FULL",
    "METHODS",
    "Candidate",
    "Method",
    "curve_methods",
]

Kind = Literal["original", "round_trip", "drawn", "backbone"]
Conditioning = Literal["history", "no_history", "averaged_history"]
Source = Literal["retrieved_ids", "recent_ids", "random_ids"]
Model = Literal["full", "stage1", "ip_adapter", "janus", "own_backbone"]

BASELINES: Final[Mapping[str, str]] = {
    "ip_adapter": "ip_adapter",
    "janus": "janus",
    "own_backbone": "function",
}
"""Methods that draw with another backbone than Pigeon, and its kind."""

RATIOS: Final = tuple(round(0.1 * step, 1) for step in range(11))


@dataclass(frozen=True)
class Candidate:
    """One alternative that a model draws for a case.

    Attributes:
        model: Which weights.
        conditioning: How the history enters.
        request: History and reference, and with `mask_ratio` the key of all randomness.
        mask_ratio: Share of reference tokens to mask.
        history_mask_ratio: Share of history tokens to mask.
        round_trip: Only tokenise and render the reference; model, key and reference decide then.
    """

    model: Model
    conditioning: Conditioning
    request: Request
    mask_ratio: float
    history_mask_ratio: float
    round_trip: bool = False


@dataclass(frozen=True)
class Method:
    """One way to answer a case.

    Attributes:
        name: Stable name; a point of a curve is named `<curve>/<x>`.
        label: Label in tables and plots.
        kind: `original` artwork, its tokenizer `round_trip`, `drawn` by the model, or drawn and
            chosen by another `backbone`.
        artwork: Whose artwork, for the first two kinds.
        conditioning: How the history enters, for drawn pictures.
        source: Where the history comes from.
        length: Items of the history.
        noise: Items of the history replaced by pictures of other styles, from its end.
        history_ratio: Share of history tokens to mask; None is the setting's.
        ratios: Reference mask ratios, one candidate each; None is the setting's.
        draws: Candidates at each ratio; None is as many as the setting has ratios.
        model: Which weights.
    """

    name: str
    label: str
    kind: Kind = "drawn"
    artwork: Literal["reference_id", "truth_id"] = "reference_id"
    conditioning: Conditioning = "history"
    source: Source = "retrieved_ids"
    length: int = 5
    noise: int = 0
    history_ratio: float | None = None
    ratios: tuple[float, ...] | None = None
    draws: int | None = 1
    model: Model = "full"

    def history(self, case: Mapping[str, Any]) -> tuple[str, ...]:
        """Item ids of the case's history under this method."""
        own: Sequence[str] = case[self.source][: self.length]
        strangers: Sequence[str] = case["noise_ids"][: self.noise]
        return (*own[: len(own) - self.noise], *strangers)

    def candidates(
        self, case: Mapping[str, Any], settings: GenerationConfig, seed: int
    ) -> list[Candidate]:
        """The candidates of one case; none for original artwork."""
        key = f"{case['case_id']}/{seed}"
        if self.kind == "original":
            return []
        if self.kind == "round_trip":
            request = Request(key, history=(), reference=str(case[self.artwork]))
            return [Candidate("full", "history", request, 0.0, 0.0, round_trip=True)]
        if self.kind == "backbone":  # its candidates are its own matter
            request = Request(key, self.history(case), str(case["reference_id"]))
            return [Candidate(self.model, "history", request, 0.0, 0.0)]
        masked = settings.history_mask_ratio if self.history_ratio is None else self.history_ratio
        history, reference = self.history(case), str(case["reference_id"])
        return [
            Candidate(
                self.model,
                self.conditioning,
                Request(key if draw == 0 else f"{key}/draw-{draw}", history, reference),
                ratio,
                masked,
            )
            for ratio in (settings.mask_ratios if self.ratios is None else self.ratios)
            for draw in range(len(settings.mask_ratios) if self.draws is None else self.draws)
        ]


FULL: Final = Method("full", "full model")

METHODS: Final[Mapping[str, Method]] = {
    method.name: method
    for method in (
        Method("unchanged", "unchanged reference", kind="original"),
        Method("truth", "real artwork (ceiling of the judges)", "original", "truth_id"),
        Method("reference_round_trip", "reference through the tokenizer", "round_trip"),
        Method("truth_round_trip", "real artwork through the tokenizer (ceiling of the decoder)",
               "round_trip", "truth_id"),
        Method("no_history", "no history", conditioning="no_history"),
        Method("averaged_history", "averaged history", conditioning="averaged_history"),
        Method("recent_history", "most recent history", source="recent_ids"),
        Method("random_history", "random history", source="random_ids"),
        Method("stage1", "stage 1 only", model="stage1"),
        # As many candidates as the default has ratios, or the choice among them would decide.
        Method("no_mask", "no mask", history_ratio=0.0, ratios=(0.0,),
               draws=None),
        FULL,
        Method("ip_adapter", "IP-Adapter", "backbone", model="ip_adapter"),
        Method("janus", "Janus", "backbone", model="janus"),
        Method("own_backbone", "own backbone", "backbone", model="own_backbone"),
    )
}  # fmt: skip

DEFAULT_METHODS: Final = tuple(name for name in METHODS if name not in BASELINES)
"""The methods of Pigeon itself; baselines need models of their own."""

CURVES: Final[Mapping[str, str]] = {
    "noise": "strangers in the history (%)",
    "noise_no_mask": "strangers in the history (%), no mask",
    "history_length": "history length",
    "mask_ratio": "mask ratio of the reference",
    "candidates": "candidates (mask ratios 0.0, 0.1, ...)",
}
"""Curves and what their x-axis counts."""


def curve_methods(curve: str) -> list[tuple[float, Method]]:
    """The points of a curve: x and the method there.

    Raises:
        KeyError: There is no such curve.
    """
    if curve == "noise":
        return [(x, _named(FULL, curve, x, noise=x // 20)) for x in (0, 20, 40, 60)]
    if curve == "noise_no_mask":
        plain = METHODS["no_mask"]
        return [(x, _named(plain, curve, x, noise=x // 20)) for x in (0, 20, 40, 60)]
    if curve == "history_length":
        return [(n, _named(FULL, curve, n, length=n)) for n in range(1, 11)]
    if curve == "mask_ratio":
        return [(ratio, _named(FULL, curve, ratio, ratios=(ratio,))) for ratio in RATIOS]
    if curve == "candidates":
        return [(n, _named(FULL, curve, n, ratios=RATIOS[:n])) for n in range(1, 12)]
    raise KeyError(curve)


def _named(method: Method, curve: str, x: float, **changes: Any) -> Method:
    return replace(method, name=f"{curve}/{x}", label=f"{CURVES[curve]}: {x}", **changes)
