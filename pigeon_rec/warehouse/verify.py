"""Verification of picture files: how they are marked as generated, and who knows them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from duckdb import DuckDBPyConnection

from pigeon_rec.errors import ConfigError, WarehouseError, error_text
from pigeon_rec.warehouse._frames import fetch
from pigeon_rec.warehouse._signing import Signature, read_signature
from pigeon_rec.warehouse.connection import driver_errors, open_reader
from pigeon_rec.warehouse.marks import SOURCE_TYPES, read_mark
from pigeon_rec.warehouse.migrations import schema_version
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["Verdict", "verify_pictures"]

_FIRST_VERSION: Final = 8
"""Schema version that has `is_generated`."""


@dataclass(frozen=True)
class Verdict:
    """What a picture file says of itself, and what a warehouse knows of it.

    Attributes:
        file: Its path.
        sha256: SHA-256 of its bytes; None if it cannot be read.
        marking: `c2pa` (signed as generated), `metadata` (marked as generated) or `none`.
        signature: `trusted`, `valid`, `invalid` or `unchecked`; None if there is none.
        signer: Name in the certificate of the signature.
        model_version: As the mark has it, or else the warehouse.
        asset_key: As the mark has it, or else the warehouse.
        known: Whether the warehouse has ever served exactly this file, or the picture as it was
            drawn; None without a warehouse.
        problem: Why the file is not to be relied on; None if it is marked, and its signature holds.
    """

    file: str
    sha256: str | None = None
    marking: Literal["c2pa", "metadata", "none"] = "none"
    signature: Literal["trusted", "valid", "invalid", "unchecked"] | None = None
    signer: str | None = None
    model_version: str | None = None
    asset_key: str | None = None
    known: bool | None = None
    problem: str | None = None


def verify_pictures(
    files: Sequence[Path], *, warehouse: Path | None = None, trusted: Path | None = None
) -> list[Verdict]:
    """Returns one verdict per file, in order; unreadable files have a `problem`.

    Args:
        files: Picture files of any format that Pillow reads.
        warehouse: Serving link, snapshot or warehouse in which the files are looked up.
        trusted: PEM file of certificates; a signature by any other authority is a problem.

    Raises:
        ConfigError: `trusted` cannot be read.
        WarehouseError: The warehouse cannot be read, or is older than `is_generated`.
    """
    authorities = None if trusted is None else _authorities(trusted)
    with _opened(warehouse) as connection:
        return [_looked_up(_verdict(file, authorities), connection) for file in files]


def _verdict(file: Path, authorities: bytes | None) -> Verdict:
    try:
        image = file.read_bytes()
    except OSError as error:
        return Verdict(str(file), problem=f"the file cannot be read: {error.strerror}")
    verdict = Verdict(str(file), hashlib.sha256(image).hexdigest())
    try:
        mark, signature = read_mark(image), read_signature(image, authorities)
    except ValueError as error:
        return replace(verdict, problem=error_text(error))
    if mark is not None:
        verdict = replace(
            verdict,
            marking="metadata",
            model_version=mark.model_version,
            asset_key=mark.asset_key,
        )
    if signature is not None:
        says_so = signature.source_type in SOURCE_TYPES
        verdict = replace(
            verdict,
            marking="c2pa" if says_so else verdict.marking,
            signature=signature.state,
            signer=signature.signer,
        )
    return replace(verdict, problem=_problem(verdict, signature, authorities is not None))


def _problem(verdict: Verdict, signature: Signature | None, must_trust: bool) -> str | None:
    if signature is not None and signature.state == "invalid":
        return f"the signature does not hold: {', '.join(signature.reasons)}"
    if signature is not None and signature.state == "unchecked":
        return "the signature is not checked: pip install 'pigeon-rec[c2pa]'"
    if verdict.marking == "none":
        return "it is not marked as generated"
    if must_trust and verdict.signature != "trusted":
        return "it is not signed with a trusted certificate"
    return None


def _looked_up(verdict: Verdict, connection: DuckDBPyConnection | None) -> Verdict:
    if connection is None or verdict.sha256 is None:
        return verdict
    facts = {"sha256": verdict.sha256}
    [(known, model_version, asset_key)] = fetch(connection, sql_text("internal/generated"), facts)
    return replace(
        verdict,
        known=known,
        model_version=verdict.model_version or model_version,
        asset_key=verdict.asset_key or asset_key,
    )


@contextlib.contextmanager
def _opened(warehouse: Path | None) -> Iterator[DuckDBPyConnection | None]:
    if warehouse is None:
        yield None
        return
    with open_reader(warehouse) as connection, driver_errors(warehouse):
        if schema_version(connection) < _FIRST_VERSION:
            raise WarehouseError(
                "this warehouse is from a version that did not keep a list of generated pictures",
                location=str(warehouse.absolute()),
                remedy="Run `pigeon-rec nightly promote`, which upgrades it",
            )
        yield connection


def _authorities(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the trusted certificates: {error.strerror}", location=str(file)
        ) from error
