"""`python -m tests.parity DIR`: a line per file, then the count; exit status 1 on any failure."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.parity.runner import check_file

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Checks a folder and prints what it found.

    Returns:
        Exit status: 1 where a file failed, is of an unknown kind, or the folder holds no file at
        all. A folder that does not exist is skipped, and no failure.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of recorded *.safetensors files")
    folder: Path = parser.parse_args(arguments).folder
    if not folder.exists():
        print(f"skipped: there is no folder {folder}")
        print("0 passed, 0 failed")
        return 0
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        print(f"{folder} holds no *.safetensors file")
    passed = 0
    for path in paths:
        result = check_file(path)
        passed += result.passed
        print(result, flush=True)
    print(f"{passed} passed, {len(paths) - passed} failed")
    return 0 if paths and passed == len(paths) else 1


if __name__ == "__main__":
    sys.exit(main())
