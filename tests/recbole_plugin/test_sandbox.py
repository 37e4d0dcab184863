"""The folder that RecBole runs in: private, named by its process, removed at the end."""

from __future__ import annotations

import os
from pathlib import Path

from pigeon_rec.recbole_plugin.sandbox import sandbox
from pigeon_rec.runtime.leftovers import sweep


def test_the_folder_is_private_and_names_its_process(tmp_path: Path) -> None:
    with sandbox(tmp_path / "recbole") as folder:
        assert folder.name.startswith(f"run-{os.getpid()}-")
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "interactions.inter").write_text("user_id:token", encoding="utf-8")
        assert sweep(tmp_path) == 0
        assert (folder / "interactions.inter").is_file()
    assert not folder.exists()
