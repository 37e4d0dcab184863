"""A small part of the bundled interactions, so that few images are embedded."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.data.world import load_world

USERS = 8


def write_first_users(path: Path, count: int = USERS) -> Path:
    """The bundled interactions of the first `count` users, as a RecBole file."""
    text = load_world("bundled").interactions.read_text(encoding="utf-8")
    header, *lines = text.splitlines(keepends=True)
    users = list(dict.fromkeys(line.split("\t")[0] for line in lines))[:count]
    kept = (line for line in lines if line.split("\t")[0] in users)
    path.write_text(header + "".join(kept), encoding="utf-8")
    return path
