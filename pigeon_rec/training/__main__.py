"""`python -m pigeon_rec.training RECIPE --plan sticker-64 --out training-runs/sticker-64`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pigeon_rec.training.recipes import RECIPES, load_plan, run_recipe


def main() -> None:
    """Trains one recipe of a plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=list(RECIPES))
    parser.add_argument("--plan", default="sticker-64")
    parser.add_argument("--out", type=Path, default=Path("training-runs/sticker-64"))
    arguments = parser.parse_args()
    run_recipe(arguments.recipe, load_plan(arguments.plan), arguments.out)


if __name__ == "__main__":
    main()
