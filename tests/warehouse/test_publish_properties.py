"""Any nights, published in any order and any number of times, keep the warehouse consistent."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.warehouse import content_digest, known_assets, open_warehouse, publish
from pigeon_rec.warehouse.marking import Marker
from tests.warehouse.nights import FIRST, Pair, again, contents, key_of, night_of

USERS = ("ann", "ben", "cy")
ITEMS = ("noto/apple", "noto/pear")
PAIRS: list[Pair] = [(user, item) for user in USERS for item in ITEMS]

# Outcome of every pair on one day: nothing, a picture (with one of two contents) or a rejection.
Verdicts = tuple[str, ...]
days = st.integers(0, 2)
verdicts = st.tuples(*[st.sampled_from(["", "made", "made", "rejected"])] * len(PAIRS))
salts = st.sampled_from(["", "redrawn"])
markers = st.sampled_from([None, Marker("metadata")])
histories = st.lists(st.tuples(days, verdicts, salts, markers), max_size=6)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def pairs_with(choice: Verdicts, verdict: str) -> list[Pair]:
    return [pair for pair, made in zip(PAIRS, choice, strict=True) if made == verdict]


def assert_consistent(connection: DuckDBPyConnection) -> None:
    faults = connection.execute(
        """
        SELECT 'unreferenced picture' FROM assets ANTI JOIN run_assets USING (asset_key)
        UNION ALL SELECT 'lost picture' FROM run_assets ANTI JOIN assets USING (asset_key)
        UNION ALL SELECT 'wrong bytes' FROM assets WHERE sha256(image) <> image_sha256
        UNION ALL SELECT 'not listed' FROM assets
        CROSS JOIN LATERAL is_generated(image_sha256) AS as_stored
        CROSS JOIN LATERAL is_generated(coalesce(drawn_sha256, image_sha256)) AS as_drawn
        WHERE NOT (as_stored.generated AND as_drawn.generated)
        UNION ALL SELECT 'stray score' FROM asset_scores AS s
        WHERE s.asset_key NOT IN (SELECT asset_key FROM run_assets)
          AND s.asset_key NOT IN (SELECT asset_key FROM rejections)
        UNION ALL SELECT 'no score' FROM run_assets ANTI JOIN asset_scores USING (asset_key)
        UNION ALL SELECT 'run without a row' FROM run_assets ANTI JOIN runs USING (run_id)
        UNION ALL SELECT 'wrong count' FROM runs
        WHERE served <> (SELECT count(*) FROM run_assets AS r WHERE r.run_id = runs.run_id)
           OR rejected <> (SELECT count(*) FROM rejections AS j WHERE j.run_id = runs.run_id)
        """
    ).fetchall()
    assert faults == []


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(history=histories)
def test_any_history_of_nights_is_consistent(
    folder: Path, history: list[tuple[int, Verdicts, str, Marker | None]]
) -> None:
    published: dict[dt.date, Verdicts] = {}
    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        open_warehouse(Path(name) / "pigeon.duckdb") as connection,
        open_warehouse(Path(name) / "unmarked.duckdb") as unmarked,
    ):
        for day, choice, salt, marker in history:
            date = FIRST + dt.timedelta(days=day)
            made, rejected = pairs_with(choice, "made"), pairs_with(choice, "rejected")
            others = {t: others_of(r, date) for t, r in contents(connection).items()}
            night = night_of(made, date=date, rejected=rejected, salt=salt)

            first = publish(connection, night, marker=marker)
            assert first == publish(unmarked, night)
            published[date] = choice

            assert_consistent(connection)
            after = contents(connection)
            assert {t: others_of(r, date) for t, r in after.items() if t != "assets"} == {
                t: rows for t, rows in others.items() if t != "assets"
            }
            digest = content_digest(connection)
            for repeated in (night, again(night)):
                second = publish(connection, repeated)
                assert not second.changed
                assert second.content_sha256 == first.content_sha256
            assert contents(connection) == after
            assert content_digest(connection) == digest
        assert_served(connection, published)


def others_of(rows: list[tuple[object, ...]], date: dt.date) -> list[tuple[object, ...]]:
    """Rows of the other nights; scores carry no night and are checked by `assert_consistent`."""
    return [row for row in rows if str(row[0]) != date.isoformat() and len(row) != 3]


def assert_served(connection: DuckDBPyConnection, published: dict[dt.date, Verdicts]) -> None:
    serving = [date for date, choice in published.items() if "made" in choice]
    expected = pairs_with(published[max(serving)], "made") if serving else []
    found = connection.execute("SELECT user_id, item_id FROM served_assets").fetchall()
    assert sorted(found) == sorted(expected)

    known = known_assets(connection, [key_of(pair) for pair in PAIRS])
    verdict = dict(known.select("asset_key", "verdict").iter_rows())
    for index, pair in enumerate(PAIRS):
        met = [date for date, choice in published.items() if choice[index]]
        newest = published[max(met)][index] if met else None
        assert verdict.get(key_of(pair)) == {"made": "asset", "rejected": "rejection"}.get(
            newest or ""
        )
