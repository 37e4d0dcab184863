"""`python -m benchmarks`: runs all benchmarks of this folder, or those of `--only`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path

import benchmarks
from benchmarks.result import Result
from benchmarks.runner import options, run

__all__ = ["main", "measures"]


def measures(only: Sequence[str] = ()) -> list[Callable[[Path, float], Result]]:
    """Returns the benchmarks of these modules, or of all modules if none is named.

    Raises:
        LookupError: A named module does not exist or has no benchmark.
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
        raise LookupError(f"no such benchmark: {', '.join(unknown)}")
    return [module.measure for module in modules.values() if hasattr(module, "measure")]


def main() -> None:
    """Runs benchmarks; exit status 1 if a bar is missed at full scale, 2 for a wrong option."""
    parser = options()
    parser.add_argument("--only", default="", help="comma-separated modules, such as start,growth")
    arguments = parser.parse_args()
    try:
        chosen = measures([name for name in arguments.only.split(",") if name])
    except LookupError as error:
        parser.error(str(error))
    run(chosen, scale=arguments.scale, as_json=arguments.json, out=arguments.out)


if __name__ == "__main__":
    main()
