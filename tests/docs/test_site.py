"""`mkdocs build --strict`: every page, link and docstring of the reference, without a warning."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    python = ROOT / ".venv-docs" / "bin" / "python"
    if not python.exists():
        pytest.skip("no documentation tools: run `make docs`")
    done = subprocess.run(
        [python, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout + done.stderr == ""
    settings = (tmp_path / "settings.html").read_text("utf-8")
    assert "generation.language_guidance" in settings
    door = (tmp_path / "reference" / "pigeon_rec.html").read_text("utf-8")
    assert 'href="nightly.html#pigeon_rec.nightly.run.run_night"' in door
