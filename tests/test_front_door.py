"""`import pigeon_rec as pr`: ten names, imported when first used."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import pigeon_rec as pr

SOURCE = Path(str(pr.__file__)).read_text(encoding="utf-8")
NAMES = [name for name in pr.__all__ if name != "__version__"]


def typed_imports() -> dict[str, str]:
    """Module of each name that the `TYPE_CHECKING` block imports."""
    block = next(
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_there_are_ten_names_in_order() -> None:
    assert len(NAMES) == 10
    assert pr.__all__ == sorted(pr.__all__)
    assert set(pr.__all__) <= set(dir(pr))


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_the_object_that_type_checkers_see(name: str) -> None:
    home = importlib.import_module(typed_imports()[name])
    found = getattr(pr, name)
    assert found is getattr(home, name)
    assert found.__module__ == home.__name__  # where it is defined, not a re-export


def test_lazy_and_typed_names_agree() -> None:
    homes = {name: f"pigeon_rec.{home}" for name, home in pr._HOMES.items()}
    assert homes == typed_imports()
    assert sorted(homes) == NAMES


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Pidgeon'"):
        _ = pr.Pidgeon  # type: ignore[attr-defined]  # so mypy finds misspellings, too
