"""`pigeon-rec gate ...`: the quality gate of a catalogue."""

from __future__ import annotations

import datetime as dt
from typing import Any

import typer

from pigeon_rec._cli.options import AsJson, Config, Quiet, WorkDir
from pigeon_rec._cli.output import print_result

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The quality gate: calibrate it on your catalogue.")


@app.callback()
def _group() -> None:
    """Keeps `calibrate` a subcommand: typer would merge an only command into its parent."""


@app.command()
def calibrate(
    config: Config = None, work_dir: WorkDir = None, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Score the catalogue's own pictures and set the limits of coming nights.

    Other limits than before give all pictures new keys, so that they are drawn anew.
    """
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.config import QualityGateConfig
    from pigeon_rec.drawing.gate import NightGate, calibrate_gate
    from pigeon_rec.inputs.prepare import prepare_inputs
    from pigeon_rec.nightly.paths import NightPaths
    from pigeon_rec.nightly.steps import night_settings
    from pigeon_rec.runtime.lock import hold

    progress = choose_progress(quiet=quiet)
    settings = night_settings(config, work_dir)
    with hold(NightPaths.of(settings, dt.datetime.now(dt.UTC).date()), "gate calibrate"):
        prepared = prepare_inputs(settings, refresh=True, progress=progress).config
        made = calibrate_gate(prepared, progress=progress)
    limits = QualityGateConfig(
        min_text_score=made.limits.min_text_score,
        min_reference_likeness=made.limits.min_reference_likeness,
    )
    gate = NightGate(limits, made.limits)
    facts: dict[str, Any] = {
        **gate.summary(),
        "held_out": made.held_out,
        "used": settings.gate.min_text_score == "auto" and settings.catalogue != "bundled",
        "warnings": [str(warning) for warning in gate.warnings()],
    }
    print_result("quality gate", facts, as_json=as_json, quiet=quiet)
