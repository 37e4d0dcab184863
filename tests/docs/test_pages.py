"""What every page shows exists: commands, targets, modules, files, links, settings."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pigeon_rec.errors import ConfigError
from tests.conftest import ROOT
from tests.docs.pages import PAGES, blocks, name_of

# Tests that run each page's Python, SQL or commands beyond what this file checks.
RUN_BY = {
    "README.md": "tests/test_readme.py",
    "docs/backbones.md": "tests/nightly/test_backbones.py",
    "docs/evaluation.md": None,  # commands only
    "docs/feedback.md": "tests/docs/test_feedback.py",
    "docs/method.md": "tests/docs/test_examples.py",
    "docs/movies.md": "tests/nightly/test_movie_docs.py",
    "docs/operating.md": "tests/dags/test_asset_events.py",
    "docs/parity.md": "tests/parity/test_docs.py",
    "docs/planning.md": "tests/nightly/test_docs.py",
    "docs/published.md": "tests/model/published/test_docs.py",
    "docs/recbole.md": "tests/docs/test_examples.py",
    "docs/training.md": "tests/training/test_docs.py",
    "docs/warehouse.md": "tests/warehouse/test_docs.py",
    "docs/weekly.md": "tests/weekly/test_documentation.py",
    "docs/your-data.md": "tests/docs/test_your_data.py",
}
FRAGMENTS = ("config = Config(model=PigeonRecommender",)
"""Begins of blocks that show one line of a larger program."""

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def commands(page: Path) -> list[list[str]]:
    """The words of every command line on a page, continued lines joined."""
    code = "".join(blocks(page.read_text("utf-8"), "bash")).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in code.splitlines()]
    return [words for words in lines if words]


@each_page
def test_pages_with_programs_have_a_test_that_runs_them(page: Path) -> None:
    text = page.read_text("utf-8")
    programs = [code for code in blocks(text, "python") if not code.startswith(FRAGMENTS)]
    for code in programs:
        ast.parse(code)
    if programs or blocks(text, "sql"):
        assert (ROOT / str(RUN_BY[name_of(page)])).is_file()


@each_page
def test_commands_exist_with_their_options(page: Path, pigeon: Callable[..., Any]) -> None:
    for words in commands(page):
        if words[0] != "pigeon-rec":
            continue
        names = [word for word in words[1:] if not word.startswith("-")][:2]
        outcome = pigeon(*names, "--help")
        if outcome.code:  # the second word is an argument
            outcome = pigeon(*names[:1], "--help")
        assert outcome.code == 0, words
        known = outcome.out
        assert all(word in known for word in words if word.startswith("--")), words


@each_page
def test_targets_and_modules_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    shown = re.findall(r"`make ([a-z-]+)", text)
    shown += [words[1] for words in commands(page) if words[0] == "make"]
    for target in shown:
        assert re.search(rf"^{target}:", makefile, re.M), target
    for module in re.findall(r"python -m ([a-z_.]+[a-z])", text):
        assert importlib.util.find_spec(module), module


@each_page
def test_yaml_is_yaml(page: Path) -> None:
    for text in blocks(page.read_text("utf-8"), "yaml"):
        assert isinstance(yaml.safe_load(text), dict)


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    tops = "pigeon_rec|tests|docs|dags|sql|benchmarks|requirements"
    named = re.findall(rf"`((?:{tops})/[\w./-]+)`", text)
    # Folders of the package may be written without its name.
    inside = "data|demo|drawing|model|nightly|retrieval|runtime|scoring|training|warehouse|weekly"
    named += [f"pigeon_rec/{path}" for path in re.findall(rf"`((?:{inside})/[\w./]+\.py)`", text)]
    missing = [path for path in named if not (ROOT / path).exists()]
    assert missing == []


@each_page
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and mkdocs make them, and those written out."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    return {slug.replace("--", "-") for slug in slugs} | set(re.findall(r"id='([\w-]+)'", text))


def test_the_front_door_has_a_page_with_all_its_names() -> None:
    import pigeon_rec as pr

    text = (ROOT / "docs/reference/pigeon_rec.md").read_text("utf-8")
    rows = re.findall(r"^\| \[`pr\.(\w+)`\]\[([\w.]+)\] \|", text, re.M)
    assert {name for name, _ in rows} == set(pr.__all__) - {"__version__"}
    for name, home in rows:
        assert home == f"{getattr(pr, name).__module__}.{name}"


def test_every_package_has_a_page_in_the_reference() -> None:
    packages = {
        path.parent.name
        for path in (ROOT / "pigeon_rec").glob("*/__init__.py")
        if not path.parent.name.startswith("_")
    }
    pages = {page.stem: page.read_text("utf-8") for page in ROOT.glob("docs/reference/*.md")}
    assert set(pages) == packages | {"pigeon_rec"}
    assert all(f"\n::: pigeon_rec.{name}\n" in pages[name] for name in packages)


def test_the_architecture_names_every_package_and_its_arrows() -> None:
    from tests.test_imports import MAY_IMPORT

    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    for name in MAY_IMPORT:
        assert re.search(rf"^\| [^|]*`{name}/`", text, re.M), name
    diagram = text.partition("## The packages and their arrows")[2].split("```")[1]
    arrows = re.findall(r"^ +(\w+)(?:\[.*\])? --> (.*)$", diagram, re.M)
    for above, below in arrows:
        known = MAY_IMPORT["_cli" if above == "entry" else above]
        assert set(below.split(" & ")) <= known, (above, below)


def test_the_file_for_your_own_data_is_a_night(tmp_path: Path) -> None:
    from pigeon_rec.config import load_config

    [text] = blocks((ROOT / "README.md").read_text("utf-8"), "yaml")
    (tmp_path / "night.yaml").write_text(text, "utf-8")
    assert load_config(tmp_path / "night.yaml").catalogue == str(tmp_path.parent / "products.csv")
    (tmp_path / "night.yaml").write_text(text.replace("catalogue:", "catalog:"), "utf-8")
    with pytest.raises(ConfigError, match="catalog"):
        load_config(tmp_path / "night.yaml")
