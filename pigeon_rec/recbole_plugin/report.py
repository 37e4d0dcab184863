"""The whole experiment on the bundled stickers and on ml-100k, and its tables in Markdown.

Significance: for each base, the paired difference of every user's NDCG@10 with and without visuals;
the 95 % interval and the two-sided p-value are bootstrapped over users and seeds.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import recbole

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.errors import InteractionError
from pigeon_rec.recbole_plugin.experiment import (
    BASES,
    Experiment,
    largest_difference,
    rank_base,
    rank_visual,
    recommended,
)
from pigeon_rec.recbole_plugin.features import FeatureRequest, write_dataset
from pigeon_rec.runtime.bootstrap import resampled_means
from pigeon_rec.runtime.files import real_path, write_json, write_parquet

__all__ = ["BEGIN", "END", "Comparison", "Study", "as_markdown", "compare", "prepare"]

OnStep = Callable[[str, int, int], Any]
Values = npt.NDArray[np.float64]

BEGIN: Final = "<!-- recbole: begin -->"
END: Final = "<!-- recbole: end -->"
"""Marks around the table in a page."""

_STICKERS: Final = "stickers"
_POSTERS: Final = "ml-100k-posters"
_CUTOFF: Final = 10
_RESAMPLES: Final = 2000
_CAPTIONS: Final = 2.0
"""Weight of captions; the better of 1 and 2 on validation items."""
_VARIANTS: Final = {
    "base": "base",
    "item": "+ item visuals",
    "captioned": "+ item visuals and captions",
    "personal": "+ personalised visuals and captions",
}
_HEADER: Final = (
    "| base | variant | Recall@10 | NDCG@10 | MRR@10 | NDCG@10 gain (95 %) | p | seeds above |",
    "|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Study:
    """The experiment over all bases and seeds.

    Attributes:
        folder: Folder of all files; existing results are not recomputed.
        bases: RecBole models.
        seeds: Seeds of RecBole's training.
        simulations: Seeds of further simulations of users over the stickers. The interactions of
            each are in `simulated(seed)`.
        posters: Whether to rank on ml-100k with made posters, which are in `posters_folder`.
    """

    folder: Path
    bases: tuple[str, ...]
    seeds: tuple[int, ...]
    simulations: tuple[int, ...] = ()
    posters: bool = False

    @property
    def stickers(self) -> Experiment:
        """The experiment on stickers, with the bundled users."""
        return self._experiment(_STICKERS)

    @property
    def worlds(self) -> list[Experiment]:
        """The experiment on stickers with the bundled users, and with those of `simulations`."""
        names = [f"{_STICKERS}-{seed}" for seed in self.simulations]
        return [self.stickers, *map(self._experiment, names)]

    @property
    def films(self) -> Experiment:
        """The experiment on ml-100k with made posters."""
        return self._experiment(_POSTERS)

    @property
    def movielens(self) -> Experiment:
        """The experiment on ml-100k, which has no images; three epochs suffice to compare."""
        short = {base: {"epochs": 3} for base in self.bases}
        return Experiment(self.folder, self.folder / "data", "ml-100k", short)

    @property
    def served(self) -> Path:
        """The night's serving file."""
        return self.folder / "night" / "warehouse" / "serving.duckdb"

    @property
    def posters_folder(self) -> Path:
        """Posters of ml-100k's films, named by item id."""
        return self.folder / "posters"

    def simulated(self, seed: int) -> Path:
        """Parquet file of the interactions of a further simulation."""
        return self.folder / "simulations" / f"{seed}.parquet"

    def train(self, progress: OnStep) -> None:
        """Trains every base with every seed."""
        runs = list(self._runs())
        for place, (experiment, base, seed) in enumerate(runs):
            progress("trained bases", place, len(runs))
            rank_base(experiment, base, seed)
        progress("trained bases", len(runs), len(runs))

    def rank(self, progress: OnStep) -> None:
        """Ranks with item visuals, with captions and with a night's assets; compares on ml-100k."""
        runs = list(self._runs())
        for place, (experiment, base, seed) in enumerate(runs):
            progress("ranked runs", place, len(runs))
            rank_visual(experiment, base, seed, "item")
            if experiment != self.films:
                self._rank_captioned(experiment, base, seed)
        progress("ranked runs", len(runs), len(runs))
        for base in self.without_pictures():
            self.difference(base)

    def _rank_captioned(self, experiment: Experiment, base: str, seed: int) -> None:
        captioned = {"pigeon_visual_suffix": "captioned"}
        item = rank_visual(experiment, base, seed, "captioned", **captioned)
        if self.served.exists() and experiment == self.stickers:
            # The night has used the validation items, so they cannot choose its weight.
            personal = captioned | {
                "pigeon_served": str(real_path(self.served)),
                "pigeon_visual_weight": float(item["weight"][0]),
            }
            rank_visual(experiment, base, seed, "personal", **personal)

    def difference(self, base: str) -> float:
        """Returns the largest score difference of base and wrapper on ml-100k; cached in a file."""
        path = self.folder / "ml-100k.json"
        known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        if base not in known:
            known[base] = largest_difference(self.movielens, base, self.seeds[0])
            write_json(known, path)
        return float(known[base])

    def night_inputs(self, users: int) -> tuple[Path, Path, str]:
        """Writes a night's inputs, without the test: interactions, recommendations; and its date.

        The recommendations are the top ten items of the first base with item visuals.
        """
        top, test = recommended(self.stickers, self.bases[0], self.seeds[0], _CUTOFF)
        chosen = test["user_id"].unique().sort()[:users].implode()
        rows, _ = load_interactions("bundled", load_catalogue("bundled"))
        older = rows.join(test, on=["user_id", "item_id"], how="anti")
        older = older.filter(pl.col("user_id").is_in(chosen))
        paths = self.folder / "night-interactions.parquet", self.folder / "recommendations.parquet"
        write_parquet(older, paths[0])
        write_parquet(top.filter(pl.col("user_id").is_in(chosen)), paths[1])
        last = older["timestamp"].max()
        if not isinstance(last, dt.datetime):
            raise InteractionError("there are no interactions older than the test")
        return *paths, last.date().isoformat()

    def ranks(self, base: str, variant: str, worlds: Sequence[Experiment]) -> pl.DataFrame | None:
        """Returns `user_id, rank, seed` of all runs, or `None` if one is missing.

        Users of different worlds are different users.
        """
        runs = [(world, seed) for seed in self.seeds for world in worlds]
        files = [(world, seed, world.ranks(base, seed, variant)) for world, seed in runs]
        if not all(path.is_file() for *_, path in files):
            return None
        return pl.concat(
            pl.read_parquet(path, columns=["user_id", "rank"]).with_columns(
                user_id=pl.lit(f"{world.dataset}/") + pl.col("user_id"), seed=pl.lit(seed)
            )
            for world, seed, path in files
        )

    def _experiment(self, dataset: str) -> Experiment:
        return Experiment(self.folder, self.folder / "data", dataset, {})

    def _runs(self) -> Iterator[tuple[Experiment, str, int]]:
        worlds = [*self.worlds, *([self.films] if self.posters else [])]
        return itertools.product(worlds, self.bases, self.seeds)

    def without_pictures(self) -> list[str]:
        """The bases that do not need item vectors themselves."""
        return [base for base in self.bases if "preload_weight" not in BASES.get(base, {})]


