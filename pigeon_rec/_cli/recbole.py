"""`pigeon-rec recbole ...`: item vectors, runs of the wrapper, recommendations, the experiment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pigeon_rec._cli.options import AsJson, Quiet
from pigeon_rec._cli.output import print_result
from pigeon_rec.errors import ConfigError

if TYPE_CHECKING:
    from pigeon_rec.recbole_plugin.report import Study

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Run RecBole experiments with visuals.")

Catalogue = Annotated[
    str, typer.Option("--catalogue", metavar="FILE", help="items.parquet, or `bundled`.")
]
Data = Annotated[
    Path, typer.Option("--data-path", metavar="DIR", help="RecBole's folder of data sets.")
]
Dataset = Annotated[str, typer.Option("--dataset", metavar="NAME", help="Name of the data set.")]


@app.command()
def features(
    dataset: Dataset,
    data_path: Data = Path("dataset"),
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            metavar="DIR",
            help="Folder of pictures; a file's name without extension is the item's token.",
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", metavar="FILE", help="Finished vectors, .npy; needs --ids."),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option("--ids", metavar="FILE", help="Item token of each vector, one per line."),
    ] = None,
    catalogue: Catalogue = "bundled",
    interactions: Annotated[
        str | None,
        typer.Option(
            "--interactions",
            metavar="FILE",
            help="Interactions to write as the data set's .inter file first: "
            "parquet, .inter or `bundled`.",
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            "--model",
            metavar="MODEL",
            help="What encodes the images: a model of ours, a folder of transformers (CLIP, "
            "SigLIP, DINOv2, ...) or timm, timm:NAME:FILE, torchvision:NAME[:FILE].",
        ),
    ] = "sticker-64",
    suffix: Annotated[
        str, typer.Option("--suffix", metavar="NAME", help="Suffix of the written file.")
    ] = "visual",
    captions: Annotated[
        float,
        typer.Option(
            "--captions", min=0.0, help="Weight of the items' captions; that of images is 1."
        ),
    ] = 0.0,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="RecBole config file, for names, separators and filters; may be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the item vectors of a data set as a RecBole atomic file."""
    from pigeon_rec.recbole_plugin.features import FeatureRequest, write_dataset

    written = write_dataset(
        FeatureRequest(
            data_path / dataset,
            catalogue=catalogue,
            images=images,
            vectors=vectors,
            ids=ids,
            interactions=interactions,
            encoder=encoder,
            suffix=suffix,
            captions=captions,
            configs=tuple(config or ()),
        )
    )
    summary = {
        "path": str(written.path),
        "items": written.items,
        "dimensions": written.dimensions,
        "without_image": written.of - written.items,
        "unknown": written.unknown,
        "not_finite": written.not_finite,
    }
    if written.filtered is not None:
        summary["filtered"] = written.filtered
    print_result(f"features of {dataset}", summary, as_json=as_json, quiet=quiet)


