"""What is asked of a method: held-out pairs, for users that no training step has met.

A case takes a held-out (concept, style) pair. Its user prefers that style and is simulated like the
bundled users, with a number behind theirs; its reference is the concept in another style than the
user's; its truth is the held-out artwork itself. The history is found by FAISS among the user's own
interactions, as a nightly run finds it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import polars as pl

from pigeon_rec.config import RetrievalConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.demo.stickers import load_stickers, load_training_stickers
from pigeon_rec.demo.users import Simulation, SimulationConfig, simulate
from pigeon_rec.errors import ConfigError
from pigeon_rec.retrieval import HistoryRetriever
from pigeon_rec.scoring.scorer import load_scorer

__all__ = ["CASE_SCHEMA", "LONG", "cases_with_histories", "held_out_cases", "test_users"]

CASE_SCHEMA: Final = pl.Schema(
    {
        "case_id": pl.String(),
        "user_id": pl.String(),
        "history_ids": pl.List(pl.String()),
        "reference_id": pl.String(),
        "truth_id": pl.String(),
        "concept": pl.String(),
        "style": pl.String(),
    }
)

LONG: Final = 10
"""Items of the longest history."""

_TEST_USERS = SimulationConfig(first_user=2001, users=400)
_OTHER_HISTORIES = ("retrieved_ids", "recent_ids", "random_ids", "noise_ids")


def test_users() -> Simulation:
    """Users with the numbers behind the bundled ones: nothing was ever trained on them."""
    return simulate(_TEST_USERS)


test_users.__test__ = False  # type: ignore[attr-defined]  # its name is no test's


def held_out_cases(count: int, seed: int, *, scorer: str = "sticker-64") -> pl.DataFrame:
    """The first `count` cases of a seed; more cases begin with the same ones.

    Args:
        count: How many; at most the number of held-out pairs (1,178).
        seed: Of the choice of pairs, users and references.
        scorer: Model whose scorer embeds the items that histories are found among.

    Returns:
        `CASE_SCHEMA`; histories of five items, best first.

    Raises:
        ConfigError: `count` is out of range.
        ModelError: There is no such scorer.
    """
    return cases_with_histories(count, seed, scorer=scorer).select(CASE_SCHEMA.names())


def cases_with_histories(count: int, seed: int, *, scorer: str = "sticker-64") -> pl.DataFrame:
    """`held_out_cases` with four more lists of item ids, for baselines and curves.

    Returns:
        `CASE_SCHEMA` and, each `LONG` items long, `retrieved_ids` (as FAISS ranks them; the history
        is its head), `recent_ids` (the user's latest, newest first), `random_ids` (any of the
        user's) and `noise_ids` (anybody's, in other styles than the user's).
    """
    users = test_users()
    cases = _asked(count, _Draw(seed), users.users)
    own = users.interactions.join(cases.select("user_id").unique(), on="user_id", how="semi")
    retrieved = _retrieved(cases, own, scorer)
    length = RetrievalConfig().history_length
    lists = [
        retrieved,
        _recent(cases, own),
        _random(cases, own, _Draw(seed)),
        _noise(cases, _Draw(seed)),
    ]
    for column in lists:
        cases = cases.join(column, on="case_id", validate="1:1", maintain_order="left")
    cases = cases.with_columns(history_ids=pl.col("retrieved_ids").list.head(length))
    return cases.select(*CASE_SCHEMA.names(), *_OTHER_HISTORIES)


@dataclass(frozen=True)
class _Draw:
    """Orders that depend on a seed and the names of the things ordered, and on nothing else."""

    seed: int

    def __call__(self, purpose: str, *names: str) -> str:
        text = "/".join((str(self.seed), purpose, *names))
        return hashlib.sha256(text.encode()).hexdigest()


def _asked(count: int, draw: _Draw, users: pl.DataFrame) -> pl.DataFrame:
    """The pairs, each with its user and its reference."""
    held_out = load_stickers().filter("held_out")
    if not 1 <= count <= held_out.height:
        raise ConfigError(
            f"the number of cases must be 1 to {held_out.height}, received {count}",
            location="cases",
        )
    pairs = [(str(item), str(s), str(c)) for item, s, c in
             held_out.select("item_id", "style", "concept").iter_rows()]  # fmt: skip
    pairs.sort(key=lambda pair: draw("pair", pair[0]))
    fans = _fans(users)
    pictures = _pictures()
    rows = []
    for truth, style, concept in pairs[:count]:
        user, tastes = min(fans[style], key=lambda fan: draw("user", truth, fan[0]))
        others = [item for item, other in pictures[concept] if other not in tastes]
        reference = min(others, key=lambda item: draw("reference", truth, item))
        rows.append((f"{user}/{truth}", user, reference, truth, concept, style))
    columns = ["case_id", "user_id", "reference_id", "truth_id", "concept", "style"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String()), orient="row")


def _fans(users: pl.DataFrame) -> dict[str, list[tuple[str, set[str]]]]:
    """Style -> users that prefer it, each with all the styles they like."""
    fans: dict[str, list[tuple[str, set[str]]]] = {}
    wanted = ("user_id", "preferred_style", "second_style")
    for user, first, second in users.select(wanted).iter_rows():
        fans.setdefault(first, []).append((user, {first, second}))
    return fans


def _pictures() -> dict[str, list[tuple[str, str]]]:
    """Concept -> its pictures that are not held out, with their styles."""
    pictures: dict[str, list[tuple[str, str]]] = {}
    for item, style, concept in (
        load_training_stickers().select("item_id", "style", "concept").iter_rows()
    ):
        pictures.setdefault(concept, []).append((item, style))
    return pictures


def _retrieved(cases: pl.DataFrame, own: pl.DataFrame, scorer: str) -> pl.DataFrame:
    item_ids = pl.concat([own["item_id"], cases["reference_id"]]).unique().sort().to_list()
    # Bundled artwork: there are no broken pictures to tell of.
    images, _ = load_catalogue("bundled").images(item_ids, size=64)
    config = RetrievalConfig(history_length=LONG)
    seconds = pl.from_epoch("timestamp", time_unit="s")
    timed = own.with_columns(seconds.dt.replace_time_zone("UTC").dt.cast_time_unit("us"))
    retriever = HistoryRetriever(
        load_scorer(scorer).encode_images(images), timed, item_ids, config, _TEST_USERS.end
    )
    pairs = cases.select("user_id", pl.col("reference_id").alias("item_id"))
    found = retriever.retrieve(pairs)["history_ids"]
    return cases.select("case_id").with_columns(found.alias("retrieved_ids"))


def _recent(cases: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    newest = pl.struct(-pl.col("timestamp"), "item_id")
    return _listed(cases, own, pl.col("item_id").sort_by(newest).head(LONG), "recent_ids")


def _random(cases: pl.DataFrame, own: pl.DataFrame, draw: _Draw) -> pl.DataFrame:
    keys = own.select("user_id", "item_id").iter_rows()
    order = pl.Series("order", [draw("random", user, item) for user, item in keys], pl.String())
    chosen = pl.col("item_id").sort_by("order").head(LONG)
    return _listed(cases, own.with_columns(order), chosen, "random_ids")


def _listed(cases: pl.DataFrame, own: pl.DataFrame, chosen: pl.Expr, name: str) -> pl.DataFrame:
    """`case_id` and a list of the user's items, without the reference."""
    keys = cases.select("case_id", "user_id", "reference_id")
    items = keys.join(own, on="user_id").filter(pl.col("item_id") != pl.col("reference_id"))
    return items.group_by("case_id").agg(chosen.alias(name))


def _noise(cases: pl.DataFrame, draw: _Draw) -> pl.DataFrame:
    stickers = load_training_stickers().select("item_id", "style")
    rows = []
    for case, style in cases.select("case_id", "style").iter_rows():
        others = stickers.filter(pl.col("style") != style)["item_id"]
        start = int(draw("noise", case)[:8], 16)
        rows.append((case, others.sample(LONG, seed=start).to_list()))
    schema = {"case_id": pl.String(), "noise_ids": pl.List(pl.String())}
    return pl.DataFrame(rows, schema=schema, orient="row")
