"""`python -m benchmarks`: every benchmark of this folder in one run, or those of `--only`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path

import benchmarks
from benchmarks.result import Result, options, run

__all__ = ["main", "measures"]


def measures(only: Sequence[str] = ()) -> list[Callable[[Path, float], Result]]:
    """The benchmarks of these modules, of all modules that have one if none is named.

    Raises:
        LookupError: A name is none of a module with a benchmark.
    """
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    unknown = sorted(set(only) - set(names))
    modules = {
        name: importlib.import_module(f"benchmarks.{name}")
        for name in only or names
        if name != "__main__" and name not in unknown
    }
    unknown += [name for name in only if name in modules and not hasattr(modules[name], "measure")]
    if unknown:
        raise LookupError(f"no benchmark has the name {', '.join(unknown)}")
    return [module.measure for module in modules.values() if hasattr(module, "measure")]


def main() -> None:
    """Runs them; exit status 1 where a bar is missed at full scale, 2 for a wrong option."""
    parser = options()
    parser.add_argument("--only", default="", help="modules, parted by commas: start,growth")
    given = parser.parse_args()
    try:
        chosen = measures([name for name in given.only.split(",") if name])
    except LookupError as error:
        parser.error(str(error))
    run(chosen, scale=given.scale, as_json=given.json, out=given.out)


if __name__ == "__main__":
    main()