@app.command()
def run(
    config: Annotated[
        list[Path],
        typer.Option("--config", metavar="FILE", help="RecBole config file; may be repeated."),
    ],
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="MODEL", help="RecBole model to wrap; default: config."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="Name of the data set; default: config."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train and test a wrapped RecBole model."""
    from pigeon_rec.recbole_plugin.run import read_settings, run_pigeon_recbole
    from pigeon_rec.recbole_plugin.sandbox import no_command_line

    merged: dict[str, Any] = {}
    for path in config:
        merged |= read_settings(path)
    silent = {"show_progress": False, "state": "ERROR"} if quiet or as_json else {}
    sys.path.append(str(Path.cwd()))  # for a base model `module:Class` of the current folder
    with no_command_line():
        result = run_pigeon_recbole(base, dataset, config, silent)
    name = f"{base or merged.get('pigeon_base_model', 'BPR')} with visuals"
    summary = {"best_valid_score": result["best_valid_score"]}
    if result["visuals"] is not None:
        summary["visual_weight"] = result["visuals"].weight
        summary["valid_score_at_weight_0"] = result["visuals"].value_at_0
    summary |= dict(result["test_result"])
    print_result(name, summary, as_json=as_json, quiet=quiet)


@app.command()
def export(
    checkpoint: Annotated[
        Path, typer.Option("--checkpoint", metavar="FILE", help="Checkpoint saved by a run.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Parquet file to write.")],
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Items per user.")] = 20,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the top-K items of every user, for the night's `recommendations` setting."""
    from pigeon_rec.recbole_plugin.model_top_k import export_model_top_k

    top = export_model_top_k(checkpoint, out, top_k)
    summary = {"path": str(out), "pairs": top.height, "users": top["user_id"].n_unique()}
    print_result("recommendations", summary, as_json=as_json, quiet=quiet)


@app.command()
def experiment(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of all results.")],
    bases: Annotated[
        str, typer.Option("--bases", metavar="NAMES", help="RecBole models, comma-separated.")
    ] = "BPR,LightGCN,EASE,SASRec,GRU4Rec,VBPR",
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="NUMBERS", help="Random seeds, comma-separated.")
    ] = "0,1,2",
    simulations: Annotated[
        str,
        typer.Option(
            "--simulations",
            metavar="NUMBERS",
            help="Seeds of further simulations of users over the stickers, comma-separated.",
        ),
    ] = "",
    posters: Annotated[
        bool, typer.Option("--posters", help="Also rank on ml-100k with made posters.")
    ] = False,
    night_users: Annotated[
        int,
        typer.Option("--night-users", min=0, help="Users with personalised visuals; 0: none."),
    ] = 0,
    readme_table: Annotated[
        Path | None,
        typer.Option(
            "--readme-table",
            metavar="FILE",
            help="Markdown file for the table; an existing one must have the table's marks.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare base models with and without visuals on the bundled stickers and ml-100k."""
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.evaluation.tables import write_between
    from pigeon_rec.recbole_plugin.report import BEGIN, END, Study, as_markdown, prepare

    study = Study(
        out,
        tuple(bases.split(",")),
        _numbers(seeds, "--seeds"),
        _numbers(simulations, "--simulations") if simulations else (),
        posters,
    )
    progress = choose_progress(quiet=quiet)
    _make_worlds(study, progress)
    prepare(study)
    study.train(progress)
    if night_users:
        _draw_night(study, night_users, progress)
    study.rank(progress)
    table = as_markdown(study)
    (out / "table.md").write_text(table, encoding="utf-8")
    if readme_table is not None:
        write_between(table, readme_table, BEGIN, END)
    summary = {"path": str(out / "table.md"), "bases": len(study.bases), "seeds": len(study.seeds)}
    print_result("RecBole experiment", summary, as_json=as_json, quiet=quiet)
    if not (as_json or quiet):
        print(table)


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"seeds must be whole numbers, received {text!r}",
            location=option,
            remedy=f"Separate them by commas, such as {option} 0,1,2",
        ) from error


def _make_worlds(study: Study, progress: Any) -> None:
    """Simulates further users and draws posters, where they are missing."""
    import polars as pl

    from pigeon_rec.data.movielens import read_movielens
    from pigeon_rec.data.world import load_world
    from pigeon_rec.demo.films import bundled_movielens
    from pigeon_rec.demo.posters import make_posters
    from pigeon_rec.demo.users import SimulationConfig, simulate
    from pigeon_rec.runtime.files import replacing_folder, write_parquet

    for seed in study.simulations:
        if not study.simulated(seed).exists():
            stickers = load_world("bundled").training_artwork()
            rows = simulate(SimulationConfig(seed=seed), stickers).interactions
            seconds = pl.from_epoch("timestamp", "s").dt.cast_time_unit("us")
            timed = rows.with_columns(seconds.dt.replace_time_zone("UTC"))
            write_parquet(timed, study.simulated(seed))
    if study.posters and not study.posters_folder.exists():
        films = read_movielens(bundled_movielens()).films
        with replacing_folder(study.posters_folder) as folder:
            make_posters(films, folder, on_film=lambda n, of: progress("made posters", n, of))


def _draw_night(study: Study, users: int, progress: Any) -> None:
    """Runs a night for the experiment's recommendations, without its test interactions."""
    from pigeon_rec.config import NightlyConfig
    from pigeon_rec.nightly.steps import run_step
    from pigeon_rec.runtime.airflow_step import parse_date

    if study.served.exists():
        return
    interactions, recommendations, date = study.night_inputs(users)
    settings = NightlyConfig.model_validate(
        {
            "interactions": str(interactions),
            "recommendations": str(recommendations),
            "work_dir": study.folder / "night",
            "plan": {"max_assets": users * 10, "max_assets_per_user": 10, "shards": 8},
            "generation": {"mask_ratios": [0.0]},
        }
    )
    run_step("run", settings, parse_date(date), progress=progress)
