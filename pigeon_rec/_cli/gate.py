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
    from pigeon_rec.drawing.gate import calibrate_gate
    from pigeon_rec.inputs.prepare import prepare_inputs
    from pigeon_rec.nightly.paths import NightPaths
    from pigeon_rec.nightly.steps import night_settings
    from pigeon_rec.runtime.lock import hold

    progress = choose_progress(quiet=quiet)
    settings = night_settings(config, work_dir)
    with hold(NightPaths.of(settings, dt.datetime.now(dt.UTC).date()), "gate calibrate"):
        prepared = prepare_inputs(settings, refresh=True, progress=progress).config
        made = calibrate_gate(prepared, progress=progress)
    limits = made.limits
    own, other = limits.passing(limits.min_text_score) if limits.own else (None, None)
    facts: dict[str, Any] = {
        "pictures": limits.pictures,
        "held_out": made.held_out,
        "auc": limits.auc,
        "min_text_score": limits.min_text_score,
        "min_reference_likeness": limits.min_reference_likeness,
        "own_texts_pass": own,
        "wrong_texts_pass": other,
        "used": settings.gate.min_text_score == "auto" and settings.catalogue != "bundled",
        "warnings": list(limits.warnings(limits.min_text_score)),
    }
    print_result("quality gate", facts, as_json=as_json, quiet=quiet)
