"""Seeds of libraries that draw their own random numbers, derived from the keys of candidates."""

from __future__ import annotations

import hashlib

__all__ = ["candidate_seed"]


def candidate_seed(key: str, number: int) -> int:
    """Returns the seed, below 2**63, of one candidate of a request."""
    digest = hashlib.sha256(f"{key}/candidate-{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