@dataclass(frozen=True)
class Comparison:
    """Difference of NDCG@10 with and without visuals.

    Attributes:
        gain: Mean over users and seeds.
        low: Lower bound of the 95 % bootstrap interval.
        high: Upper bound.
        p: Two-sided bootstrap p-value.
        seeds_above: Seeds whose mean gain is above 0.
    """

    gain: float
    low: float
    high: float
    p: float
    seeds_above: int


def prepare(study: Study) -> None:
    """Writes the data sets of the study with their item vectors, if they are missing."""
    for world, source in zip(
        study.worlds,
        ["bundled", *(str(study.simulated(seed)) for seed in study.simulations)],
        strict=True,
    ):
        folder = study.folder / "data" / world.dataset
        for suffix, captions in (("visual", 0.0), ("captioned", _CAPTIONS)):
            if not (folder / f"{world.dataset}.{suffix}").is_file():
                write_dataset(
                    FeatureRequest(folder, interactions=source, suffix=suffix, captions=captions)
                )
    folder = study.folder / "data" / _POSTERS
    if study.posters and not (folder / f"{_POSTERS}.visual").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        # Under a name of its own: RecBole reads `ml-100k` from its wheel, whatever the folder.
        source_file = (
            Path(recbole.__file__).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"
        )
        shutil.copyfile(source_file, folder / f"{_POSTERS}.inter")
        write_dataset(FeatureRequest(folder, images=study.posters_folder))


