"""What ships: every package folder is listed, and the SQL travels inside the wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_folder_is_listed(repository: Path, project: dict[str, Any]) -> None:
    folders = {path.parent for path in (repository / "pigeon_rec").rglob("*.py")}
    found = {".".join(folder.relative_to(repository).parts) for folder in folders}
    assert set(project["tool"]["setuptools"]["packages"]) == found | {"pigeon_rec._sql"}


@pytest.mark.parametrize("name", ["product", "recbole", "dev", "docs", "airflow", "airflow-celery"])
def test_requirements_are_plain_pins(repository: Path, name: str) -> None:
    lines = (repository / "requirements" / f"{name}.txt").read_text(encoding="utf-8").split("\n")
    pins = [line.partition("==") for line in lines if line]
    assert all(package and equals and version for package, equals, version in pins)
    assert [p for p, *_ in pins] == sorted((p for p, *_ in pins), key=str.lower)


def test_torch_is_locked_without_a_build_tag(repository: Path) -> None:
    lines = (repository / "requirements" / "product.txt").read_text(encoding="utf-8").split()
    assert "torch==2.13.0" in lines
    assert not [line for line in lines if line.startswith(("nvidia", "triton"))]


def test_recboles_own_pins_are_not_taken(repository: Path, project: dict[str, Any]) -> None:
    # They hold back ray, colorlog and colorama, so RecBole is installed without dependencies.
    extra = project["project"]["optional-dependencies"]["recbole"]
    assert not [package for package in extra if package.startswith("recbole")]
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    assert "--no-deps -r requirements/recbole.txt" in makefile
    page = (repository / "docs" / "recbole.md").read_text(encoding="utf-8")
    assert 'pip install "pigeon-rec[recbole]" && pip install --no-deps recbole==1.2.1' in page


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_product(repository: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("pigeon_rec", "sql"):
        shutil.copytree(repository / folder, source / folder, ignore=ignore)
    for file in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(repository / file, source)
    build = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([sys.executable, *build, str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sql = {f"pigeon_rec/_sql/{p.relative_to(source / 'sql')}" for p in source.glob("sql/**/*.sql")}
    files = (p for p in source.glob("pigeon_rec/**/*") if p.is_file())
    assert shipped == {str(p.relative_to(source)) for p in files} | sql
