"""The content hash of a night; independent of parts, order of rows and library versions."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from duckdb import DuckDBPyConnection

from pigeon_rec.warehouse._frames import fetch, run_script
from pigeon_rec.warehouse.records import NightFacts
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["night_sha256"]

_FORM: Final = 3  # raise it if the same night gets another hash


def night_sha256(connection: DuckDBPyConnection, night: NightFacts) -> str:
    """Returns the SHA-256 over a night, its served pictures and all their scores.

    The rows of each table are hashed one by one in a fixed text form, and their hashes summed.

    Args:
        connection: Has the tables of `resolve`.
        night: Its facts.
    """
    run_script(connection, sql_text("publish/row_text"), {})
    lines = fetch(connection, sql_text("publish/content"))
    digest = hashlib.sha256(_facts(night).encode())
    for line in lines:
        digest.update(f"\n{' '.join(map(str, line))}".encode())
    return digest.hexdigest()


def _facts(night: NightFacts) -> str:
    facts = [
        _FORM,
        night.run_id,
        night.model_version,
        night.settings_hash,
        night.seed,
        night.config_json(),
        night.planned,
        night.skipped,
    ]
    return json.dumps(facts, ensure_ascii=False)
