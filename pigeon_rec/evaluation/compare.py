"""Blind comparison of two methods by people: an HTML page, a key file, and the tally of answers.

The page has no method names, and its answers are sides (left, right) of numbered pairs. The key
file, which participants do not get, says which side shows which method.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import numpy as np
import polars as pl
from pydantic import Field, ValidationError

from pigeon_rec.data.aspect import Aspect
from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.errors import ConfigError, PlanError
from pigeon_rec.evaluation.data import shown_catalogue
from pigeon_rec.runtime.bootstrap import mean_interval
from pigeon_rec.runtime.files import write_json, write_text
from pigeon_rec.runtime.html import data_uri, encode_picture, render_template
from pigeon_rec.runtime.settings import Settings

__all__ = ["Comparison", "Tally", "tally_answers", "write_comparison"]

_SHOWN_SIDE: Final = 64
_QUESTION: Final = "Which picture shows the target and better fits this user's own pictures?"

Content = TypeVar("Content", bound=Settings)


@dataclass(frozen=True)
class Comparison:
    """The files of a comparison.

    Attributes:
        page: The HTML page.
        key: JSON file with the method on the left side of each pair.
        cases: Number of pairs.
    """

    page: Path
    key: Path
    cases: int


@dataclass(frozen=True)
class Tally:
    """Result of a comparison.

    Attributes:
        first: The first method.
        second: The second method.
        answers: Number of answers of all participants.
        cases: Pairs with an answer.
        wins: Answers for the first method.
        ties: Answers for neither.
        losses: Answers for the second method.
        win_rate: Mean over pairs of the first method's share; a tie counts half.
        low: Lower bound of the 95 % bootstrap interval over pairs.
        high: Upper bound.
    """

    first: str
    second: str
    answers: int
    cases: int
    wins: int
    ties: int
    losses: int
    win_rate: float
    low: float
    high: float


class _Pair(Settings):
    case_id: str
    left: str


class _Key(Settings):
    """Content of the key file; `pairs` by their number on the page."""

    page_id: str
    first: str
    second: str
    pairs: Annotated[dict[str, _Pair], Field(min_length=1)]


class _Answers(Settings, extra="ignore"):
    """Content of a downloaded file; `answers` by the number of the pair."""

    page_id: str
    answers: dict[str, Literal["left", "right", "tie"]]


def write_comparison(
    folder: Path, first: str, second: str, *, count: int = 60, seed: int = 0
) -> Comparison:
    """Writes page and key for two methods of a finished evaluation.

    Pairs of identical pictures are left out.

    Args:
        folder: Folder of the evaluation.
        first: Method whose win rate is measured.
        second: The other method.
        count: Maximum number of pairs.
        seed: Decides the pairs, their order and the sides.

    Raises:
        ConfigError: Both methods are the same.
        PlanError: A method has not been evaluated there, or all pairs are identical.
    """
    if first == second:
        raise ConfigError("a method cannot be compared with itself", location=first)
    pairs = _pairs(folder, first, second, seed).head(count)
    if pairs.is_empty():
        raise PlanError("the two methods have no different pictures", location=str(folder))
    random = np.random.default_rng([seed, 1])
    lefts = [first if left else second for left in random.random(pairs.height) < 0.5]
    numbered = {str(n): {"case_id": case, "left": left} for n, (case, left) in
                enumerate(zip(pairs["case_id"], lefts, strict=True))}  # fmt: skip
    text = json.dumps([first, second, numbered], sort_keys=True)
    page_id = hashlib.sha256(text.encode()).hexdigest()[:12]
    summary = json.loads((folder / "evaluation.json").read_text("utf-8"))
    catalogue, prompt = shown_catalogue(summary)
    shown = [
        _shown(n, row, catalogue, prompt.aspect, swapped=left != first)
        for n, (row, left) in enumerate(zip(pairs.to_dicts(), lefts, strict=True))
    ]
    page, key = (folder / f"compare-{page_id}.{kind}" for kind in ("html", "key.json"))
    html = render_template(
        "pigeon_rec.evaluation",
        "compare.html.j2",
        question=_QUESTION,
        page={"page_id": page_id, "pairs": shown},
    )
    write_text(html, page)
    write_json({"page_id": page_id, "first": first, "second": second, "pairs": numbered}, key)
    return Comparison(page, key, pairs.height)


def tally_answers(answers: Sequence[Path], key: Path) -> Tally:
    """Counts the downloaded answers of one or more participants.

    Raises:
        ConfigError: A file is missing or malformed, or belongs to another page.
    """
    known = _read(_Key, key)
    shares: dict[str, list[float]] = {}
    for path in answers:
        given = _read(_Answers, path)
        if given.page_id != known.page_id:
            raise ConfigError(
                f"the answers are of page {given.page_id}, the key is of page {known.page_id}",
                location=str(path),
                remedy="Give the key that was written with the page",
            )
        for number, side in given.answers.items():
            shares.setdefault(number, []).append(_share(known, number, side, path))
    if not shares:
        raise ConfigError("there are no answers", location=", ".join(map(str, answers)))
    each = [value for values in shares.values() for value in values]
    rate = mean_interval([float(np.mean(values)) for values in shares.values()])
    return Tally(
        first=known.first,
        second=known.second,
        answers=len(each),
        cases=len(shares),
        wins=each.count(1.0),
        ties=each.count(0.5),
        losses=each.count(0.0),
        win_rate=rate.mean,
        low=rate.low,
        high=rate.high,
    )


def _pairs(folder: Path, first: str, second: str, seed: int) -> pl.DataFrame:
    """Shuffled cases in which the two methods differ, with both pictures."""
    both = _chosen(folder, first).join(_chosen(folder, second), on="case_id", suffix="_second")
    cases = pl.read_parquet(folder / "cases.parquet")
    differ = both.filter(pl.col("image") != pl.col("image_second"))
    rows = differ.join(cases, on="case_id", maintain_order="left").sort("case_id")
    return rows.sample(fraction=1.0, shuffle=True, seed=seed)


def _chosen(folder: Path, method: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(folder / "chosen" / f"{method}.parquet")
    except (OSError, pl.exceptions.PolarsError) as error:
        have = ", ".join(sorted(path.stem for path in (folder / "chosen").glob("*.parquet")))
        raise PlanError(
            f"there are no pictures of {method!r}",
            location=str(folder),
            remedy=f"Evaluate it first; evaluated so far: {have or 'none'}",
        ) from error


def _shown(
    number: int, row: Mapping[str, Any], catalogue: Catalogue, aspect: Aspect, *, swapped: bool
) -> dict[str, Any]:
    """Returns the data of one pair for the page."""
    images, _ = catalogue.images(row["history_ids"], size=aspect.size(_SHOWN_SIDE))
    title: str = catalogue.rows([row["reference_id"]])["title"][0]
    left, right = data_uri(row["image"]), data_uri(row["image_second"])
    if swapped:
        left, right = right, left
    return {
        "number": number,
        "target": title if row["concept"] is None else row["concept"].replace("-", " "),
        "history": [encode_picture(image) for image in images],
        "left": left,
        "right": right,
    }


def _share(key: _Key, number: str, side: str, path: Path) -> float:
    """Share of the first method in one answer: 1, 0.5 or 0."""
    pair = key.pairs.get(number)
    if pair is None:
        raise ConfigError(f"the page has no pair {number}", location=str(path))
    if side == "tie":
        return 0.5
    return 1.0 if (side == "left") == (pair.left == key.first) else 0.0


def _read(kind: type[Content], path: Path) -> Content:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigError(
            f"the file cannot be used: {str(error).splitlines()[0]}", location=str(path)
        ) from error
