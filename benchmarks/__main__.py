"""`python -m benchmarks`: every benchmark of this folder, in one run."""

from __future__ import annotations

import importlib
import pkgutil

import benchmarks
from benchmarks.result import main

if __name__ == "__main__":
    modules = [
        importlib.import_module(f"benchmarks.{module.name}")
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name != "__main__"
    ]
    main(*(module.measure for module in modules if hasattr(module, "measure")))