def compare(base: pl.DataFrame, other: pl.DataFrame) -> Comparison:
    """Compares two variants, both `user_id, rank, seed` of the same users and seeds."""
    both = base.join(other, on=["user_id", "seed"], suffix="_other").sort("seed", "user_id")
    gain = _ndcg(both["rank_other"]) - _ndcg(both["rank"])
    seeds = both["seed"].n_unique()
    table = gain.reshape(seeds, -1)  # [seeds, users]
    means = resampled_means(table, np.random.default_rng(0), _RESAMPLES)
    below, above = float((means <= 0).mean()), float((means >= 0).mean())
    low, high = np.quantile(means, [0.025, 0.975])
    p = min(1.0, 2.0 * max(min(below, above), 1.0 / _RESAMPLES))
    return Comparison(
        float(table.mean()), float(low), float(high), p, int((table.mean(axis=1) > 0).sum())
    )


def as_markdown(study: Study) -> str:
    """Returns the tables of the experiment; a variant without results has no row."""
    bases = study.without_pictures()
    lines = [*_HEADER, *_rows(study, study.worlds)]
    lines += ["", "| ml-100k (no pictures) | largest difference between wrapper and base |"]
    lines += ["|---|---|", *(f"| {base} | {study.difference(base):g} |" for base in bases)]
    films = _rows(study, [study.films]) if study.posters else []
    if films:
        lines += ["", "ml-100k with made posters:", "", *_HEADER, *films]
    return "\n".join(lines) + "\n"


def _rows(study: Study, worlds: Sequence[Experiment]) -> list[str]:
    lines = []
    for base in study.bases:
        for variant, name in _VARIANTS.items():
            # A night was drawn for the bundled users only.
            those = worlds[:1] if variant == "personal" else worlds
            own, ranks = (study.ranks(base, kind, those) for kind in ("base", variant))
            if own is not None and ranks is not None:
                lines.append(_row(base, name, ranks, own, study))
    return lines


def _row(base: str, name: str, ranks: pl.DataFrame, own: pl.DataFrame, study: Study) -> str:
    rank = ranks["rank"].to_numpy()
    within = rank <= _CUTOFF
    values = [within.mean(), _ndcg(ranks["rank"]).mean(), np.where(within, 1 / rank, 0).mean()]
    cells = [base, name, *(f"{value:.4f}" for value in values)]
    if name == _VARIANTS["base"]:
        return f"| {' | '.join([*cells, '', '', ''])} |"
    found = compare(own, ranks)
    interval = f"{found.gain:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
    cells += [interval, f"{found.p:.3f}", f"{found.seeds_above} of {len(study.seeds)}"]
    return f"| {' | '.join(cells)} |"


def _ndcg(ranks: pl.Series) -> Values:
    """NDCG@10 of one relevant item at each rank."""
    rank = ranks.to_numpy().astype(np.float64)
    return np.where(rank <= _CUTOFF, 1.0 / np.log2(rank + 1.0), 0.0)
