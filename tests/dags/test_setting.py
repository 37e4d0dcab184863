"""Settings of the DAGs as templates: a default may hold any characters."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2.sandbox import SandboxedEnvironment

DAGS = ("pigeon_nightly", "pigeon_align")
HOSTILE = (
    "/srv/Anna's nights/night.yaml",
    'a "quoted" name',
    "back\\slash\\n",
    "{{ 7 * 7 }} {% raw %} }}",
    "tägliche Bilder 😀",
    "',  '') }}{{ 1 / 0 }}",
    "two\nlines",
)


def setting_of(folder: Path, module: str) -> Callable[..., str]:
    """The function `setting` of a DAG file, without importing Airflow."""
    tree = ast.parse((folder / f"{module}.py").read_text(encoding="utf-8"))
    [function] = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "setting"
    ]
    names: dict[str, Any] = {"os": os}
    exec(compile(ast.Module([function], []), module, "exec"), names)  # noqa: S102 - our own file
    found: Callable[..., str] = names["setting"]
    return found


def rendered(template: str, variables: Mapping[str, str]) -> str:
    var = SimpleNamespace(value=variables)
    return SandboxedEnvironment().from_string(template).render(var=var)


@pytest.mark.parametrize("module", DAGS)
@pytest.mark.parametrize("value", HOSTILE)
def test_any_default_survives_as_it_is(
    repository: Path, monkeypatch: pytest.MonkeyPatch, module: str, value: str
) -> None:
    setting = setting_of(repository / "dags", module)
    monkeypatch.delenv("PIGEON_CONFIG", raising=False)
    assert rendered(setting("PIGEON_CONFIG", value), {}) == value
    monkeypatch.setenv("PIGEON_CONFIG", value)
    assert rendered(setting("PIGEON_CONFIG", "other"), {}) == value
    assert rendered(setting("PIGEON_CONFIG"), {"PIGEON_CONFIG": "from Airflow"}) == "from Airflow"
