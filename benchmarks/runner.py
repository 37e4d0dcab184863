"""Running benchmarks as a command: options, the printed result, `bench.json` and the plots."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.result import Result, machine

__all__ = ["main", "options", "run"]


def options() -> argparse.ArgumentParser:
    """Returns a parser of the options that all benchmark commands have."""
    parser = argparse.ArgumentParser(description="Measures alternatives side by side in one run.")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data (default: 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--out", type=Path, help="folder for bench.json and the plots ratios.png and growth.png"
    )
    return parser


def main(*measures: Callable[[Path, float], Result]) -> None:
    """Runs benchmarks as a command; exit status 1 if a bar is missed at full scale."""
    given = options().parse_args()
    run(measures, scale=given.scale, as_json=given.json, out=given.out)


def run(
    measures: Sequence[Callable[[Path, float], Result]],
    *,
    scale: float,
    as_json: bool,
    out: Path | None = None,
) -> None:
    """Runs benchmarks and prints their results; exit status as of `main`.

    A missed bar does not stop the run. The results so far are written after each benchmark, so that
    a failure loses none of them.
    """
    facts = machine() | {"scale": scale}
    results: list[Result] = []
    for measure in measures:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(Path(folder), scale))
        if not as_json:
            print(results[-1].table(), flush=True)
        if out is not None:
            _write(facts, results, out)
    if as_json:
        print(json.dumps(_as_json(facts, results)))
    else:
        print("machine\n" + "\n".join(f"  {name}: {value}" for name, value in facts.items()))
        if facts["busy"]:
            print("  Other processes were running: the figures are those of a busy machine.")
    missed = [
        f"{result.name}: {bar.name}" for result in results for bar in result.bars if not bar.met
    ]
    if scale >= 1 and missed:
        print("missed\n" + "\n".join(f"  {name}" for name in missed), file=sys.stderr)
        raise SystemExit(1)


def _as_json(facts: Mapping[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    return {"machine": dict(facts), "results": [result.as_json() for result in results]}


def _write(facts: Mapping[str, Any], results: Sequence[Result], out: Path) -> None:
    from benchmarks.plots import growth_plot, ratio_plot  # matplotlib would count in the memory

    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_as_json(facts, results), indent=2)
    (out / "bench.json").write_text(text + "\n", encoding="utf-8")
    if any(result.bars for result in results):
        ratio_plot(results).savefig(out / "ratios.png", dpi=150)
    if any(result.curves for result in results):
        growth_plot(results).savefig(out / "growth.png", dpi=150)
