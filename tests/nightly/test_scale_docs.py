"""What docs/scale.md says holds."""

from __future__ import annotations

import math
import re
import shlex
import sys

import pytest
import yaml

from benchmarks import capacity
from benchmarks.generation import BEGIN, END
from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.plan import DEFAULT_SECONDS
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
ARITHMETIC, SIMULATED = PAGE.split("<!-- capacity -->")
EXCHANGE, POD = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S))


def test_the_setting_exists() -> None:
    assert EXCHANGE.keys() == {"exchange"}
    assert NightlyConfig(exchange="file:///mnt/nights").exchange == "file:///mnt/nights"


def test_the_dag_reads_the_variables() -> None:
    dag = (ROOT / "dags" / "pigeon_nightly.py").read_text(encoding="utf-8")
    named = re.findall(r"`(PIGEON_\w+)`", PAGE)
    assert len(set(named)) == 4
    assert all(name in dag for name in named)
    (container,) = POD["spec"]["containers"]
    assert container["name"] == "base"
    assert {variable["name"] for variable in container["env"]} <= set(named)


def test_the_plans_follow_the_formula() -> None:
    rows = re.findall(r"^\| ([\d,]{5,}) \| (.+) \|$", ARITHMETIC, re.M)
    assert [users for users, _ in rows] == ["10,000", "1,000,000", "100,000,000"]
    for users, rest in rows:
        shared, own, pictures, hours, cores = (cell.replace(",", "") for cell in rest.split(" | "))
        assert int(own) == int(users.replace(",", "")) // 100
        assert int(pictures) == int(own) + math.prod(map(int, shared.split(" x ")))
        needed = int(pictures) * DEFAULT_SECONDS / 3600
        assert math.isclose(float(hours), needed, rel_tol=0.01)
        assert int(cores) == math.ceil(needed / 8)


def test_the_benchmarks_take_the_options_that_are_shown() -> None:
    shown = re.findall(r"^python -m (benchmarks\.(?:generation|ratios))(.*)$", PAGE, re.M)
    assert [module for module, _ in shown] == [
        "benchmarks.generation",
        "benchmarks.generation",
        "benchmarks.ratios",
    ]
    for module, options in shown:
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert all(f'"{option}"' in source for option in re.findall(r"--\w+", options))


def test_the_page_has_a_place_for_the_ablation() -> None:
    assert re.search(rf"^{BEGIN}\n(.*\n)+?{END}$", PAGE, re.M)


def test_the_simulated_plans_follow_the_formula() -> None:
    table = SIMULATED.split("<!-- end of capacity -->")[0]
    seconds = float(re.findall(r"core hours at ([\d.]+) s", table)[0])
    assert seconds == DEFAULT_SECONDS
    rows = re.findall(r"^\| ([\d,]{5,}) \| (.+) \|$", table, re.M)
    assert rows
    for _, rest in rows:
        _, _, own, shared, _, _, hours, cores = (c.replace(",", "") for c in rest.split(" | "))
        needed = (int(own.split(" ")[0]) + int(shared)) * seconds / 3600
        assert math.isclose(float(hours), needed, rel_tol=0.01)
        assert int(cores) == math.ceil(needed / 8)


def test_the_commands_have_their_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["capacity", "--help"])
    with pytest.raises(SystemExit):
        capacity.main()
    known = capsys.readouterr().out
    lines = re.findall(r"^python -m benchmarks\.capacity .*$", PAGE, re.M)
    assert len(lines) == 2
    assert all(word in known for line in lines for word in shlex.split(line) if word[:2] == "--")
